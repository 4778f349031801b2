"""Labels that are probably wrong, by confident learning (Northcutt, Jiang, Chuang, JAIR 2021).

Look-alikes (c and C, 0 and O, 1 and l and I) count as one class for this: cut from its word, such
a character shows no more than that it is one of them. A label that disagrees inside such a class
is ambiguous rather than wrong, and told apart.

The number of wrong labels is estimated from the confident joint, and that many images with the
lowest odds of their label are named, of whatever class: cleanlab 2.9 prunes class by class, and
found 80 % of the planted errors where this finds 94 % on the same predictions (docs/data.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.look_alikes import numbers_of_sets

_CLEARLY = 3.0  # an ambiguous label's look-alike is that many times as likely, or more

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """An image whose label is in doubt.

    image : its position
    suggested : the symbol that the network reads instead
    p_label, p_suggested : its probabilities of both, each together with its look-alikes where the
        label is wrong rather than ambiguous
    """

    image: int
    label: str
    suggested: str
    p_label: float
    p_suggested: float

    @property
    def odds(self) -> float:
        """Share of the label in both probabilities, 0 (surely wrong) to 1: the ranking."""
        return self.p_label / (self.p_label + self.p_suggested)


@dataclass(frozen=True)
class Suspects:
    """Doubtful labels, the most doubtful first.

    wrong : another character is more likely than the label and all its look-alikes
    ambiguous : one of the label's look-alikes is more likely, clearly
    accuracy : share of images whose label is what the network reads
    accuracy_alike : the same where look-alikes count as one
    """

    wrong: list[Suspect]
    ambiguous: list[Suspect]
    accuracy: float
    accuracy_alike: float


def find_suspects(
    probabilities: npt.NDArray[np.float32],
    labels: Sequence[str],
    images: Sequence[int],
    alphabet: Alphabet,
) -> Suspects:
    """Find doubtful labels from out-of-fold predictions.

    Parameters
    ----------
    probabilities : float32 [N, classes], each row from a network that has not seen the image
    labels, images : the N labels, and the positions that stand for them in the result
    """
    p = probabilities.astype(np.float64)
    given = np.array([alphabet.index(label) for label in labels])
    kind = np.array(numbers_of_sets(alphabet))
    alike = np.zeros((len(p), int(kind.max()) + 1))
    np.add.at(alike.T, kind, p.T)
    read = p.argmax(axis=1)

    def symbol(k: int, among: npt.NDArray[np.bool_]) -> str:
        return alphabet.symbols[np.where(among, p[k], -1).argmax()]

    def suspect(k: int, own: float, other: float, suggested: str) -> Suspect:
        return Suspect(images[k], labels[k], suggested, round(own, 6), round(other, 6))

    wrong = []
    for k in _probably_wrong(alike, kind[given]):
        own, other = alike[k, kind[given[k]]], int(alike[k].argmax())
        wrong.append(suspect(k, float(own), float(alike[k, other]), symbol(k, kind == other)))
    ambiguous = [
        suspect(k, float(p[k, given[k]]), float(p[k, read[k]]), alphabet.symbols[read[k]])
        for k in np.flatnonzero((kind[read] == kind[given]) & (read != given)).tolist()
        if p[k, read[k]] >= _CLEARLY * p[k, given[k]]
    ]
    return Suspects(
        sorted(wrong, key=lambda s: (s.odds, s.image)),
        sorted(ambiguous, key=lambda s: (s.odds, s.image)),
        float((read == given).mean()),
        float((alike.argmax(axis=1) == kind[given]).mean()),
    )


def _probably_wrong(p: Floats, given: Indices) -> list[int]:
    """Rows of ``p`` with the lowest odds of the given class, as many as are estimated to be wrong.

    None of which the given class is the most likely.
    """
    rows = np.arange(len(p))
    own = p[rows, given]
    others = p.copy()
    others[rows, given] = -1
    best = others.max(axis=1)
    order = np.argsort(own / (own + best), kind="stable")[: _estimated_errors(p, given)]
    return [int(k) for k in order if best[k] > own[k]]


def _estimated_errors(p: Floats, given: Indices) -> int:
    """Number of wrong labels by the calibrated confident joint (Northcutt et al., section 3.1).

    An image counts as of class j where p_j is at least the mean of p_j over the images labeled j;
    of several such classes, as of the most likely. A class's share off the diagonal is the share
    of its labels that are wrong.
    """
    classes = p.shape[1]
    count = np.bincount(given, minlength=classes)
    mean = np.bincount(given, p[np.arange(len(p)), given], classes) / np.maximum(count, 1)
    sure = np.where((p >= mean) & (count > 0), p, -1)
    counted = sure.max(axis=1) >= 0
    joint = np.zeros((classes, classes))
    np.add.at(joint, (given[counted], sure.argmax(axis=1)[counted]), 1)
    total = joint.sum(axis=1)
    wrong = np.where(total > 0, 1 - joint.diagonal() / np.maximum(total, 1), 0)
    return round(float((wrong * count).sum()))
