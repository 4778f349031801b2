"""Which images may decide about a network's numbers, and which must never have been seen.

Quantizing (`quantize`) and converting (`edge_runtime.formats`) calibrate on the same choice.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.labeled_images import LabeledImage, select_split

_HELD_OUT_SPLITS = ("validation", "test")


def calibration_candidates(path: Path, images: list[LabeledImage]) -> list[LabeledImage]:
    """List what may be calibrated on: of a manifest with splits (at ``path``) only ``train``."""
    return select_split(path, images, "train") if any(i.split for i in images) else images


def choose_calibration(
    images: list[LabeledImage], alphabet: Alphabet, count: int, seed: int
) -> list[LabeledImage]:
    """Choose ``count`` of the candidates (all, if there are fewer), spread evenly over them.

    Every source (photographs, handwriting, drawn characters) has an equal share, or all that it
    has: the many drawn ones must not decide alone what fits photographs. Images of a source are
    listed class by class; one is drawn from each of equal stretches of that list, so that every
    class has its share.
    """
    if len(images) <= count:
        return images
    rng = np.random.default_rng(seed)
    of_source: dict[str, list[LabeledImage]] = {}
    for image in sorted(images, key=lambda i: (alphabet.index(i.label), str(i.path))):
        of_source.setdefault(image.source, []).append(image)
    chosen: list[LabeledImage] = []
    smallest_first = sorted(of_source.values(), key=len)
    for i, group in enumerate(smallest_first):
        share = min(len(group), (count - len(chosen)) // (len(smallest_first) - i))
        edges = np.arange(share + 1) * len(group) // max(share, 1)
        chosen += [group[k] for k in rng.integers(edges[:-1], edges[1:])]
    # Batches of calibration should not be of one source or class each.
    return [chosen[k] for k in rng.permutation(len(chosen))]


def held_out(images: list[LabeledImage]) -> list[LabeledImage]:
    """List what calibration must not see: a manifest's validation and test images, or all."""
    if any(image.split for image in images):
        return [image for image in images if image.split in _HELD_OUT_SPLITS]
    return images


def check_disjoint(
    candidates: Sequence[LabeledImage],
    chosen: Sequence[LabeledImage],
    apart: Sequence[LabeledImage],
) -> None:
    """Raise `InputError` where a calibration image is byte for byte a held-out one.

    Candidates that were not chosen count as well: whether an overlap is found must not hang on the
    sample. The hashes of chosen images come from their files; those of others and of held-out
    images from their manifest, or from the file where it has none.
    """
    known = {image.sha256 or sha256_of(image.path): image for image in apart}
    read = {image.path for image in chosen}
    rows = candidates if known else ()
    for image in tqdm(rows, desc="compare with held-out images", disable=None, leave=False):
        recorded = "" if image.path in read else image.sha256
        other = known.get(recorded or sha256_of(image.path))
        if other is not None:
            cure = "remove it from the calibration"
            raise InputError(overlap_message(f"{image.path}:", other, cure))


def part(images: Sequence[LabeledImage]) -> tuple[list[LabeledImage], list[LabeledImage]]:
    """Part images without splits: every fourth picture to calibrate on, the others to measure on.

    Files of the same content stay together.
    """
    number: dict[str, int] = {}
    calibrating: list[LabeledImage] = []
    measured: list[LabeledImage] = []
    for image in images:
        picture = number.setdefault(sha256_of(image.path), len(number))
        (measured if picture % 4 else calibrating).append(image)
    return calibrating, measured


def overlap_message(where: str, other: LabeledImage, cure: str) -> str:
    """Say that an input is a held-out image."""
    what = f"{other.split} image" if other.split else "held-out image"
    return (
        f"{where} is the same image as the {what} {other.path}; calibration must not see it, {cure}"
    )
