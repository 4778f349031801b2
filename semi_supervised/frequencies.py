"""How often each symbol is met, for drawing characters as often as the world shows them.

A classifier learns the frequencies of its training images along with their shapes; where shapes
agree (O, o and 0 once stretched to a square) they decide. Characters drawn in equal numbers
therefore cost a classifier of scene text several points (docs/data.md has the measurement).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet

# Per cent of the letters of English text (Lewand, Cryptological Mathematics, 2000).
_ENGLISH: Final = {
    "e": 12.70, "t": 9.06, "a": 8.17, "o": 7.51, "i": 6.97, "n": 6.75, "s": 6.33, "h": 6.09,
    "r": 5.99, "d": 4.25, "l": 4.03, "c": 2.78, "u": 2.76, "m": 2.41, "w": 2.36, "f": 2.23,
    "g": 2.02, "y": 1.97, "p": 1.93, "b": 1.49, "v": 0.98, "k": 0.77, "j": 0.15, "x": 0.15,
    "q": 0.10, "z": 0.07,
}  # fmt: skip
# Signs speak in capitals, names and prices: letters are spread more evenly than in prose.
_FLATTENED: Final = 0.6
_KINDS: Final = {"capital": 0.63, "small": 0.27, "digit": 0.10, "other": 0.05}

FREQUENCIES: Final = ("labels", "signs", "even")
_SMOOTHING: Final = 20.0  # images that what signs show counts for beside counted labels


def expected_frequencies(
    alphabet: Alphabet, kind: str, labels: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """How often each symbol is to be expected, float64 [classes], summing to 1.

    Parameters
    ----------
    kind : "labels" to count them, with a little of "signs" for rare ones; or as in
        `symbol_frequencies`
    labels : int [N], classes of images that were not chosen by class; none counts as "signs"
    """
    if kind != "labels":
        return symbol_frequencies(alphabet, kind)
    counts = np.bincount(labels, minlength=len(alphabet))
    smoothed = counts + _SMOOTHING * symbol_frequencies(alphabet, "signs")
    return np.asarray(smoothed / smoothed.sum())


def symbol_frequencies(alphabet: Alphabet, kind: str) -> npt.NDArray[np.float64]:
    """Probability of each symbol, float64 [classes], summing to 1.

    Parameters
    ----------
    kind : "even", or "signs" for letters as on English signs: two thirds capitals, a quarter small
        letters, a tenth digits, each letter about as often as English uses it. Kinds that the
        alphabet lacks leave their share to the others; letters that English lacks count as its
        mean one.
    """
    if kind == "even":
        return np.full(len(alphabet), 1 / len(alphabet))
    kinds = [_kind_of(symbol) for symbol in alphabet.symbols]
    mean = float(np.mean([v**_FLATTENED for v in _ENGLISH.values()]))
    weights = np.array(
        [
            _ENGLISH[s.lower()] ** _FLATTENED if s.lower() in _ENGLISH else mean
            for s in alphabet.symbols
        ]
    )
    for name, share in _KINDS.items():
        members = np.array([k == name for k in kinds])
        if members.any():
            weights[members] *= share / weights[members].sum()
    frequencies: npt.NDArray[np.float64] = weights / weights.sum()
    return frequencies


def _kind_of(symbol: str) -> str:
    if symbol.isdigit():
        return "digit"
    return "capital" if symbol.isupper() else "small" if symbol.islower() else "other"
