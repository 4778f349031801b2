"""From logits to probabilities, the label and p_real: one definition for every back end.

With z the logits over the bundle's temperature, confidence = max softmax(z), and p_real =
sigmoid(logsumexp(z)): the classifier is the discriminator too, and the implicit class "fake" has
logit 0 (Salimans et al. 2016, "Improved techniques for training GANs", section 5).

An integer network's logits q stand for z = q · 2^-fix_point / (logit_scale · temperature). Their
probabilities come from tables of integers that the bundle carries, in integer arithmetic,
because exp() differs between C libraries and the printed text must not. All probabilities are
millionths; ties go to the lowest class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.look_alikes import look_alikes

MILLION = 1_000_000
_ONE = 1 << 30  # exp(0) in the table
_CAP = 1 << 62
_WIDE_LIMIT = 1 << 24
_NOTHING = 22.0  # 2^30 · exp(-22) is 0.3

Millionths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoreTable:
    """Exponentials of every difference that int8 logits can have.

    softmax : 256 integers, entry d is round(2^30 · exp(-d · unit))
    fake : 256 integers, entry m + 128 is round(2^30 · exp(-m · unit)), at most 2^62; the weight of
        the class "fake" beside a largest logit m
    """

    softmax: tuple[int, ...]
    fake: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.softmax) != 256 or len(self.fake) != 256:
            raise ValueError("a score table has 256 entries twice")
        if self.softmax[0] != _ONE or not all(0 <= e <= _ONE for e in self.softmax):
            raise ValueError("entries of the softmax table lie in 0..2^30, the first is 2^30")
        if not all(0 <= e <= _CAP for e in self.fake):
            raise ValueError("entries of the fake table lie in 0..2^62")

    @classmethod
    def build(cls, fix_point: int, logit_scale: float, temperature: float) -> "ScoreTable":
        """Build the tables for logits at ``fix_point``."""
        unit = 2.0**-fix_point / (logit_scale * temperature)
        softmax = tuple(round(_ONE * math.exp(-d * unit)) for d in range(256))
        fake = tuple(
            min(_CAP, round(_ONE * math.exp(min(-m * unit, 40.0)))) for m in range(-128, 128)
        )
        return cls(softmax, fake)

    def probabilities(self, logits: npt.NDArray[np.int8]) -> tuple[Millionths, Millionths]:
        """Class probabilities [N, classes] and p_real [N] of int8 logits [N, classes].

        p_i = floor((2·10^6 · E_i + S) / 2S) with E_i = softmax[max - q_i] and S their sum; p_real
        likewise from S / (S + fake[max]). Every product fits in 64 bits for 4,096 classes.
        """
        largest = logits.max(axis=1).astype(np.int64)
        table = np.array(self.softmax, np.uint64)
        weights = table[largest[:, np.newaxis] - logits]
        total = weights.sum(axis=1, dtype=np.uint64)
        probabilities = _millionths(weights, total[:, np.newaxis])
        fake = np.array(self.fake, np.uint64)[largest + 128]
        return probabilities, _millionths(total, total + fake)


@dataclass(frozen=True)
class WideScoreTable:
    """Exponentials of every difference that int32 logits can have, as products of three.

    For a difference d, in units of 2^shift: with d = (a · 256 + b) · 256 + c, at most 2^24 - 1,
    exp(-d · unit) is coarse[a] · middle[b] · fine[c], each times 2^30. ``shift`` is 0 unless the
    logits are so fine that 2^24 units are less than 22, where 2^30 · exp(-22) is below one half.
    """

    coarse: tuple[int, ...]
    middle: tuple[int, ...]
    fine: tuple[int, ...]
    shift: int

    def __post_init__(self) -> None:
        for table in (self.coarse, self.middle, self.fine):
            if len(table) != 256 or table[0] != _ONE or not all(0 <= e <= _ONE for e in table):
                raise ValueError("a wide score table has three of 256 entries in 0..2^30")
        if not 0 <= self.shift <= 31:
            raise ValueError(f"the shift of a wide score table is {self.shift}, not in 0..31")

    @classmethod
    def build(cls, fix_point: int, logit_scale: float, temperature: float) -> "WideScoreTable":
        """Build the tables for logits at ``fix_point``."""
        unit = 2.0**-fix_point / (logit_scale * temperature)
        shift = 0
        while unit * _WIDE_LIMIT < _NOTHING and shift < 31:
            shift, unit = shift + 1, 2 * unit
        coarse, middle, fine = (
            tuple(round(_ONE * math.exp(-i * weight * unit)) for i in range(256))
            for weight in (65536, 256, 1)
        )
        return cls(coarse, middle, fine, shift)

    def probabilities(self, logits: npt.NDArray[np.int32]) -> tuple[Millionths, Millionths]:
        """Class probabilities [N, classes] and p_real [N] of int32 logits [N, classes].

        As in `ScoreTable`, with E_i = exponential(max - q_i). The weight of "fake" is
        exponential(max), or 2^60 // exponential(-max) where max is negative.
        """
        wide = logits.astype(np.int64)
        largest = wide.max(axis=1)
        weights = self._exponential(largest[:, np.newaxis] - wide)
        total = weights.sum(axis=1, dtype=np.uint64)
        beside = self._exponential(np.abs(largest))
        inverse = np.uint64(_ONE * _ONE) // np.maximum(beside, np.uint64(1))
        fake = np.where(largest < 0, inverse, beside)
        return _millionths(weights, total[:, np.newaxis]), _millionths(total, total + fake)

    def _exponential(self, difference: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """Return round(2^30 · exp(-difference · unit)), rounded after each product."""
        d = np.minimum(difference >> self.shift, _WIDE_LIMIT - 1)
        found = np.array(self.coarse, np.uint64)[d >> 16]
        for table, index in ((self.middle, (d >> 8) & 255), (self.fine, d & 255)):
            product = found * np.array(table, np.uint64)[index]
            found = (product + np.uint64(_ONE // 2)) >> np.uint64(30)
        return np.asarray(found, np.uint64)


def float_probabilities(
    logits: npt.NDArray[np.floating], temperature: float = 1.0
) -> tuple[Millionths, Millionths]:
    """Return the same two of a float network's logits [N, classes], in floating point."""
    z = logits.astype(np.float64) / temperature
    largest = z.max(axis=1, keepdims=True)
    weights = np.exp(z - largest)
    total = weights.sum(axis=1, keepdims=True)
    log_total = np.log(total) + largest
    # sigmoid(x) = exp(-log(1 + exp(-x))), stable for either sign of x
    p_real = np.exp(-np.logaddexp(0.0, -log_total))[:, 0]
    return _rounded(weights / total), _rounded(p_real)


