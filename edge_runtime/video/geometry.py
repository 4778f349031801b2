"""A field's own pixels, upright, and the way back from them into the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import SettingsError
from edge_runtime.pixels import Gray, gray_of
from edge_runtime.video.fields import Field
from edge_runtime.video.opencv import load_opencv

Frame = npt.NDArray[np.uint8]  # [height, width, 3], blue first, as OpenCV has it
Corners = npt.NDArray[np.float64]  # [4, 2], x and y, clockwise from top left
SMALLEST = 8  # pixels of a field's side


@dataclass(frozen=True)
class Box:
    """A rectangle of a field's own pixels; ``row`` is the line of text it stands in."""

    x: int
    y: int
    width: int
    height: int
    row: int = 0

    def overlap(self, other: "Box") -> float:
        """Area of what both cover over the area of what either covers, 0 to 1."""
        wide = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        high = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        both = max(0, wide) * max(0, high)
        return both / (self.width * self.height + other.width * other.height - both)


class PlacedField:
    """A field in pictures of one size.

    width, height : of its own pixels

    Raises
    ------
    SettingsError
        It lies outside of the picture, is too small, or its corners enclose no upright area.
    """

    def __init__(self, field: Field, width: int, height: int) -> None:
        self.field = field
        points = [(x.pixels(width), y.pixels(height)) for x, y in field.corners]
        self.corners: Corners = np.array(points, np.float64)
        self._check(width, height)
        low = np.floor(self.corners.min(axis=0) + 0.5).astype(int)
        high = np.floor(self.corners.max(axis=0) + 0.5).astype(int)
        self._x, self._y = int(low[0]), int(low[1])
        self._right, self._bottom = min(int(high[0]), width), min(int(high[1]), height)
        if field.upright:
            self.width, self.height = self._right - self._x, self._bottom - self._y
        else:
            self.width, self.height = self._sides()
        if min(self.width, self.height) < SMALLEST:
            raise SettingsError(
                f"field {field.name}: {self.width}×{self.height} pixels are too few; "
                f"each side needs {SMALLEST}"
            )
        own = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        self._into_field: Any = None
        self._into_frame: Any = None
        if not field.upright:
            cv2 = load_opencv()
            inside = (self.corners - (self._x, self._y)).astype(np.float32)
            square = np.array(own, np.float32)
            self._into_field = cv2.getPerspectiveTransform(inside, square)
            self._into_frame = cv2.getPerspectiveTransform(square, inside)

    def cut(self, frame: Frame) -> Gray:
        """The field's gray pixels, uint8 [height, width]."""
        part = frame[self._y : self._bottom, self._x : self._right, ::-1]
        gray = gray_of(part)
        if self._into_field is None:
            return gray
        cv2 = load_opencv()
        straight: Gray = cv2.warpPerspective(
            gray,
            self._into_field,
            (self.width, self.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return straight

    def outline(self, box: Box) -> Corners:
        """Corners of a box in the picture."""
        x, y, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
        points = np.array([(x, y), (right, y), (right, bottom), (x, bottom)], np.float64)
        if self._into_frame is not None:
            wide = np.column_stack([points, np.ones(4)]) @ self._into_frame.T
            points = wide[:, :2] / wide[:, 2:]
        moved: Corners = points + np.array([self._x, self._y])
        return moved

    def _sides(self) -> tuple[int, int]:
        """Width and height of the straightened field: the longer of two opposite edges."""
        edges = [float(math.dist(a, b)) for a, b in _edges(self.corners)]
        return round(max(edges[0], edges[2])), round(max(edges[1], edges[3]))

    def _check(self, width: int, height: int) -> None:
        name = self.field.name
        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        if (low < 0).any() or (high > (width + 0.5, height + 0.5)).any():
            spot = f"{low[0]:g},{low[1]:g} to {high[0]:g},{high[1]:g}"
            raise SettingsError(
                f"field {name}: {spot} leaves the picture, which is {width}×{height} pixels"
            )
        turns = [
            float((b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]))
            for (a, b), (_, c) in zip(
                _edges(self.corners), _edges(np.roll(self.corners, -1, axis=0)), strict=True
            )
        ]
        if min(turns) <= 0:
            raise SettingsError(
                f"field {name}: its corners must go clockwise from the top left and bulge nowhere "
                "inwards"
            )


def _edges(corners: Corners) -> Sequence[tuple[Any, Any]]:
    return list(zip(corners, np.roll(corners, -1, axis=0), strict=True))


def place(fields: Sequence[Field], width: int, height: int) -> list[PlacedField]:
    """Put fields into pictures of a size."""
    return [PlacedField(field, width, height) for field in fields]
