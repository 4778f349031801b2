"""What a classifier does to each class: precision, recall, and what is taken for what."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.metrics import Classes, Metric, wilson


@dataclass(frozen=True)
class PerClass:
    """Precision and recall of one class.

    precision : share of the images so classified that are so labeled; None where there is none
    recall : share of the images so labeled that are so classified; None where there is none
    """

    precision: Metric | None
    recall: Metric | None

    def as_json(self) -> dict[str, Any]:
        """Return both metrics, null where there is none."""
        both = {"precision": self.precision, "recall": self.recall}
        return {name: None if metric is None else metric.as_json() for name, metric in both.items()}


@dataclass(frozen=True)
class Confusion:
    """``count`` of the ``n`` images labeled ``label`` were classified as ``found``."""

    label: str
    found: str
    count: int
    n: int

    def as_json(self) -> dict[str, str | int]:
        """Return the four as they are."""
        return {"label": self.label, "found": self.found, "count": self.count, "n": self.n}


def per_class(best: Classes, labels: Classes, alphabet: Alphabet) -> dict[str, PerClass]:
    """Precision and recall of every symbol that occurs as a label or as an answer.

    Parameters
    ----------
    best, labels : int [N], indices into ``alphabet``: the answers and the truth
    """
    size = len(alphabet)
    answered = np.bincount(best, minlength=size)
    labeled = np.bincount(labels, minlength=size)
    right = np.bincount(labels[best == labels], minlength=size)
    return {
        symbol: PerClass(_share(right[i], answered[i]), _share(right[i], labeled[i]))
        for i, symbol in enumerate(alphabet.symbols)
        if answered[i] or labeled[i]
    }


def confusions(best: Classes, labels: Classes, alphabet: Alphabet, count: int) -> list[Confusion]:
    """The ``count`` most frequent mistakes, label for answer; equally frequent by class number."""
    wrong = best != labels
    pairs = labels[wrong].astype(np.int64) * len(alphabet) + best[wrong]
    kinds, times = np.unique(pairs, return_counts=True)
    labeled = np.bincount(labels, minlength=len(alphabet))
    found = []
    for k in np.argsort(-times, kind="stable")[:count]:
        label, answer = divmod(int(kinds[k]), len(alphabet))
        names = alphabet.symbols[label], alphabet.symbols[answer]
        found.append(Confusion(*names, int(times[k]), int(labeled[label])))
    return found


def _share(right: np.int64, n: np.int64) -> Metric | None:
    return wilson(int(right), int(n)) if n else None
