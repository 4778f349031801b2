"""The ink of single symbols, drawn once by FreeType and kept."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from semi_supervised.synthesis.fonts import Face, load_face

EM = 56  # pixels; capitals come out about 40 pixels high, more than the network's 32

_KEPT = 40_000  # glyphs of about 2 kB


@dataclass(frozen=True)
class Glyph:
    """Ink of one symbol, cut to its box.

    ink : uint8 [height, width], 255 is full ink
    left, top : of the box, pixels right of the pen and below the line's top
    advance : pixels from this pen position to the next one's
    """

    ink: npt.NDArray[np.uint8]
    left: int
    top: int
    advance: float


@functools.lru_cache(maxsize=_KEPT)
def draw_glyph(face: Face, symbol: str) -> Glyph:
    """Draw a symbol of a face at `EM` pixels; a symbol without ink gives an empty box."""
    font = load_face(face, EM)
    core, (left, top) = font.getmask2(symbol, mode="L", anchor="la")
    width, height = core.size
    ink = np.array(core, dtype=np.uint8).reshape(height, width)
    ink.flags.writeable = False
    return Glyph(ink, int(left), int(top), float(font.getlength(symbol)))
