"""Fields from a TOML file, which also has room for slanted ones.

[[field]]
name = "meter"
box = [40, 60, 320, 80]              # or "10%" for any of them
# corners = [[40, 60], [360, 70], [358, 150], [38, 140]]   instead of box, clockwise from top left
cells = 6
allow = "digits"
"""

import tomllib
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingsError
from edge_runtime.video.fields import (
    Cells,
    Contours,
    Field,
    Length,
    Point,
    check_fields,
    symbols_of,
)

_KEYS = ("name", "box", "corners", "cells", "rows", "gap", "contours", "allow", "blank")


def read_fields(path: Path) -> tuple[Field, ...]:
    """Fields of a file.

    Raises
    ------
    SettingsError
        No such file, no TOML, an unknown key or an impossible value: one line.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file ({error})") from None
    fields = tables.get("field")
    if set(tables) != {"field"} or not isinstance(fields, list):
        raise SettingsError(f"{path}: fields are [[field]] tables and nothing else")
    found = []
    for number, table in enumerate(fields, 1):
        try:
            found.append(_field(table, number))
        except SettingsError as error:
            raise SettingsError(f"{path}: field {number}: {error}") from None
    try:
        return check_fields(tuple(found))
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _field(table: Any, number: int) -> Field:
    if not isinstance(table, dict):
        raise SettingsError("write [[field]], then keys")
    for key in table:
        if key not in _KEYS:
            raise SettingsError(f"no key {key}; there are {', '.join(_KEYS)}")
    rest: dict[str, Any] = {}
    if split := _split(table):
        rest["split"] = split
    if "allow" in table:
        rest["allow"] = symbols_of(_text(table, "allow"))
    if "blank" in table:
        rest["blank"] = _text(table, "blank")
    name = _text(table, "name") if "name" in table else f"field{number}"
    if ("box" in table) == ("corners" in table):
        raise SettingsError("name either its box or its corners")
    if "box" in table:
        return Field.box(name, _lengths(table["box"], 4, "box = [x, y, width, height]"), **rest)
    return Field(name, _corners(table["corners"]), upright=False, **rest)


def _corners(value: Any) -> tuple[Point, Point, Point, Point]:
    what = "corners = [[x, y], [x, y], [x, y], [x, y]]"
    if not isinstance(value, list) or len(value) != 4:
        raise SettingsError(f"write {what}")
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = (_lengths(point, 2, what) for point in value)
    return (ax, ay), (bx, by), (cx, cy), (dx, dy)


def _lengths(value: Any, count: int, what: str) -> tuple[Length, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise SettingsError(f"write {what}")
    return tuple(_length(item, what) for item in value)


def _length(value: Any, what: str) -> Length:
    if type(value) in (int, float):
        return Length(float(value))
    if isinstance(value, str) and value.endswith("%"):
        try:
            return Length(float(value[:-1]), percent=True)
        except ValueError:
            pass
    raise SettingsError(f"{value!r} is neither pixels nor a text like '10%'; write {what}")


def _split(table: dict[str, Any]) -> Cells | Contours | None:
    contours = table.get("contours", False)
    if contours is not False:
        if {"cells", "rows", "gap"} & table.keys():
            raise SettingsError("cells or contours, not both")
        if contours is True:
            return Contours()
        if not isinstance(contours, list) or len(contours) != 2:
            raise SettingsError("write contours = true, or contours = [smallest, largest]")
        return Contours(*(_number(limit, "contours") for limit in contours))
    if "cells" not in table:
        if {"rows", "gap"} & table.keys():
            raise SettingsError("rows and gap need cells")
        return None
    columns, rows = table["cells"], table.get("rows", 1)
    if type(columns) is not int or type(rows) is not int:
        raise SettingsError("cells and rows are whole numbers")
    return Cells(columns, rows, _number(table.get("gap", 0), "gap"))


def _number(value: Any, key: str) -> float:
    if type(value) not in (int, float):
        raise SettingsError(f"{key} is {value!r}, not a number")
    return float(value)


def _text(table: dict[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{key} is {value!r}, not a text")
    return value
