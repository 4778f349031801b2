"""What is seen without training anything: counts, sizes, copies, conflicts, leaks, imbalance."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.audit.gather import Gathered
from semi_supervised.leakage import straddling

FEW = 15  # images of a class: Chars74K-15 trains on that many
_QUANTILES = (0, 0.05, 0.5, 0.95, 1)
_BINS = (0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # of the shorter side, pixels


@dataclass(frozen=True)
class Sizes:
    """Widths and heights of a source's images, in pixels: smallest, 5 %, median, 95 %, largest."""

    source: str
    count: int
    width: tuple[int, ...]
    height: tuple[int, ...]


@dataclass(frozen=True)
class Imbalance:
    """How unevenly the classes are filled.

    absent : symbols without an image
    few : symbols with fewer than `FEW`
    """

    smallest: int
    median: float
    largest: int
    absent: tuple[str, ...]
    few: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """Largest class by smallest; None where a class has no image."""
        return self.largest / self.smallest if self.smallest else None


@dataclass(frozen=True)
class Findings:
    """All that was found, images as positions in the gathered list.

    counts : images by (label, source, split)
    shorter_sides : (from, to, images): how many have a shorter side of from ≤ pixels < to
    identical : groups of byte-identical images
    near : groups of near-identical images that are not all byte-identical
    conflicts : groups of either kind with more than one label
    across_splits : groups of either kind in two of training, validation and test
    calibration : groups with both calibration and validation or test images
    """

    counts: Counter[tuple[str, str, str]]
    sizes: list[Sizes]
    shorter_sides: list[tuple[int, int | None, int]]
    identical: list[list[int]]
    near: list[list[int]]
    conflicts: list[list[int]]
    across_splits: list[list[int]]
    calibration: list[list[int]]
    imbalance: Imbalance


def find(gathered: Gathered, alphabet: Alphabet, calibration: Iterable[int] = ()) -> Findings:
    """Look for what is wrong with a set.

    Parameters
    ----------
    calibration : positions of images that the quantizer is calibrated with
    """
    images, groups = gathered.images, gathered.groups
    per_hash: dict[str, list[int]] = defaultdict(list)
    for i, image in enumerate(images):
        per_hash[image.sha256].append(i)
    return Findings(
        Counter((i.label, i.source, i.split) for i in images),
        _sizes(gathered),
        _shorter_sides(gathered.sizes),
        [group for group in per_hash.values() if len(group) > 1],
        [group for group in groups if len({images[i].sha256 for i in group}) > 1],
        [group for group in groups if len(labels_of(images, group)) > 1],
        [list(group) for group in straddling(images, groups)],
        _calibration_overlap(images, groups, set(calibration)),
        _imbalance(images, alphabet),
    )


def labels_of(images: Sequence[LabeledImage], group: Iterable[int]) -> list[str]:
    """Labels of a group's members, sorted, each once; images without a label do not count."""
    return sorted({images[i].label for i in group} - {""})


def _sizes(gathered: Gathered) -> list[Sizes]:
    found = []
    for source in sorted({image.source for image in gathered.images}):
        pixels = np.array(
            [s for i, s in zip(gathered.images, gathered.sizes, strict=True) if i.source == source]
        )
        quantiles = np.quantile(pixels, _QUANTILES, axis=0, method="nearest")
        found.append(
            Sizes(
                source,
                len(pixels),
                tuple(quantiles[:, 0].tolist()),
                tuple(quantiles[:, 1].tolist()),
            )
        )
    return found


def _shorter_sides(sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int | None, int]]:
    ends = [*_BINS[1:], None]
    counts = Counter(int(np.searchsorted(_BINS, min(size), "right")) - 1 for size in sizes)
    return [(low, high, counts[k]) for k, (low, high) in enumerate(zip(_BINS, ends, strict=True))]


def _calibration_overlap(
    images: Sequence[LabeledImage], groups: Iterable[Sequence[int]], calibration: set[int]
) -> list[list[int]]:
    """Held-out images used for calibration, and groups of which one is and another is held out."""
    held_out = {i for i, image in enumerate(images) if image.split in ("validation", "test")}
    grouped = [list(group) for group in groups]
    alone = set(range(len(images))) - {i for group in grouped for i in group}
    return [
        group
        for group in [*grouped, *([i] for i in sorted(alone))]
        if calibration & set(group) and held_out & set(group)
    ]


def _imbalance(images: Iterable[LabeledImage], alphabet: Alphabet) -> Imbalance:
    counts = Counter(image.label for image in images)
    per_class = [counts[symbol] for symbol in alphabet.symbols]
    return Imbalance(
        min(per_class),
        median(per_class),
        max(per_class),
        tuple(s for s in alphabet.symbols if counts[s] == 0),
        tuple(s for s in alphabet.symbols if 0 < counts[s] < FEW),
    )
