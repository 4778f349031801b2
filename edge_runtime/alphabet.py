"""The alphabet: which symbol each class stands for, and how folders name a symbol."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_runtime.errors import LabelError, SettingsError

_SAMPLE_FOLDER = re.compile(r"Sample(\d{3,4})")
_NAMED_FOLDER = re.compile(r"(upper|lower|digit)_(.)")
FOLDER_FORMS = "SampleNNN, the character itself, or upper_A / lower_a / digit_0"


@dataclass(frozen=True)
class Alphabet:
    """An ordered set of 2 to 4,096 distinct symbols; class ``i`` is ``symbols[i]``."""

    symbols: tuple[str, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 2 <= len(self.symbols) <= 4096:
            raise SettingsError(f"an alphabet has 2 to 4096 symbols, not {len(self.symbols)}")
        index = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(index) != len(self.symbols):
            twice = next(s for i, s in enumerate(self.symbols) if index[s] != i)
            raise SettingsError(f"the alphabet names {twice!r} twice: remove one of them")
        for symbol in self.symbols:
            if not symbol or any(c.isspace() or not c.isprintable() for c in symbol):
                raise SettingsError(f"{symbol!r} cannot be a symbol: it is empty or not printable")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def index(self, symbol: str) -> int:
        """Class number of ``symbol``; `LabelError` if the alphabet lacks it."""
        try:
            return self._index[symbol]
        except KeyError:
            raise LabelError(
                f"label {symbol!r} is not among the {len(self)} symbols of the alphabet"
            ) from None

    def symbol_of_folder(self, name: str) -> str | None:
        """Return the symbol that a class folder's name stands for, or None if it is none.

        ``SampleNNN`` is class NNN - 1, as in Chars74K. Two folders that differ only in case
        cannot live side by side on some file systems, hence ``upper_A`` and ``lower_a``.
        """
        if match := _SAMPLE_FOLDER.fullmatch(name):
            number = int(match[1])
            if not 1 <= number <= len(self):
                raise LabelError(
                    f"folder {name} is class {number}, but the alphabet has {len(self)} symbols"
                )
            return self.symbols[number - 1]
        if match := _NAMED_FOLDER.fullmatch(name):
            kind, symbol = match[1], match[2]
            matches = {
                "upper": symbol.isupper(),
                "lower": symbol.islower(),
                "digit": symbol.isdigit(),
            }[kind]
            return symbol if matches and symbol in self else None
        return name if name in self else None

    def folder_of_symbol(self, symbol: str) -> str:
        """Return the SampleNNN folder name of ``symbol``."""
        return f"Sample{self.index(symbol) + 1:03d}"


def parse_alphabet(text: str) -> Alphabet:
    """Read an alphabet given as its characters in a row, for example ``0123456789``."""
    return Alphabet(tuple(text))


def classes_of(labels: Sequence[str], alphabet: Alphabet) -> list[int]:
    """Class numbers of a sequence of labels."""
    return [alphabet.index(label) for label in labels]


ALPHABET_62 = parse_alphabet("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
