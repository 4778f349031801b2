"""The alphabet: which symbol each class stands for, and how folders name a symbol."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_runtime.errors import LabelError, SettingsError

_SAMPLE_FOLDER = re.compile(r"Sample(\d{3,4})")
_NAMED_FOLDER = re.compile(r"(upper|lower|digit)_(.)")
_CODE_FOLDER = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
MOST_SYMBOLS = 4096
FOLDER_FORMS = "SampleNNN, the character itself, upper_A / lower_a / digit_0, or U+002F for /"


@dataclass(frozen=True)
class Alphabet:
    """An ordered set of 2 to 4,096 distinct symbols; class ``i`` is ``symbols[i]``."""

    symbols: tuple[str, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 2 <= len(self.symbols) <= MOST_SYMBOLS:
            raise SettingsError(
                f"an alphabet has 2 to {MOST_SYMBOLS} symbols, not {len(self.symbols)}"
            )
        index = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(index) != len(self.symbols):
            twice = next(s for i, s in enumerate(self.symbols) if index[s] != i)
            raise SettingsError(f"the alphabet names {twice!r} twice: remove one of them")
        for symbol in self.symbols:
            if not _is_symbol(symbol):
                raise SettingsError(f"{symbol!r} cannot be a symbol: it is empty or not printable")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def index(self, symbol: str) -> int:
        """Class number of ``symbol``; `LabelError` if the alphabet lacks it."""
        self.require(symbol)
        return self._index[symbol]

    def require(self, symbol: str) -> None:
        """Raise `LabelError` where ``symbol`` is none of the alphabet."""
        if symbol not in self:
            raise LabelError(
                f"label {symbol!r} is not among the {len(self)} symbols of the alphabet"
            )

    def symbol_of_folder(self, name: str) -> str | None:
        """Return the symbol that a class folder's name stands for, or None if it is none.

        ``SampleNNN`` is class NNN - 1, as in Chars74K. Two folders that differ only in case
        cannot live side by side on some file systems, hence ``upper_A`` and ``lower_a``; some
        characters cannot be a folder's name at all, hence ``U+002F``.
        """
        name = unicodedata.normalize("NFC", name)  # macOS takes accents off their letters
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
        if match := _CODE_FOLDER.fullmatch(name):
            code = int(match[1], 16)
            symbol = chr(code) if code < 0x110000 else ""
            return symbol if symbol in self else None
        return name if name in self else None

    def folder_of_symbol(self, symbol: str) -> str:
        """Return the SampleNNN folder name of ``symbol``."""
        return f"Sample{self.index(symbol) + 1:03d}"


class AnyCharacter(Alphabet):
    """Takes every single printable character for a symbol: to learn which ones labels name.

    It has no class numbers but those of 0-9A-Za-z, which folders named SampleNNN stand for.
    """

    def __init__(self) -> None:
        super().__init__(ALPHABET_62.symbols)

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and len(symbol) == 1 and _is_symbol(symbol)

    def require(self, symbol: str) -> None:
        """Raise `LabelError` where ``symbol`` is not one printable character."""
        if symbol not in self:
            raise LabelError(f"label {symbol!r} is not one printable character")


def _is_symbol(text: str) -> bool:
    return bool(text) and all(c.isprintable() and not c.isspace() for c in text)


def parse_alphabet(text: str) -> Alphabet:
    """Read an alphabet given as its characters in a row, for example ``0123456789``."""
    return Alphabet(tuple(text))


def classes_of(labels: Sequence[str], alphabet: Alphabet) -> list[int]:
    """Class numbers of a sequence of labels."""
    return [alphabet.index(label) for label in labels]


ALPHABET_62 = parse_alphabet("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
