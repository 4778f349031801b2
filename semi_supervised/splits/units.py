"""Images that must not part, and orders among them that depend on their contents alone."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from edge_runtime.labeled_images import LabeledImage

Stratum = tuple[str, str]  # (source, label)


@dataclass(frozen=True)
class Unit:
    """Images of one group of identical or near-identical ones, which go into a split together.

    members : positions in the list of images
    counts : how many members each stratum has
    key : the smallest hash among the members; no two units share one
    """

    key: str
    members: tuple[int, ...]
    counts: Counter[Stratum]

    @property
    def home(self) -> Stratum:
        """The stratum of most members, where the unit is dealt out."""
        return min(self.counts, key=lambda stratum: (-self.counts[stratum], stratum))

    def labels(self) -> set[str]:
        """Labels of the members: more than one where near-identical images are of two classes."""
        return {label for _, label in self.counts}


def identity(image: LabeledImage) -> str:
    """Name an image by its content; by its path where it has not been hashed."""
    return image.sha256 or str(image.path)


def rank(purpose: str, seed: int, key: str) -> str:
    """Sort by this for an order that is random in ``seed`` and the same on every machine.

    A hash rather than a random generator's permutation: one image more leaves the others in their
    order, and no version of a library has a say.
    """
    return hashlib.sha256(f"{purpose}\0{seed}\0{key}".encode()).hexdigest()


def group_images(
    images: Sequence[LabeledImage], near: Iterable[Sequence[int]] = ()
) -> list[list[int]]:
    """Join byte-identical images and the groups of ``near`` (positions); singles are groups too."""
    parent = list(range(len(images)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, image in enumerate(images):
        parent[i] = root(first.setdefault(identity(image), i))
    for group in near:
        for i in group:
            parent[root(i)] = root(group[0])
    groups: dict[int, list[int]] = {}
    for i in range(len(images)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def conflicting(images: Sequence[LabeledImage]) -> set[int]:
    """Positions of byte-identical images with different labels: they teach nothing true."""
    labels: dict[str, set[str]] = {}
    for image in images:
        if image.label:
            labels.setdefault(identity(image), set()).add(image.label)
    return {i for i, image in enumerate(images) if image.label and len(labels[identity(image)]) > 1}


def make_units(
    images: Sequence[LabeledImage], groups: Iterable[Sequence[int]], subjects: Collection[int]
) -> list[Unit]:
    """Reduce each group to its members among ``subjects``; sorted by key."""
    units = []
    for group in groups:
        members = tuple(i for i in group if i in subjects)
        if members:
            counts = Counter((images[i].source, images[i].label) for i in members)
            units.append(Unit(min(identity(images[i]) for i in members), members, counts))
    return sorted(units, key=lambda unit: unit.key)


def in_label_order(
    images: Sequence[LabeledImage],
    groups: Iterable[Sequence[int]],
    subjects: Collection[int],
    seed: int,
) -> dict[str, list[int]]:
    """Order each label's ``subjects`` in which N labels are given to the first N: budgets nest.

    Copies and near-copies come after all images that differ, so that no label is spent on one
    while a different image could have had it.
    """
    keys: dict[str, list[tuple[int, str, str, int]]] = {}
    for group in groups:
        copies: Counter[str] = Counter()
        members = [i for i in group if i in subjects]
        for i in sorted(members, key=lambda i: (identity(images[i]), str(images[i].path))):
            label = images[i].label
            ranked = rank("labels", seed, identity(images[i]))
            keys.setdefault(label, []).append((copies[label], ranked, str(images[i].path), i))
            copies[label] += 1
    return {label: [i for *_, i in sorted(rows)] for label, rows in sorted(keys.items())}
