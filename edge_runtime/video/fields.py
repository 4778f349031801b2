"""What a field is: a named place in the picture, how it is split, which symbols it may hold."""

import math
from dataclasses import dataclass

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import SettingsError

MOST_FIELDS = 64
MOST_CELLS = 256
NAMED_SETS = {
    "digits": "0123456789",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": "abcdefghijklmnopqrstuvwxyz",
}
NAMED_SETS["letters"] = NAMED_SETS["upper"] + NAMED_SETS["lower"]


@dataclass(frozen=True)
class Length:
    """A number of pixels, or per cent of the picture's width or height."""

    value: float
    percent: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or not 0 <= self.value <= 1e6:
            raise SettingsError(f"{self} is no place in a picture")

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else ''}"

    def pixels(self, whole: int) -> float:
        """Pixels, where ``whole`` is the picture's width or height."""
        return self.value * whole / 100 if self.percent else self.value


Point = tuple[Length, Length]  # x, y


@dataclass(frozen=True)
class Cells:
    """A grid of equal cells, read row by row.

    gap : space between neighbouring cells, in per cent of the distance from one to the next
    """

    columns: int
    rows: int = 1
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.rows * self.columns > MOST_CELLS:
            raise SettingsError(
                f"cells={self.rows}x{self.columns}: a field has 1 to {MOST_CELLS} cells"
            )
        if not 0 <= self.gap <= 90:  # also refuses NaN
            raise SettingsError(f"gap={self.gap:g}: a gap takes 0 to 90 per cent of a cell")


@dataclass(frozen=True)
class Contours:
    """One line of characters apart from each other, found by their outlines, left to right.

    smallest, largest : height of a character, in per cent of the field's
    """

    smallest: float = 30.0
    largest: float = 100.0

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= self.largest <= 100:
            raise SettingsError(
                f"contours={self.smallest:g}-{self.largest:g}: heights go up, within 0 to 100 "
                "per cent of the field's"
            )


@dataclass(frozen=True)
class Field:
    """One field.

    corners : top left, top right, bottom right, bottom left, as a person reads it
    upright : whether they are a rectangle along the picture's edges
    split : how it is split into characters
    allow : symbols that it may hold; empty: all of the bundle's
    blank : what stands for a cell without a character in a grid
    """

    name: str
    corners: tuple[Point, Point, Point, Point]
    upright: bool = True
    split: Cells | Contours = Contours()
    allow: str = ""
    blank: str = "_"

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 40 or not self.name.isprintable():
            raise SettingsError(f"{self.name!r} cannot be a field's name (1 to 40 characters)")
        if len(self.blank) != 1 or not self.blank.isprintable():
            raise SettingsError(f"blank is {self.blank!r}; it is one character, for example _")

    @classmethod
    def box(cls, name: str, box: tuple[Length, ...], **rest: object) -> "Field":
        """A rectangle ``x, y, width, height``, each in pixels or in per cent."""
        x, y, width, height = box
        if (x.percent, y.percent) != (width.percent, height.percent):
            raise SettingsError(f"{name}: x with width, and y with height, are both px or both %")
        if not width.value or not height.value:
            raise SettingsError(f"{name}: {width} wide and {height} high: there is nothing in it")
        right = Length(x.value + width.value, x.percent)
        bottom = Length(y.value + height.value, y.percent)
        corners = ((x, y), (right, y), (right, bottom), (x, bottom))
        return cls(name, corners, **rest)  # type: ignore[arg-type]

    def classes(self, alphabet: Alphabet) -> tuple[int, ...]:
        """Class numbers that the field may hold, in ascending order."""
        if not self.allow:
            return tuple(range(len(alphabet)))
        for symbol in self.allow:
            if symbol not in alphabet:
                raise SettingsError(
                    f"field {self.name}: the bundle cannot read {symbol!r}; it knows "
                    f"{''.join(alphabet.symbols[:80])}"
                )
        return tuple(sorted({alphabet.index(symbol) for symbol in self.allow}))


WHOLE = Field.box("picture", (Length(0, True),) * 2 + (Length(100, True),) * 2)


def symbols_of(text: str) -> str:
    """Symbols that ``allow`` names: ``digits``, ``upper``, ``lower``, ``letters``, or themselves.

    Several named sets are joined by +, as in ``upper+digits``.
    """
    names = text.split("+")
    if all(name in NAMED_SETS for name in names):
        return "".join(NAMED_SETS[name] for name in names)
    if not text.isprintable() or " " in text:
        raise SettingsError(f"allow={text!r}: name symbols, or {', '.join(NAMED_SETS)}")
    return text


def check_fields(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Refuse no fields, too many, and two of one name."""
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise SettingsError(f"there are {len(fields)} fields; name 1 to {MOST_FIELDS}")
    names = [field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"two fields are called {name!r}: give each a name of its own")
    return fields
