"""Image i of an endless, seeded series of drawn characters."""

import functools
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import EdgeGlyphError
from edge_runtime.files import sha256_of
from edge_runtime.images import Gray
from semi_supervised.synthesis.camera import crop_slanted, photograph
from semi_supervised.synthesis.fonts import Face, drawable, find_faces
from semi_supervised.synthesis.lettering import column_box, crop_box, cut_out, set_word
from semi_supervised.synthesis.paint import paint

log = logging.getLogger(__name__)

# Share of columns of a word's box, as data sets cut words into characters; the others have boxes
# of their own, as people cut characters by hand.
_OF_WORDS = 0.3

# Training draws its images of a class from this turn on, so that no fixed set ever holds one.
FIRST_UNSEEN = 1 << 32
VERSION = 4  # raised with every change of what image i looks like


@dataclass(frozen=True)
class Synthesizer:
    """Draws image i of an endless series; its class is ``i % len(alphabet)``.

    Image i depends on the alphabet, the faces, the seed and i alone: whoever draws it, in
    whatever order, gets the same bytes. Only images of `drawable` symbols can be drawn.
    """

    alphabet: Alphabet
    faces: tuple[Face, ...]
    seed: int

    @functools.cached_property
    def identity(self) -> str:
        """Text that is another whenever other images come out: SHA-256 of all they depend on."""
        faces = [(f.family, sha256_of(f.file), f.axes) for f in self.faces]
        what = repr((VERSION, self.seed, self.alphabet.symbols, faces))
        partly = [sorted(f.lacking) for f in self.faces]
        what += repr(partly) if any(partly) else ""
        return hashlib.sha256(what.encode()).hexdigest()

    def label(self, i: int) -> str:
        """Symbol that image ``i`` shows."""
        return self.alphabet.symbols[i % len(self.alphabet)]

    def draw(self, i: int) -> Gray:
        """Draw image ``i``: uint8 [height, width], 10 to about 60 pixels high."""
        rng = np.random.default_rng([self.seed, i])
        symbol = self.label(i)
        face = self.pick_face(rng, symbol)
        column = rng.random() < _OF_WORDS
        symbols, at = self.word_around(symbol, rng) if column else self._between(symbol, rng)
        word = set_word(["" if s in face.lacking else s for s in symbols], face, rng)
        box = column_box(word, at, rng) if column else crop_box(word.boxes[at], rng)
        ink, box = cut_out(word, box)
        return photograph(crop_slanted(paint(ink, rng), box, rng), rng)

    def file_name(self, i: int) -> str:
        """Name of image ``i``'s file in a fixed set, below a folder of its class."""
        return f"{self.alphabet.folder_of_symbol(self.label(i))}/{i:06d}.png"

    def word_around(self, symbol: str, rng: np.random.Generator) -> tuple[list[str], int]:
        """A word or number of two to seven symbols that has ``symbol``, and its place.

        Its neighbours tell a letter's size: capitals among capitals or at the beginning of small
        letters, small letters now and then after a capital.
        """
        length = int(rng.integers(2, 8))
        at = int(rng.integers(length))
        alike = self._alike[symbol]
        first = others = alike
        if symbol.isupper() and rng.random() < 0.35:
            at, others = 0, self._alike.get(symbol.lower(), alike)
        elif symbol.islower() and rng.random() < 0.5:
            first = self._alike.get(symbol.upper(), alike)
        pools = [first] + [others] * (length - 1)
        symbols = [pool[rng.integers(len(pool))] for pool in pools]
        symbols[at] = symbol
        return symbols, at

    @property
    def families(self) -> int:
        """Number of font families."""
        return len(self._families)

    def pick_face(self, rng: np.random.Generator, symbol: str = "") -> Face:
        """A face of a random family, so that one of eighteen files is not seen more often.

        Of those that have ``symbol``, where one is given.
        """
        families = self._families_with.get(symbol, self._families)
        faces = families[rng.integers(len(families))]
        return faces[rng.integers(len(faces))]

    @functools.cached_property
    def drawable(self) -> tuple[str, ...]:
        """Symbols that some face has: all of the alphabet, unless fonts lack some."""
        return drawable(self.alphabet, self.faces)

    @functools.cached_property
    def _families(self) -> list[list[Face]]:
        return _by_family(self.faces)

    @functools.cached_property
    def _families_with(self) -> dict[str, list[list[Face]]]:
        """Families that have a symbol, for each that not all faces have."""
        rare = set().union(*(face.lacking for face in self.faces)) & set(self.drawable)
        return {s: _by_family([f for f in self.faces if s not in f.lacking]) for s in rare}

    @functools.cached_property
    def _alike(self) -> dict[str, list[str]]:
        """Symbols of the same kind (capitals, small letters, digits, others), by symbol."""
        groups: dict[tuple[bool, bool, bool], list[str]] = defaultdict(list)
        for symbol in self.alphabet.symbols:
            groups[symbol.isupper(), symbol.islower(), symbol.isdigit()].append(symbol)
        return {symbol: group for group in groups.values() for symbol in group}

    def _between(self, symbol: str, rng: np.random.Generator) -> tuple[list[str], int]:
        """A symbol and what stands before and after: mostly of the same kind, and its place."""
        around = []
        for _ in range(2):
            pool = self._alike[symbol] if rng.random() < 0.8 else self.alphabet.symbols
            around.append(pool[rng.integers(len(pool))] if rng.random() < 0.8 else "")
        return [around[0], symbol, around[1]], 1


def synthesizer_if_possible(alphabet: Alphabet, seed: int) -> Synthesizer | None:
    """Draw what installed fonts have of ``alphabet``; None, with a warning, where none has any."""
    try:
        return Synthesizer(alphabet, find_faces(alphabet, partly=True), seed)
    except EdgeGlyphError as error:
        log.warning("%s; going on without drawn characters", error)
        return None


def _by_family(faces: Sequence[Face]) -> list[list[Face]]:
    names = sorted({face.family for face in faces})
    return [[face for face in faces if face.family == name] for name in names]
