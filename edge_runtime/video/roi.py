"""Fields as one text, for the command line.

    [NAME=]X,Y,WIDTH,HEIGHT[:OPTION]…[; next field]…

Each of the four is in pixels or, with %, in per cent. Options: ``cells=6``, ``cells=2x8`` (rows by
columns), ``gap=10`` (per cent), ``contours``, ``contours=40-90`` (heights in per cent),
``allow=digits``, ``blank=_``. A text that ends in .toml names a file of fields instead.
"""

import re
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingsError
from edge_runtime.video.fields import (
    WHOLE,
    Cells,
    Contours,
    Field,
    Length,
    check_fields,
    symbols_of,
)
from edge_runtime.video.fields_file import read_fields

_NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
_LENGTH = re.compile(rf"\s*({_NUMBER})\s*(%?)\s*", re.ASCII)
_GRID = re.compile(r"(?:(\d{1,4})x)?(\d{1,4})", re.ASCII)
_RANGE = re.compile(rf"({_NUMBER})%?-({_NUMBER})%?", re.ASCII)
_PERCENT = re.compile(rf"({_NUMBER})%?", re.ASCII)
_HINT = "a field is like meter=40,60,320,80:cells=6:allow=digits (docs/video.md)"


def parse_roi(text: str | None) -> tuple[Field, ...]:
    """Fields that a text or the .toml file it names describes; None or nothing: the whole picture.

    Raises
    ------
    SettingsError
        One line that names the field and what is wrong with it.
    """
    if not text or not text.strip():
        return (WHOLE,)
    if text.strip().lower().endswith(".toml"):
        return read_fields(Path(text.strip()))
    parts = [part for part in text.split(";") if part.strip()]
    return check_fields(tuple(_field(part, i + 1) for i, part in enumerate(parts)))


def _field(text: str, number: int) -> Field:
    place, *options = text.strip().split(":")
    head, equals, numbers = place.rpartition("=")
    name = head.strip() if equals else f"field{number}"
    try:
        return Field.box(name, _box(numbers), **_options(options))
    except SettingsError as error:
        raise SettingsError(f"ROI {_short(text)!r}: {error}") from None


def _box(text: str) -> tuple[Length, ...]:
    found = [_LENGTH.fullmatch(part) for part in text.split(",")]
    if len(found) != 4 or not all(found):
        raise SettingsError(f"{_short(text)!r} is not X,Y,WIDTH,HEIGHT; {_HINT}")
    return tuple(Length(float(match[1]), bool(match[2])) for match in found if match)


def _options(options: list[str]) -> dict[str, Any]:
    given: dict[str, str] = {}
    for option in options:
        key, _, value = option.strip().partition("=")
        if key in given:
            raise SettingsError(f"{key} is there twice")
        given[key] = value
    split = _split(given)
    rest: dict[str, Any] = {"split": split} if split else {}
    if "allow" in given:
        rest["allow"] = symbols_of(given.pop("allow"))
        if not rest["allow"]:
            raise SettingsError("allow names no symbol")
    if "blank" in given:
        rest["blank"] = given.pop("blank")
    if given:
        raise SettingsError(f"no option {_short(next(iter(given)))!r}; {_HINT}")
    return rest


def _split(given: dict[str, str]) -> Cells | Contours | None:
    """Take out of ``given`` what says how a field is split."""
    if "contours" in given:
        if {"cells", "gap"} & given.keys():
            raise SettingsError("cells or contours, not both")
        heights = given.pop("contours")
        if not heights:
            return Contours()
        found = _match(_RANGE, heights, "contours", "contours=40-90")
        return Contours(float(found[1]), float(found[2]))
    if "cells" not in given:
        if "gap" in given:
            raise SettingsError("gap needs cells")
        return None
    grid = _match(_GRID, given.pop("cells"), "cells", "cells=6 or, rows by columns, cells=2x8")
    gap = _match(_PERCENT, given.pop("gap", "0"), "gap", "gap=10")
    return Cells(int(grid[2]), int(grid[1] or 1), float(gap[1]))


def _match(pattern: re.Pattern[str], text: str, key: str, example: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if not found:
        raise SettingsError(f"{key}={_short(text)}: write it like {example}")
    return found


def _short(text: str) -> str:
    """For a message of one line."""
    return text.strip() if len(text.strip()) <= 60 else text.strip()[:57] + "..."
