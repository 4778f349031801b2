"""The images that training and validation read, decoded once."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.errors import InputError
from edge_runtime.images import Gray, decode_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage, find_labeled_images, read_manifest
from edge_runtime.negatives import Negative, read_negatives
from edge_runtime.preprocess import SIDE, preprocess
from semi_supervised.splits import DRAWN
from semi_supervised.training.augment import CANVAS, to_canvas

_NO_INPUTS = np.empty((0, SIDE, SIDE, 1), np.int8)


@dataclass(frozen=True)
class TrainingImages:
    """The given images that training may see, as gray canvases on disk.

    On disk, mapped into memory: several processes read them, and a million crops take 4 GB.

    canvases : a ``.npy`` file, uint8 [N, 64, 64]
    classes : int32 [N], -1 where training must not know it
    labeled, unlabeled, negatives : indices into them, int64; negatives are non-characters
    """

    canvases: Path
    classes: npt.NDArray[np.int32]
    labeled: npt.NDArray[np.int64]
    unlabeled: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]

    @property
    def natural_labels(self) -> npt.NDArray[np.int32]:
        """Classes of the labeled images, int32, where these come as often as classes are seen.

        None where some images have no label: the others' were chosen then, often as many of each
        class, and tell nothing about frequencies.
        """
        return self.classes[:0] if len(self.unlabeled) else self.classes[self.labeled]


def load_training_images(
    manifest: Path, alphabet: Alphabet, folder: Path, negatives: Path | None = None
) -> TrainingImages:
    """Decode the splits "train" and "unlabeled" of a manifest into ``folder``.

    Drawn images in the manifest are a sample of what training draws for itself without end, so
    they are left out. Of a ``negatives.csv``, the split "train".

    Raises
    ------
    InputError
        An image is missing or no longer the one that the manifest names.
    """
    every = read_manifest(manifest, alphabet)
    known = [i for i in every if i.split == "train" and i.source != DRAWN]
    hidden = [i for i in every if i.split == "unlabeled"]
    others = read_negatives(negatives, "train") if negatives else []
    images: list[LabeledImage | Negative] = [*known, *hidden, *others]
    path = folder / "canvases.npy"
    shape = (max(1, len(images)), CANVAS, CANVAS)  # an empty file cannot be mapped
    canvases = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for k, gray in enumerate(_read(images)):
        canvases[k] = to_canvas(gray)
    canvases.flush()
    classes = classes_of([i.label for i in known], alphabet)
    classes += [-1] * (len(images) - len(known))
    labeled, unlabeled, not_characters = np.split(
        np.arange(len(images)), [len(known), len(known) + len(hidden)]
    )
    return TrainingImages(path, np.array(classes, np.int32), labeled, unlabeled, not_characters)


@dataclass(frozen=True)
class Evaluation:
    """A split for measuring: int8 inputs [N, 32, 32, 1] and classes int32 [N]."""

    inputs: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]


def load_evaluation(manifest: Path, alphabet: Alphabet, split: str) -> Evaluation:
    """All images of a split, preprocessed exactly as on the board."""
    images = find_labeled_images(manifest, alphabet, split)
    inputs = np.stack([preprocess(gray) for gray in _read(images)])
    return Evaluation(inputs, np.array(classes_of([i.label for i in images], alphabet), np.int32))


def load_negatives(negatives: Path, split: str) -> dict[str, npt.NDArray[np.int8]]:
    """Non-characters of a split as network inputs, int8 [N, 32, 32, 1] for each kind."""
    images = read_negatives(negatives, split)
    inputs = np.stack([preprocess(gray) for gray in _read(images)]) if images else _NO_INPUTS
    kinds = np.array([image.kind for image in images])
    return {str(kind): inputs[kinds == kind] for kind in dict.fromkeys(kinds.tolist())}


def _read(images: Sequence[LabeledImage | Negative]) -> Iterator[Gray]:
    """Decode images, refusing one whose bytes are no longer those of the manifest."""
    for image in tqdm(images, desc="read", unit="image", disable=None, leave=False):
        data = read_image_bytes(image.path)
        if image.sha256 and hashlib.sha256(data).hexdigest() != image.sha256:
            raise InputError(f"{image.path}: changed since `make data`; run it again")
        yield decode_gray(data, str(image.path))
