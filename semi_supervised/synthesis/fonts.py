"""Find open-license fonts that have the symbols of an alphabet.

The fonts come from ``fontpkg-*`` packages (extra ``fonts``): font families as ordinary Python
packages, each with its license. Nothing is downloaded here.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError, MissingDependencyError

WEIGHTS = (300, 400, 550, 700, 900)  # instances drawn from a variable weight axis
ENOUGH = 5  # families that have the whole alphabet: with fewer, those with a part of it help out


@dataclass(frozen=True)
class Face:
    """One drawable instance of a font: a file and, for a variable font, its axes' values.

    lacking : symbols of the alphabet that it was looked for with and that it cannot draw
    """

    family: str
    file: Path
    axes: tuple[float, ...] = ()
    lacking: frozenset[str] = frozenset()


@functools.lru_cache(maxsize=2048)
def load_face(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """Open a face at a size in pixels."""
    font = ImageFont.truetype(str(face.file), size, layout_engine=ImageFont.Layout.BASIC)
    if face.axes:
        font.set_variation_by_axes(list(face.axes))
    return font


@functools.cache
def find_faces(alphabet: Alphabet, partly: bool = False) -> tuple[Face, ...]:
    """Faces of all installed families that have all symbols, sorted by family and file.

    With ``partly``, also faces that have some, where fewer than `ENOUGH` families have all. A
    symbol may then be left that no face has; `drawable` tells which are not.

    Raises
    ------
    MissingDependencyError
        No font package is installed.
    InputError
        None of them has all the symbols; with ``partly``, any of them.
    """
    try:
        import fontpkg
    except ImportError:
        raise _no_fonts() from None
    families = fontpkg.families()
    if not families:
        raise _no_fonts()
    some = tuple(
        face
        for slug, family in sorted(families.items())
        for file in sorted(str(file.path) for file in family.files)
        for face in _faces_of(slug, Path(file), alphabet)
    )
    whole = tuple(face for face in some if not face.lacking)
    faces = some if partly and len({face.family for face in whole}) < ENOUGH else whole
    if not faces:
        raise InputError(
            f"none of the {len(families)} installed font families has {'any' if partly else 'all'} "
            f"of the {len(alphabet)} symbols; install a fontpkg-* package that has them"
        )
    return faces


def drawable(alphabet: Alphabet, faces: Iterable[Face]) -> tuple[str, ...]:
    """Symbols that at least one of the faces has, in the alphabet's order."""
    faces = tuple(faces)
    return tuple(s for s in alphabet.symbols if any(s not in face.lacking for face in faces))


def _no_fonts() -> MissingDependencyError:
    return MissingDependencyError(
        "drawing characters needs font packages: pip install 'edgeglyph[fonts]'"
    )


def _faces_of(family: str, file: Path, alphabet: Alphabet) -> list[Face]:
    from fontTools.ttLib import TTFont

    with TTFont(file, lazy=True) as font:
        characters = font.getBestCmap()
        lacking = frozenset(
            symbol for symbol in alphabet.symbols if any(ord(c) not in characters for c in symbol)
        )
        if len(lacking) == len(alphabet):
            return []
        if "fvar" not in font:
            return [Face(family, file, lacking=lacking)]
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
            lacking,
        )
        for w in wanted
    ]
