"""The images that conversions and races calibrate on, and the others that they are measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.calibration_images import (
    calibration_candidates,
    check_disjoint,
    choose_calibration,
    held_out,
    part,
)
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.layers import Int8
from edge_runtime.preprocess import preprocess
from edge_runtime.sources import find_source_images

CALIBRATION = 1024  # images at most, as many as preset full quantizes with


@dataclass(frozen=True)
class Measured:
    """Labeled images that no number was fitted to.

    inputs : int8 [N, 32, 32, 1];  labels : classes, int [N];  split : "" where there are none
    """

    paths: list[Path]
    inputs: Int8
    labels: npt.NDArray[np.int64]
    split: str


@dataclass(frozen=True)
class Found:
    """Images by their use."""

    calibrating: list[LabeledImage]
    measured: list[LabeledImage]
    split: str


def find_images(
    images: Path,
    alphabet: Alphabet,
    split: str | None = None,
    calibration: Path | None = None,
    most: int = 0,
) -> Found:
    """Choose images to calibrate on and images to measure on; no picture is in both.

    Parameters
    ----------
    images : a manifest, of which split ``train`` calibrates; or any source, of which every fourth
        picture does
    split : of a manifest, to measure on; by default test, or validation where there is no test
    calibration : another source to calibrate on
    most : images to measure on, spread evenly over what is there; 0 takes all

    Raises
    ------
    InputError
        A calibration image that is held out; no split of that name; too few images.
    """
    found = find_source_images(images, alphabet)
    splits = {image.split for image in found} - {""}
    if splits:
        split = split or ("test" if "test" in splits else "validation")
        measured = find_source_images(images, alphabet, split)
        apart = [*held_out(found), *measured]
        candidates = [] if calibration else calibration_candidates(images, found)
    elif split:
        raise InputError(f"{images}: has no splits, so there is no {split!r}")
    else:
        candidates, measured = ([], found) if calibration else part(found)
        apart = measured
    if calibration:
        candidates = calibration_candidates(calibration, find_source_images(calibration, alphabet))
    if not measured:
        raise InputError(f"{images}: needs two images at least")
    chosen = choose_calibration(candidates, alphabet, CALIBRATION, seed=0)
    check_disjoint(candidates, chosen, apart)
    return Found(chosen, spread(measured, most), split or "")


def spread(images: list[LabeledImage], most: int) -> list[LabeledImage]:
    """Take ``most`` images (0: all), evenly over the list."""
    if not most or len(images) <= most:
        return images
    return [images[i * len(images) // most] for i in range(most)]


def read_inputs(images: Sequence[LabeledImage], what: str) -> Int8:
    """Preprocess images, int8 [N, 32, 32, 1]."""
    bar = tqdm(images, desc=f"read {what}", unit="image", disable=None, leave=False)
    return np.stack([preprocess(read_gray(image.path)) for image in bar])


def read_measured(found: Found, alphabet: Alphabet) -> Measured:
    """Read the images that are measured on."""
    labels = classes_of([image.label for image in found.measured], alphabet)
    return Measured(
        [image.path for image in found.measured],
        read_inputs(found.measured, "images"),
        np.array(labels, np.int64),
        found.split,
    )
