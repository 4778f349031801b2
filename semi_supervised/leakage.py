"""Leakage: one picture both in training and among the images that training is judged by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError
from edge_runtime.labeled_images import LabeledImage, read_manifest
from semi_supervised.duplicates import near_identical_groups

# Training sees the images of both train and unlabeled; a split of another name is nobody's side.
SIDES = {
    "train": "training",
    "unlabeled": "training",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Leak:
    """Byte-identical or near-identical images that are in training and in validation or test.

    seen : those in the splits train and unlabeled
    held_out : those in validation and test
    """

    seen: tuple[LabeledImage, ...]
    held_out: tuple[LabeledImage, ...]


def find_leakage(images: Sequence[LabeledImage]) -> list[Leak]:
    """Find groups of the same picture with members in training and in validation or test.

    Takes some seconds for 10,000 images: each is decoded, but for drawn ones, whose bytes are
    compared.
    """
    subjects = [image for image in images if image.split in SIDES]
    if len({SIDES[image.split] for image in subjects}) < 2:
        return []
    leaks = []
    for group in straddling(subjects, near_identical_groups(subjects)):
        members = [subjects[i] for i in group]
        seen = tuple(image for image in members if SIDES[image.split] == "training")
        held_out = tuple(image for image in members if SIDES[image.split] != "training")
        if seen and held_out:
            leaks.append(Leak(seen, held_out))
    return leaks


def straddling(
    images: Sequence[LabeledImage], groups: Iterable[Sequence[int]]
) -> list[Sequence[int]]:
    """Groups of positions with members on two of the sides: training, validation and test."""
    return [
        group
        for group in groups
        if len({SIDES[images[i].split] for i in group if images[i].split in SIDES}) > 1
    ]


def refuse_leakage(manifest: Path, alphabet: Alphabet) -> None:
    """Raise `InputError` where a manifest's training images are also among the held-out ones."""
    leaks = find_leakage(read_manifest(manifest, alphabet))
    if leaks:
        seen, held_out = leaks[0].seen[0], leaks[0].held_out[0]
        raise InputError(
            f"{manifest}: {len(leaks):,} picture(s) are both in training and held out, the first "
            f"is {seen.path} ({seen.split}) and {held_out.path} ({held_out.split}); run `make "
            "data` again, correct the manifest, or allow it with --allow-leakage (make: "
            "ALLOW_LEAKAGE=1)"
        )
