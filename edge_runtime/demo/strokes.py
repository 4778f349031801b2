"""From drawn lines to gray pixels that look like what the network learned.

Chars74K's hand-drawn characters, which the shipped model was trained on, are black on white, fill
83 % of a square with their longer side, and have lines about 5 % of that side wide. Drawn so, the
model reads them as well as they are read as files; tight crops cost it 3 to 7 points, thicker
lines up to 3 (docs/classify.md).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from edge_runtime.errors import InputError
from edge_runtime.images import Gray

SIDE = 128  # pixels of the square
INK = 106  # pixels of the longer side of what is drawn, lines' width included
LINE = 6
_FINE = 4  # drawn so many times larger, then averaged
_SMALLEST = 0.04  # of the pad: a dot is not blown up to the size of a letter
MOST_POINTS = 20_000

Point = tuple[float, float]
Strokes = list[list[Point]]


def parse_strokes(value: Any) -> Strokes:
    """Check strokes as the page sends them: [[[x, y], …], …], the pad being 1 × 1.

    Raises
    ------
    InputError
        They are none, too many, or not numbers on the pad.
    """
    if not isinstance(value, list) or not value or not all(isinstance(s, list) for s in value):
        raise InputError("a drawing is a list of strokes, each a list of points")
    if sum(map(len, value)) > MOST_POINTS or len(value) > MOST_POINTS:
        raise InputError(f"the drawing has more than {MOST_POINTS:,} points; clear it")
    strokes = [[_point(point) for point in stroke] for stroke in value]
    if not all(strokes):
        raise InputError("a stroke has no points")
    return strokes


def render_strokes(strokes: Sequence[Sequence[Point]]) -> Gray:
    """Draw strokes, each of one point or more, as uint8 [128, 128]: black on white, centered."""
    points = np.array([point for stroke in strokes for point in stroke], np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (INK - LINE) / max(float((high - low).max()), _SMALLEST)
    offset = SIDE / 2 - scale * (low + high) / 2
    paper = Image.new("L", (SIDE * _FINE, SIDE * _FINE), 255)
    pen = ImageDraw.Draw(paper)
    radius = LINE * _FINE / 2
    for stroke in strokes:
        path = [(float(x), float(y)) for x, y in (np.array(stroke) * scale + offset) * _FINE]
        pen.line(path, fill=0, width=LINE * _FINE)
        for x, y in path:  # round ends and joints
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return np.asarray(paper.reduce(_FINE))


def _point(value: Any) -> Point:
    numbers = isinstance(value, list) and len(value) == 2
    if not numbers or not all(type(v) in (int, float) and math.isfinite(v) for v in value):
        raise InputError("a point is two numbers")
    x, y = value
    if not (-1 <= x <= 2 and -1 <= y <= 2):
        raise InputError("a point lies off the pad")
    return float(x), float(y)
