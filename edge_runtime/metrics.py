"""Accuracies and what goes with them, each with its n and a 95 % interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.scores import MILLION

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_LOOK_ALIKES = {"o": "0", "i": "1", "l": "1"}  # after folding case
_BOOTSTRAPS = 200
_BINS = 15

Classes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Metric:
    """A measured value, the number of images it is from, and its 95 % interval."""

    value: float
    n: int
    low: float
    high: float

    def as_json(self) -> dict[str, float | int]:
        """Return the four numbers, rounded to millionths."""
        return {
            "value": round(self.value, 6),
            "n": self.n,
            "low": round(self.low, 6),
            "high": round(self.high, 6),
        }

    @property
    def percent(self) -> str:
        """The value as text: ``85.3 %``."""
        return f"{100 * self.value:.1f} %"

    @property
    def interval(self) -> str:
        """The interval as text: ``84.1 to 86.4 %``."""
        return f"{100 * self.low:.1f} to {100 * self.high:.1f} %"


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers on the same n images.

    only_first, only_second : images that the one has right and the other wrong
    p : two-sided exact p value: were both equally good, these images would fall to either side as a
        coin does (McNemar 1947; Dietterich 1998, "Approximate statistical tests for comparing
        supervised classification learning algorithms")
    """

    only_first: int
    only_second: int
    n: int
    p: float

    def as_json(self) -> dict[str, float | int]:
        """Return the four numbers; p with six significant digits."""
        return {
            "only_first": self.only_first,
            "only_second": self.only_second,
            "n": self.n,
            "p": float(f"{self.p:.6g}"),
        }


def wilson(successes: int, n: int) -> Metric:
    """Proportion with its Wilson score interval (Wilson 1927)."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    p = successes / n
    center = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    low, high = (center - half) / scale, (center + half) / scale
    # Where all or none are successes an end is p itself but for a rounding, which must not pass it.
    return Metric(p, n, max(0.0, min(p, low)), min(1.0, max(p, high)))


def measure(
    ranked: Classes, confidence: Classes, own: Classes, labels: Classes, alphabet: Alphabet
) -> dict[str, Metric]:
    """All metrics of one network on one set.

    Parameters
    ----------
    ranked : int [N, 3 or fewer], classes from likeliest on, equal logits by class number
    confidence, own : int [N], probability of the likeliest class and of the label, in millionths;
        0 means under half a millionth, and for a label that the network does not know
    labels : int [N], indices into ``alphabet``
    alphabet : the classes, after which symbols may follow that the classifier does not know; an
        image of one of those is always wrong
    """
    n = len(labels)
    best = ranked[:, 0]
    correct = best == labels
    return {
        "top1_62": wilson(int(correct.sum()), n),
        "top1_36": _top1_grouped(best, labels, alphabet, look_alikes=False),
        "top1_merged": _top1_grouped(best, labels, alphabet, look_alikes=True),
        "macro": macro_average(correct, labels),
        "top3": wilson(int((ranked[:, :3] == labels[:, np.newaxis]).any(axis=1).sum()), n),
        "nll": _mean(-np.log(np.maximum(own, 0.5) / MILLION)),
        "ece": calibration_error(confidence / MILLION, correct),
    }


def group_of(symbol: str, look_alikes: bool) -> str:
    """Symbol without case; with ``look_alikes``, also O as 0 and I and l as 1."""
    folded = symbol.casefold()
    return _LOOK_ALIKES.get(folded, folded) if look_alikes else folded


def _top1_grouped(best: Classes, labels: Classes, alphabet: Alphabet, look_alikes: bool) -> Metric:
    groups = [group_of(symbol, look_alikes) for symbol in alphabet.symbols]
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    of_class = np.array([number[group] for group in groups])
    return wilson(int((of_class[best] == of_class[labels]).sum()), len(labels))


def macro_average(correct: npt.NDArray[np.bool_], labels: Classes) -> Metric:
    """Mean of the per-class accuracies over the classes present.

    Interval: normal, from the sum of the classes' binomial variances, each at its Wilson center so
    that a class with all right does not count as certain.
    """
    classes = np.unique(labels)
    shares, variance = [], 0.0
    for c in classes:
        members = correct[labels == c]
        m, p = len(members), float(members.mean())
        shares.append(p)
        center = (p * m + Z * Z / 2) / (m + Z * Z)
        variance += center * (1 - center) / (m + Z * Z)
    value = float(np.mean(shares))
    half = Z * math.sqrt(variance) / len(classes)
    return Metric(value, len(labels), max(0.0, value - half), min(1.0, value + half))


def calibration_error(
    confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]
) -> Metric:
    """Expected calibration error over 15 equal bins (Guo et al. 2017), bootstrapped interval."""
    n = len(correct)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = confidence - correct

    def error(rows: npt.NDArray[np.int64]) -> float:
        sums = np.bincount(bins[rows], weights=gaps[rows], minlength=_BINS)
        return float(np.abs(sums).sum() / n)

    rng = np.random.default_rng(0)
    draws = [error(rng.integers(n, size=n)) for _ in range(_BOOTSTRAPS)]
    value = error(np.arange(n))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Metric(value, n, min(value, float(low)), max(value, float(high)))


def _mean(values: npt.NDArray[np.float64]) -> Metric:
    n, value = len(values), float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return Metric(value, n, value - half, value + half)


def rank(logits: npt.NDArray[np.generic], count: int) -> Classes:
    """Classes of the ``count`` largest logits, [N, count]; equal logits by class number."""
    order: Classes = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")[:, :count]
    return order


def agreement(a: Sequence[int] | Classes, b: Sequence[int] | Classes) -> Metric:
    """Share of images on which two back ends name the same class."""
    return wilson(int((np.asarray(a) == np.asarray(b)).sum()), len(a))


def mcnemar(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> McNemar:
    """Compare two classifiers by where each is right, bool [N] of the same images."""
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    n = b + c
    ways, tail = 1, 0  # n over k, and the sum of those up to the smaller side
    for k in range(min(b, c) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return McNemar(b, c, len(first), min(1.0, 2 * tail / 2**n))


def paired_difference(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> Metric:
    """Accuracy of the first minus that of the second, in points, on the same n images.

    Interval: Wald's with half an image added to each of the four cells (Agresti & Min 2005, "Simple
    improved confidence intervals for comparing matched proportions").
    """
    n = len(first)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    total = n + 2
    more, less = b + 0.5, c + 0.5
    center = (more - less) / total
    half = Z * math.sqrt((more + less) / total - center * center) / math.sqrt(total)
    low, high = max(-1.0, center - half), min(1.0, center + half)
    return Metric(100 * (b - c) / n, n, 100 * low, 100 * high)
