"""Ink on its ground: connected components, dark on light or light on dark."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.pixels import Gray
from edge_runtime.preprocess import MIN_CONTRAST
from edge_runtime.video.geometry import Box
from edge_runtime.video.opencv import load_opencv

_CELL_HEIGHT = 0.25  # of a cell: what is lower does not stand for its character
_MARGIN = 0.05  # of a character's longer side
_SQUARE = 1.2  # side of the square that it is put into, of its longer side
_SPECK = 0.06  # of the height: what has less than its square for an area is noise


@dataclass(frozen=True)
class Component:
    """Connected ink. ``edges`` is how many of the picture's four edges it touches."""

    box: Box
    edges: int


def components(gray: Gray) -> list[Component]:
    """Connected parts of the ink, specks left out.

    Ink and ground are told apart by Otsu's threshold; the ground is what most of the picture's
    edge shows. A flat picture has no ink.
    """
    cv2 = load_opencv()
    if int(gray.max()) - int(gray.min()) < MIN_CONTRAST:
        return []
    _, light = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = light if _border(light).mean() < 128 else 255 - light
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    height, width = gray.shape
    found = []
    for x, y, w, h, area in stats[1:count].tolist():
        if area < max(4.0, (_SPECK * height) ** 2):
            continue
        edges = (x == 0) + (y == 0) + (x + w == width) + (y + h == height)
        found.append(Component(Box(x, y, w, h), edges))
    return found


def framed(gray: Gray) -> Gray:
    """A cell's character in the middle of a square of its ground, as the network likes it best.

    The character is the ink that stands free, or, where that is too low to be one, all ink; a cell
    without ink is given back as it is, for the gate to judge (docs/video.md has the measurement).
    """
    parts = components(gray)
    free = union([part.box for part in parts if not part.edges])
    if free is None or free.height < _CELL_HEIGHT * gray.shape[0]:
        free = union([part.box for part in parts])
    if free is None:
        return gray
    margin = round(_MARGIN * max(free.width, free.height))
    top, left = max(0, free.y - margin), max(0, free.x - margin)
    inked = gray[top : free.y + free.height + margin, left : free.x + free.width + margin]
    return _squared(inked, int(np.median(_border(inked))))


def union(boxes: list[Box]) -> Box | None:
    """Smallest box around all; None of none."""
    if not boxes:
        return None
    x, y = min(b.x for b in boxes), min(b.y for b in boxes)
    right = max(b.x + b.width for b in boxes)
    bottom = max(b.y + b.height for b in boxes)
    return Box(x, y, right - x, bottom - y)


def _squared(gray: Gray, ground: int) -> Gray:
    height, width = gray.shape
    side = round(_SQUARE * max(height, width))
    square = np.full((side, side), ground, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = gray
    return square


def _border(picture: Gray) -> npt.NDArray[np.uint8]:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
