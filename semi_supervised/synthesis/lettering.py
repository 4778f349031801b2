"""Symbols set as a word, and the crop that people cut out of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from semi_supervised.synthesis.fonts import Face
from semi_supervised.synthesis.glyphs import EM, draw_glyph

Mask = npt.NDArray[np.float32]  # [height, width], 0 to 1
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_ROOM = 16  # pixels around the word, so that margins and slanted views still find something there


@dataclass(frozen=True)
class Word:
    """Ink of a word and the tight box of each of its symbols.

    ink : float32 [height, width], 0..1
    """

    ink: Mask
    boxes: tuple[Box, ...]


def set_word(symbols: Sequence[str], face: Face, rng: np.random.Generator) -> Word:
    """Set symbols ("" leaves none) one after the other, spaced as signs are."""
    spacing = rng.normal(0.03, 0.05) * EM
    glyphs = [draw_glyph(face, symbol) for symbol in symbols]
    pens = np.cumsum([0.0] + [glyph.advance + spacing for glyph in glyphs[:-1]])
    lefts = [round(pen) + glyph.left for pen, glyph in zip(pens, glyphs, strict=True)]
    drawn = [(x, glyph) for x, glyph in zip(lefts, glyphs, strict=True) if glyph.ink.size]
    x0 = min((x for x, _ in drawn), default=0) - _ROOM
    y0 = min((glyph.top for _, glyph in drawn), default=0) - _ROOM
    x1 = max((x + glyph.ink.shape[1] for x, glyph in drawn), default=1) + _ROOM
    y1 = max((glyph.top + glyph.ink.shape[0] for _, glyph in drawn), default=1) + _ROOM
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for x, glyph in drawn:
        height, width = glyph.ink.shape
        target = canvas[glyph.top - y0 : glyph.top - y0 + height, x - x0 : x - x0 + width]
        np.maximum(target, glyph.ink, out=target)
    boxes = tuple(
        (
            float(x - x0),
            float(glyph.top - y0),
            float(x - x0 + glyph.ink.shape[1]),
            float(glyph.top - y0 + glyph.ink.shape[0]),
        )
        for x, glyph in zip(lefts, glyphs, strict=True)
    )
    ink = _weigh(canvas, rng).astype(np.float32) * np.float32(1 / 255)
    return Word(ink, boxes)


def cut_out(word: Word, box: Box) -> tuple[Mask, Box]:
    """The part of a word around ``box``, with some room, and the box within it."""
    left, top, right, bottom = box
    height, width = word.ink.shape
    x0 = min(max(0, int(left) - _ROOM), width - 1)
    y0 = min(max(0, int(top) - _ROOM), height - 1)
    ink = word.ink[y0 : max(y0 + 1, int(bottom) + _ROOM), x0 : max(x0 + 1, int(right) + _ROOM)]
    return ink, (left - x0, top - y0, right - x0, bottom - y0)


def crop_box(box: Box, rng: np.random.Generator) -> Box:
    """Widen a tight box as people do who cut by hand: mostly tight, now and then cut into."""
    left, top, right, bottom = box
    common = abs(rng.normal(0.06, 0.08)) if rng.random() < 0.8 else rng.uniform(0.1, 0.45)
    spread = 0.05 if rng.random() < 0.4 else 0.14
    # Of a symbol's width people miss a little, hardly ever of its height.
    least = (-0.1, -0.03, -0.1, -0.03)
    sides = np.clip(rng.normal(common, spread, 4), least, 0.55) * max(bottom - top, 0.5 * EM)
    return left - sides[0], top - sides[1], right + sides[2], bottom + sides[3]


def column_box(word: Word, at: int, rng: np.random.Generator) -> Box:
    """A symbol's column of its word's box: as high as the word, cut between the symbols.

    Small letters have room above them, where others of the word have stems.
    """
    left, _, right, _ = word.boxes[at]
    inked = [box for box in word.boxes if box[2] > box[0]] or [word.boxes[at]]
    top, bottom = min(box[1] for box in inked), max(box[3] for box in inked)
    height = max(bottom - top, 0.5 * EM)
    spread = 0.07 if rng.random() < 0.7 else 0.15
    sides = np.clip(rng.normal(0.03, spread, 4), -0.08, 0.4) * height
    if at > 0:
        left = (word.boxes[at - 1][2] + left) / 2
        sides[0] = rng.normal(0.02, 0.04) * height
    if at + 1 < len(word.boxes):
        right = (right + word.boxes[at + 1][0]) / 2
        sides[2] = rng.normal(0.02, 0.04) * height
    return left - sides[0], top - sides[1], right + sides[2], bottom + sides[3]


def _weigh(ink: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Now and then bolder or lighter strokes, stencil bridges, worn paint."""
    kind = rng.random()
    if kind < 0.25:
        size = int(rng.integers(2, 5))
        ink = np.asarray(cv2.dilate(ink, np.ones((size, size), np.uint8)), np.uint8)
    elif kind < 0.32:
        ink = np.asarray(cv2.erode(ink, np.ones((2, 2), np.uint8)), np.uint8)
    if rng.random() < 0.03:
        ink = ink.copy()
        at, wide = rng.uniform(0.3, 0.7), int(rng.integers(2, 5))
        if rng.random() < 0.7:
            x = int(at * ink.shape[1])
            ink[:, x : x + wide] = 0
        else:
            y = int(at * ink.shape[0])
            ink[y : y + wide] = 0
    if rng.random() < 0.06:
        worn = rng.integers(0, 256, (ink.shape[0] // 3 + 1, ink.shape[1] // 3 + 1), np.uint8)
        whole = (ink.shape[1], ink.shape[0])
        worn = np.asarray(cv2.resize(worn, whole, interpolation=cv2.INTER_LINEAR), np.uint8)
        ink = np.where(worn < rng.integers(40, 90), 0, ink).astype(np.uint8)
    return ink
