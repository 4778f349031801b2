"""What a report shows beside the metrics: which images, and where the classifier is better."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.evaluation.records import Ints, Pictures, Record
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.metrics import Metric, wilson
from edge_runtime.scores import MILLION

SHOWN: Final = 24  # images of a list
EXAMPLES: Final = 3  # images of a cell of the confusion matrix
BINS: Final = 15
_SIDES: Final = (0, 12, 16, 24, 32, 48, 64, 96)  # lower bounds of the shorter side, in pixels
_CONTRASTS: Final = (0, 8, 32, 64, 96, 128, 192)  # of the gray values' 2nd to 98th percentile


@dataclass(frozen=True)
class Details:
    """Lists and tables of one network, ready for JSON.

    confusion : cells of the confusion matrix that are not empty
    worst : wrong answers, the most confident first;  ambiguous : least ahead of the second first
    reliability : accuracy and mean confidence in 15 bins of confidence
    by_size, by_contrast : accuracy of ranges
    correct : a bit an image in the order of the images, 1 where the answer is right, the first in
        the highest bit of the first byte; base64
    rejection : the gate's curve of each kind of non-character, where there were any
    """

    confusion: list[dict[str, Any]]
    worst: list[dict[str, Any]]
    ambiguous: list[dict[str, Any]]
    reliability: list[dict[str, Any]]
    by_size: list[dict[str, Any]]
    by_contrast: list[dict[str, Any]]
    correct: str
    rejection: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the lists by name."""
        return dict(self.__dict__)


def describe(
    answers: Record,
    labels: Ints,
    pictures: Pictures,
    images: Sequence[LabeledImage],
    alphabet: Alphabet,
) -> Details:
    """Make the lists of one network's answers on N images.

    Parameters
    ----------
    labels : int [N], indices into ``alphabet``;  pictures, images : of the same N
    """
    symbols = alphabet.symbols

    def shown(i: int) -> dict[str, Any]:
        image = images[i]
        pairs = zip(answers.ranked[i], answers.shares[i], strict=True)
        return {
            "path": str(image.path),
            "label": image.label,
            "source": image.source,
            "height": int(pictures.height[i]),
            "width": int(pictures.width[i]),
            "contrast": int(pictures.contrast[i]),
            "top": [[symbols[c], int(share) / MILLION] for c, share in pairs],
            "p_real": int(answers.p_real[i]) / MILLION,
        }

    correct = answers.best == labels
    wrong = np.flatnonzero(~correct)
    worst = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:SHOWN]
    margin = answers.shares[:, 0] - answers.shares[:, min(1, answers.shares.shape[1] - 1)]
    ambiguous = np.argsort(margin, kind="stable")[:SHOWN]
    sides = np.minimum(pictures.height, pictures.width)
    return Details(
        _confusion(answers, labels, shown, symbols),
        [shown(int(i)) for i in worst],
        [shown(int(i)) for i in ambiguous],
        reliability(answers.confidence / MILLION, correct),
        by_range(sides, _SIDES, correct),
        by_range(pictures.contrast, _CONTRASTS, correct),
        base64.b64encode(np.packbits(correct).tobytes()).decode("ascii"),
    )


def _confusion(
    answers: Record,
    labels: Ints,
    shown: Callable[[int], dict[str, Any]],
    symbols: Sequence[str],
) -> list[dict[str, Any]]:
    """Cells by label, then by answer; examples of wrong ones, the most confident first."""
    pairs = labels.astype(np.int64) * len(symbols) + answers.best
    # Within a cell the most confident come first.
    order = np.lexsort((-answers.confidence, pairs))
    kinds, first, counts = np.unique(pairs[order], return_index=True, return_counts=True)
    cells = []
    for kind, start, count in zip(kinds, first, counts, strict=True):
        label, found = divmod(int(kind), len(symbols))
        wrong = min(EXAMPLES, int(count)) if label != found else 0
        cells.append(
            {
                "label": symbols[label],
                "found": symbols[found],
                "count": int(count),
                "examples": [shown(int(i)) for i in order[start : start + wrong]],
            }
        )
    return cells


def reliability(
    confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Accuracy with its interval and mean confidence of each bin that holds an image."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = []
    for k in range(BINS):
        members = bins == k
        if not members.any():
            continue
        rows.append(
            {
                "from": round(k / BINS, 6),
                "to": round((k + 1) / BINS, 6),
                "confidence": round(float(confidence[members].mean()), 6),
                "accuracy": _share(correct[members]).as_json(),
            }
        )
    return rows


def by_range(
    values: npt.NDArray[np.integer], bounds: Sequence[int], correct: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Accuracy of the images whose value is in each range; the last has no upper bound."""
    rows = []
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        members = (values >= low) & (True if high is None else values < high)
        if members.any():
            accuracy = _share(correct[members]).as_json()
            rows.append({"from": low, "to": high, "accuracy": accuracy})
    return rows


def _share(correct: npt.NDArray[np.bool_]) -> Metric:
    return wilson(int(correct.sum()), len(correct))
