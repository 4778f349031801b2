"""Symbols that look alike once they are cut from their word: O, 0 and o; 1, I and l; C and c.

A crop says neither how large a character was beside its neighbours nor what it stood in, so its
label may be in doubt where what it looks like is not. `cpp/src/look_alikes.cpp` has the same sets.
"""

import functools
from collections.abc import Sequence

from edge_runtime.alphabet import Alphabet

LOOK_ALIKES = ("0Oo", "1Il", "Cc", "Kk", "Pp", "Ss", "Uu", "Vv", "Ww", "Xx", "Yy", "Zz")


@functools.lru_cache(maxsize=8)
def look_alikes(alphabet: Alphabet) -> tuple[tuple[int, ...], ...]:
    """Class numbers that look like each class, itself among them, in ascending order.

    A class without look-alikes in this alphabet has itself alone.
    """
    sets = {symbol: alike for alike in LOOK_ALIKES for symbol in alike}
    classes = dict[str, list[int]]()
    for number, symbol in enumerate(alphabet.symbols):
        classes.setdefault(sets.get(symbol, symbol), []).append(number)
    return tuple(tuple(classes[sets.get(symbol, symbol)]) for symbol in alphabet.symbols)


def numbers_of_sets(alphabet: Alphabet) -> list[int]:
    """Number of the set of look-alikes that each class belongs to, in order of their first."""
    alike = look_alikes(alphabet)
    numbers = {classes: number for number, classes in enumerate(dict.fromkeys(alike))}
    return [numbers[classes] for classes in alike]


def either(symbols: Sequence[str]) -> str:
    """Symbols as a sentence names them: ``O, 0 or o``."""
    *before, last = symbols
    return f"{', '.join(before)} or {last}" if before else last