def _millionths(part: npt.NDArray[np.uint64], whole: npt.NDArray[np.uint64]) -> Millionths:
    scaled = part * np.uint64(2 * MILLION) + whole
    return (scaled // (np.uint64(2) * whole)).astype(np.int64)


def _rounded(probabilities: npt.NDArray[np.float64]) -> Millionths:
    return np.floor(probabilities * MILLION + 0.5).astype(np.int64)


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image; probabilities are in millionths.

    top : the likeliest symbols with their probabilities, the label first
    alike : the label, then the symbols that look like it, likeliest first, with probabilities
    """

    label: str
    confidence: int
    p_real: int
    top: tuple[tuple[str, int], ...]
    logits: tuple[int | float, ...]
    alike: tuple[tuple[str, int], ...]

    @property
    def alike_confidence(self) -> int:
        """Probability of the label and its look-alikes together."""
        return sum(probability for _, probability in self.alike)


def build_table(
    int32_logits: bool, fix_point: int, logit_scale: float, temperature: float
) -> ScoreTable | WideScoreTable:
    """Build the table for int8 or for int32 logits at ``fix_point``."""
    kind = WideScoreTable if int32_logits else ScoreTable
    return kind.build(fix_point, logit_scale, temperature)


def predictions(
    logits: npt.NDArray[np.generic],
    probabilities: Millionths,
    p_real: Millionths,
    alphabet: Alphabet,
    top_k: int,
) -> list[Prediction]:
    """Predictions for a batch; classes of equal logit are ranked by class number."""
    order = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :top_k]
    sets = look_alikes(alphabet)
    found = []
    for row, best, real, values in zip(probabilities, order, p_real, logits, strict=True):
        similar = np.array(sets[best[0]])
        similar = similar[np.argsort(-values[similar].astype(np.float64), kind="stable")]
        top, alike = (
            tuple((alphabet.symbols[c], int(row[c])) for c in classes)
            for classes in (best, similar)
        )
        found.append(
            Prediction(top[0][0], top[0][1], int(real), top, tuple(values.tolist()), alike)
        )
    return found


def decimal(millionths: int) -> str:
    """Six decimals of a number of millionths, for example ``0.983211``."""
    return f"{millionths // MILLION}.{millionths % MILLION:06d}"


def decimals(values: Sequence[int | float]) -> str:
    """Logits as JSON text: integers as they are, floats with six decimals."""
    return ", ".join(str(v) if isinstance(v, int) else f"{v:.6f}" for v in values)
