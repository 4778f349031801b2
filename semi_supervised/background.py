"""Crops of photographs in which there is no text: what a character is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from edge_runtime.errors import InputError, SourceError
from edge_runtime.icdar2003 import Box, Photograph
from edge_runtime.images import Gray, read_gray

_RUN = 16  # crops in a row that come from one photograph, so that it is decoded once for them
_PLACES = 60  # tried in one photograph before the next
_PHOTOGRAPHS = 20  # tried before giving up
_FLAT = 16  # gray levels between the 5th and 95th percentile below which a crop is flat


@dataclass(frozen=True)
class BackgroundSettings:
    """What background crops are like.

    min_side, max_side : pixels;  margin : share of a text box's height kept free around it
    max_aspect : longest side over shortest;  flat_share : how many crops at most may be flat
    """

    min_side: int = 16
    max_side: int = 200
    margin: float = 0.25
    max_aspect: float = 2.0
    flat_share: float = 0.05

    def __post_init__(self) -> None:
        if not 1 <= self.min_side <= self.max_side:
            raise InputError("min_side must be at least 1 and at most max_side")
        if self.margin < 0 or self.max_aspect < 1 or not 0 <= self.flat_share <= 1:
            raise InputError("margin, max_aspect or flat_share is out of range")


def cut_background(
    photographs: Sequence[Photograph],
    count: int,
    seed: int,
    settings: BackgroundSettings | None = None,
    start: int = 0,
) -> Iterator[Gray]:
    """Yield crops ``start`` to ``start + count - 1``, gray, uint8 [height, width].

    Crop ``i`` depends on the photographs, the seed and ``i`` alone. None overlaps a text box or
    the margin around it.

    Raises
    ------
    ImageError, SourceError
        A photograph that cannot be read; photographs without enough background.
    """
    if not photographs:
        raise SourceError("background needs at least one photograph")
    for i in range(start, start + count):
        yield _crop(photographs, seed, i, settings or BackgroundSettings())


def _crop(
    photographs: Sequence[Photograph], seed: int, i: int, settings: BackgroundSettings
) -> Gray:
    run = np.random.default_rng([seed, 0, i // _RUN])
    rng = np.random.default_rng([seed, 1, i])
    may_be_flat = rng.random() < settings.flat_share
    for which in run.integers(len(photographs), size=_PHOTOGRAPHS):
        photograph = photographs[which]
        gray = _decoded(photograph.path)
        taken = _with_margin(photograph.boxes, settings.margin)
        for _ in range(_PLACES):
            x, y, width, height = _place(rng, gray, settings)
            crop = gray[y : y + height, x : x + width]
            if _is_free(taken, x, y, width, height) and (may_be_flat or not _is_flat(crop)):
                return crop.copy()
    raise SourceError(
        f"{photograph.path}: no background crop of {settings.min_side} to {settings.max_side} "
        f"pixels in this and {_PHOTOGRAPHS - 1} other photographs: text or a flat wall fills them"
    )


@lru_cache(maxsize=4)
def _decoded(path: Path) -> Gray:
    gray = read_gray(path)
    gray.flags.writeable = False
    return gray


def _with_margin(boxes: Sequence[Box], margin: float) -> np.ndarray:
    """Left, top, right and bottom of boxes with a margin of ``margin`` heights, float [N, 4]."""
    rows = [
        (b.x - m, b.y - m, b.x + b.width + m, b.y + b.height + m)
        for b in boxes
        for m in (margin * b.height,)
    ]
    return np.array(rows, np.float64).reshape(-1, 4)


def _place(
    rng: np.random.Generator, gray: Gray, settings: BackgroundSettings
) -> tuple[int, int, int, int]:
    """Draw left, top, width and height: sides even on a logarithmic scale."""
    side = np.exp(rng.uniform(np.log(settings.min_side), np.log(settings.max_side)))
    stretch = np.exp(rng.uniform(-0.5, 0.5) * np.log(settings.max_aspect))
    height, width = (
        int(np.clip(round(wanted), settings.min_side, min(settings.max_side, available)))
        for wanted, available in zip((side / stretch, side * stretch), gray.shape, strict=True)
    )
    x = int(rng.integers(gray.shape[1] - width + 1))
    y = int(rng.integers(gray.shape[0] - height + 1))
    return x, y, width, height


def _is_free(taken: np.ndarray, x: int, y: int, width: int, height: int) -> bool:
    left, top, right, bottom = taken.T
    overlaps = (x < right) & (x + width > left) & (y < bottom) & (y + height > top)
    return not overlaps.any()


def _is_flat(crop: Gray) -> bool:
    low, high = np.percentile(crop, (5, 95))
    return bool(high - low < _FLAT)
