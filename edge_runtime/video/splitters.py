"""Where a field's characters are: the seam for other ways to find them, a word reader's too.

A splitter sees a field's own upright pixels and says in which boxes characters stand, in reading
order. Nothing else knows how it does that. A new way is a class with `split` and `keeps_places`,
and a line in `splitter_of`.
"""

from typing import Protocol

from edge_runtime.pixels import Gray
from edge_runtime.video.fields import Cells, Contours
from edge_runtime.video.geometry import Box
from edge_runtime.video.ink import components, union

_GROUND = 0.1  # of its height: what is added around a character
_PLATES = 2  # a plate within a frame
_SAME_COLUMN = 0.5  # parts of one character overlap so much of the narrower one's width


class Splitter(Protocol):
    """Finds the boxes of a field's characters.

    keeps_places : whether a box without a character still counts as a place of the reading
    """

    keeps_places: bool

    def split(self, field: Gray) -> list[Box]:
        """Boxes within ``field``, uint8 [height, width], in reading order; may be none."""
        ...


class GridSplitter:
    """Equal cells, row by row: the same ones in every frame."""

    keeps_places = True

    def __init__(self, grid: Cells) -> None:
        self._grid = grid

    def split(self, field: Gray) -> list[Box]:
        """Boxes of all cells; of none that would be less than a pixel wide."""
        height, width = field.shape
        rows = _spans(height, self._grid.rows, self._grid.gap)
        columns = _spans(width, self._grid.columns, self._grid.gap)
        return [
            Box(x, y, right - x, bottom - y, row)
            for row, (y, bottom) in enumerate(rows)
            for x, right in columns
        ]


class ContourSplitter:
    """One line of characters that stand apart from each other."""

    keeps_places = False

    def __init__(self, limits: Contours) -> None:
        self._limits = limits

    def split(self, field: Gray) -> list[Box]:
        """Boxes of the characters from left to right.

        Parts above each other are one character (i, j, a display's segments). What touches two or
        more edges of the field is a frame, not a character.
        """
        height = field.shape[0]
        low, high = (
            height * limit / 100 for limit in (self._limits.smallest, self._limits.largest)
        )
        tight = [box for box in _columns(_free(field)) if low <= box.height <= high]
        return [_with_ground(box, field) for box in tight]


def splitter_of(split: Cells | Contours) -> Splitter:
    """The splitter that a field's settings ask for."""
    return GridSplitter(split) if isinstance(split, Cells) else ContourSplitter(split)


def _free(gray: Gray, depth: int = 0) -> list[Box]:
    """Boxes of connected ink; of that on the plate, where there is one."""
    parts = components(gray)
    plates = [part.box for part in parts if _is_plate(part.box, gray)]
    if not plates or depth == _PLATES:
        return [part.box for part in parts if part.edges < 2]
    plate = max(plates, key=lambda box: box.width * box.height)
    inside = gray[plate.y : plate.y + plate.height, plate.x : plate.x + plate.width]
    return [
        Box(box.x + plate.x, box.y + plate.y, box.width, box.height)
        for box in _free(inside, depth + 1)
    ]


def _is_plate(box: Box, gray: Gray) -> bool:
    height, width = gray.shape
    fills = 0.5 * width <= box.width and 0.5 * height <= box.height
    smaller = box.width < width or box.height < height
    return fills and smaller and box.width >= 1.5 * box.height


def _with_ground(box: Box, field: Gray) -> Box:
    """A little larger: what is ink and what ground is seen at the edge."""
    height, width = field.shape
    margin = max(2, round(_GROUND * box.height))
    x, y = max(0, box.x - margin), max(0, box.y - margin)
    right = min(width, box.x + box.width + margin)
    bottom = min(height, box.y + box.height + margin)
    return Box(x, y, right - x, bottom - y)


def _spans(length: int, count: int, gap: float) -> list[tuple[int, int]]:
    """Begin and end of ``count`` equal parts with gaps between them, each a pixel at least."""
    pitch = length / (count - gap / 100)  # the last one has no gap behind it
    size = pitch * (1 - gap / 100)
    spans = []
    for i in range(count):
        begin = min(int(i * pitch + 0.5), length - 1)
        spans.append((begin, min(length, max(begin + 1, int(i * pitch + size + 0.5)))))
    return spans


def _columns(boxes: list[Box]) -> list[Box]:
    """Join boxes that stand above each other; from left to right."""
    joined: list[Box] = []
    for box in sorted(boxes, key=lambda box: (box.x, box.y)):
        while joined and _above(joined[-1], box):
            box = union([joined.pop(), box]) or box
        joined.append(box)
    return joined


def _above(one: Box, other: Box) -> bool:
    shared = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    return shared >= _SAME_COLUMN * min(one.width, other.width)
