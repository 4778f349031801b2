"""What is NOT a character: for training the real/fake gate, and for measuring it.

Every kind is drawn from fonts and noise alone, so that a gate can be trained without a single
photograph; with photographs, `semi_supervised.background` adds crops of real background.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge_runtime.images import Gray
from semi_supervised.synthesis.camera import crop_slanted, photograph
from semi_supervised.synthesis.fonts import Face
from semi_supervised.synthesis.glyphs import EM, draw_glyph
from semi_supervised.synthesis.lettering import Box, Mask, Word, cut_out, set_word
from semi_supervised.synthesis.paint import paint, paint_ground
from semi_supervised.synthesis.synthesizer import Synthesizer

PUNCTUATION: Final = "!?&%@#*+=<>/()[]{}:;,.\"'~^_-|\\$€£"

KINDS: Final = (
    "two-glyphs",
    "between-glyphs",
    "part",
    "punctuation",
    "ground",
    "texture",
    "shapes",
    "noise",
)

# Marks that look alike once their box is stretched to a square: no non-character where the alphabet
# has the other.
_TWINS: Final = {"_": "-", "-": "_"}

# Kinds that a gate never sees in training, so that its accuracy on them says how it generalizes.
HELD_OUT: Final = ("shapes", "between-glyphs")


@dataclass(frozen=True)
class NegativeSynthesizer:
    """Draws image i of an endless, seeded series of non-characters; its kind is ``i % 8``."""

    characters: Synthesizer

    def kind(self, i: int) -> str:
        """Kind of image ``i``, one of `KINDS`."""
        return KINDS[i % len(KINDS)]

    def file_name(self, i: int) -> str:
        """Name of image ``i``'s file in a fixed set."""
        return f"{self.kind(i)}/{i:06d}.png"

    def draw(self, i: int) -> Gray:
        """Draw image ``i``: uint8 [height, width]."""
        rng = np.random.default_rng([self.characters.seed, 1, i])
        draw = {
            "two-glyphs": self._two_glyphs,
            "between-glyphs": self._between_glyphs,
            "part": self._part,
            "punctuation": self._punctuation,
            "ground": _ground,
            "texture": _texture,
            "shapes": _shapes,
            "noise": _noise,
        }[self.kind(i)]
        return draw(rng)

    def _symbol(self, face: Face, rng: np.random.Generator) -> str:
        symbols = self.characters.alphabet.symbols
        if face.lacking:
            symbols = tuple(s for s in symbols if s not in face.lacking)
        return symbols[rng.integers(len(symbols))]

    def _word(self, rng: np.random.Generator, length: int) -> Word:
        face = self.characters.pick_face(rng)
        return set_word([self._symbol(face, rng) for _ in range(length)], face, rng)

    def _two_glyphs(self, rng: np.random.Generator) -> Gray:
        """Two symbols, both whole: a crop that should have been cut in two."""
        word = self._word(rng, 4)
        (left, top, _, bottom), (_, top2, right, bottom2) = word.boxes[1], word.boxes[2]
        return _shoot(word, (left, min(top, top2), right, max(bottom, bottom2)), rng)

    def _between_glyphs(self, rng: np.random.Generator) -> Gray:
        """The right half of one symbol and the left half of the next."""
        word = self._word(rng, 2)
        (left, top, end, bottom), (start, top2, right, bottom2) = word.boxes
        cut = rng.uniform(0.4, 0.6, 2)
        box = (
            end - cut[0] * (end - left),
            min(top, top2),
            start + cut[1] * (right - start),
            max(bottom, bottom2),
        )
        return _shoot(word, box, rng)

    def _part(self, rng: np.random.Generator) -> Gray:
        """A window into a symbol, so small (a third of its sides) that none can be told."""
        word = self._word(rng, 1)
        left, top, right, bottom = word.boxes[0]
        width, height = right - left, bottom - top
        side = max(8.0, rng.uniform(0.25, 0.38) * max(width, height))
        x = left + rng.uniform(-0.1, 1.1) * max(width - side, 0)
        y = top + rng.uniform(-0.1, 1.1) * max(height - side, 0)
        return _shoot(word, (x, y, x + side * rng.uniform(0.7, 1.4), y + side), rng)

    def _punctuation(self, rng: np.random.Generator) -> Gray:
        face = self.characters.pick_face(rng)
        taken = self.characters.alphabet.symbols
        free = [c for c in PUNCTUATION if c not in taken and _TWINS.get(c) not in taken] or [" "]
        mark = free[rng.integers(len(free))]
        neighbours = [self._symbol(face, rng) if rng.random() < 0.4 else " " for _ in range(2)]
        if not draw_glyph(face, mark).ink.any():
            mark = "." if "." in free else " "
        word = set_word([neighbours[0], mark, neighbours[1]], face, rng)
        return _shoot(word, word.boxes[1], rng)


def _shoot(word: Word, box: Box, rng: np.random.Generator) -> Gray:
    left, top, right, bottom = box
    margin = rng.uniform(0, 0.1, 4) * max(bottom - top, 8)
    wide = (
        left - margin[0],
        top - margin[1],
        max(right + margin[2], left + 4),
        max(bottom + margin[3], top + 4),
    )
    ink, inside = cut_out(word, wide)
    return photograph(crop_slanted(paint(ink, rng), inside, rng), rng)


def _empty(rng: np.random.Generator) -> tuple[int, int]:
    height = int(rng.integers(20, EM))
    return height, max(6, int(height * rng.uniform(0.3, 1.5)))


def _ground(rng: np.random.Generator) -> Gray:
    """Painted ground without any ink."""
    level = rng.uniform(20, 235)
    return photograph(paint_ground(_empty(rng), level, rng.uniform(25, 225), rng), rng)


def _texture(rng: np.random.Generator) -> Gray:
    """Clouds of noise over several scales: stone, leaves, asphalt."""
    height, width = _empty(rng)
    picture = np.full((height, width), rng.uniform(60, 195), np.float32)
    for scale in (2, 4, 8, 16):
        cells = (max(2, height // scale), max(2, width // scale))
        coarse = rng.standard_normal(cells, np.float32) * np.float32(rng.uniform(0, 40))
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return photograph(picture, rng)


def _shapes(rng: np.random.Generator) -> Gray:
    """Filled polygons, arrows, stars, blobs: what icons and signs are made of."""
    height, width = _empty(rng)
    ink: Mask = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        center = rng.uniform(0.25, 0.75, 2) * (width, height)
        radius = rng.uniform(0.15, 0.5) * min(width, height)
        corners = int(rng.integers(5, 13))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = radius * (rng.uniform(0.3, 1, corners) if rng.random() < 0.5 else np.ones(corners))
        points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
        cv2.fillPoly(ink, [np.round(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return photograph(paint(ink, rng), rng)


def _noise(rng: np.random.Generator) -> Gray:
    """Independent pixels: a sensor in the dark."""
    height, width = _empty(rng)
    spread = rng.uniform(5, 80)
    noisy = rng.normal(rng.uniform(40, 215), spread, (height, width))
    return np.clip(noisy, 0, 255).astype(np.uint8)
