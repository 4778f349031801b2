"""Find open-license fonts that have every symbol of an alphabet.

The fonts come from ``fontpkg-*`` packages (extra ``fonts``): font families as ordinary Python
packages, each with its license. Nothing is downloaded here.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError, MissingDependencyError

WEIGHTS = (300, 400, 550, 700, 900)  # instances drawn from a variable weight axis


@dataclass(frozen=True)
class Face:
    """One drawable instance of a font: a file and, for a variable font, its axes' values."""

    family: str
    file: Path
    axes: tuple[float, ...] = ()


@functools.lru_cache(maxsize=2048)
def load_face(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Open a face at a size in pixels."""
    font = ImageFont.truetype(str(face.file), size, layout_engine=ImageFont.Layout.BASIC)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


@functools.cache
def find_faces(alphabet: Alphabet) -> tuple[Face, ...]:
    """Faces of all installed families that have all symbols, sorted by family and file.

    Raises
    ------
    MissingDependencyError
        No font package is installed.
    InputError
        None of them has all the symbols.
    """
    try:
        import fontpkg
    except ImportError:
        raise _no_fonts() from None
    families = fontpkg.families()
    if not families:
        raise _no_fonts()
    faces = tuple(
        face
        for slug, family in sorted(families.items())
        for file in sorted(str(file.path) for file in family.files)
        for face in _faces_of(slug, Path(file), alphabet)
    )
    if not faces:
        raise InputError(
            f"none of the {len(families)} installed font families has all of the "
            f"{len(alphabet)} symbols; install a fontpkg-* package that has them"
        )
    return faces


def _no_fonts() -> MissingDependencyError:
    return MissingDependencyError(
        "drawing characters needs font packages: pip install 'edgeglyph[fonts]'"
    )


def _faces_of(family: str, file: Path, alphabet: Alphabet) -> list[Face]:
    from fontTools.ttLib import TTFont

    with TTFont(file, lazy=True) as font:
        characters = font.getBestCmap()
        if any(ord(c) not in characters for symbol in alphabet.symbols for c in symbol):
            return []
        if "fvar" not in font:
            return [Face(family, file)]
        axes = [(a.axisTag, a.minValue, a.defaultValue, a.maxValue) for a in font["fvar"].axes]
    weight = next((axis for axis in axes if axis[0] == "wght"), None)
    inside = [w for w in WEIGHTS if weight and weight[1] <= w <= weight[3]]
    wanted: list[int | None] = list(inside) or [None]
    return [
        Face(
            family,
            file,
            tuple(
                float(w) if w is not None and tag == "wght" else float(default)
                for tag, _, default, _ in axes
            ),
        )
        for w in wanted
    ]
