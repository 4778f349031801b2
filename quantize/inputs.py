"""Calibration and validation inputs: images through the one preprocessing, or a ready .npz."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime import preprocess
from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.calibration_images import overlap_message
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.layers import Int8

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Calibration:
    """Inputs that fix points are found on.

    values : float32 [N, height, width, channels]
    fix_point : of the input, where the preprocessing fixes it; None for inputs of others
    """

    values: npt.NDArray[np.float32]
    fix_point: int | None


@dataclass(frozen=True)
class Validation:
    """Labeled inputs to measure on; inputs are int8 [N, 32, 32, 1], labels int [N]."""

    inputs: Int8
    labels: npt.NDArray[np.int64]
    split: str


def check_image_shape(shape: Shape, model: Path) -> None:
    """Raise `InputError` unless the graph takes what our preprocessing makes."""
    made = (preprocess.SIDE, preprocess.SIDE, 1)
    if shape != made:
        raise InputError(
            f"{model}: takes inputs of {_by(shape)}, but images are preprocessed to {_by(made)}; "
            "give calibration inputs as an .npz of float32 [N, height, width, channels]"
        )


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape)


def calibration_from_npz(path: Path, shape: Shape) -> Calibration:
    """Read an .npz that holds exactly one float32 array [N, height, width, channels]."""
    cure = "write one with numpy.savez(path, inputs=array)"
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            if len(names) != 1:
                raise InputError(f"{path}: holds {len(names)} arrays, one is needed; {cure}")
            values: npt.NDArray[Any] = archive[names[0]]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
        raise InputError(f"{path}: not an .npz of NumPy, or truncated; {cure}") from None
    if values.dtype != np.float32:
        raise InputError(f"{path}: holds {values.dtype}; inputs must be float32, {cure}")
    if values.ndim != 4 or values.shape[1:] != shape:
        raise InputError(
            f"{path}: has shape {_by(values.shape)}; the graph takes N×{_by(shape)} (NHWC)"
        )
    if not len(values):
        raise InputError(f"{path}: holds no inputs; calibration needs at least one")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds NaN or infinity; calibration inputs must be finite")
    return Calibration(values, None)


def calibration_from_images(images: Sequence[LabeledImage]) -> Calibration:
    """Read and preprocess calibration images."""
    inputs = _read([image.path for image in images], "calibration images")
    return Calibration(preprocess.to_float(inputs), preprocess.FIX_POINT)


def has_split(images: Sequence[LabeledImage], split: str) -> bool:
    """Whether these are a manifest's images, some of them of this split."""
    return any(image.split == split for image in images)


def choose_validation(images: list[LabeledImage]) -> tuple[list[LabeledImage], str]:
    """List validation images and the split they are of, "" where there are no splits."""
    chosen = [image for image in images if image.split == "validation"]
    return (chosen, "validation") if chosen else (images, "")


def read_validation(images: Sequence[LabeledImage], split: str, alphabet: Alphabet) -> Validation:
    """Read and preprocess labeled images."""
    inputs = _read([image.path for image in images], "validation images")
    labels = classes_of([image.label for image in images], alphabet)
    return Validation(inputs, np.array(labels, np.int64), split)


def check_array_disjoint(path: Path, values: Any, apart: Sequence[LabeledImage]) -> None:
    """Raise `InputError` where an input of an .npz is a held-out image, as preprocessing gives it.

    ``values`` are float32 [N, height, width, channels]; an array of another shape than our images
    holds none of them.
    """
    if not apart or values.shape[1:] != (preprocess.SIDE, preprocess.SIDE, 1):
        return
    pixels = preprocess.to_float(_read([image.path for image in apart], "held-out images"))
    known = {row.tobytes(): image for row, image in zip(pixels, apart, strict=True)}
    for i, row in enumerate(values):
        other = known.get((row + np.float32(0)).tobytes()) if row.any() else None  # no -0, no flat
        if other is not None:
            raise InputError(
                overlap_message(f"{path}: input {i}", other, "remove it from the array")
            )


def _read(paths: Sequence[Path], what: str) -> Int8:
    rows = tqdm(paths, desc=f"read {what}", unit="image", disable=None, leave=False)
    return np.stack([preprocess.preprocess(read_gray(path)) for path in rows])
