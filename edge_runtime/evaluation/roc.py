"""Receiver operating characteristic of the gate: characters let in against others let in."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.scores import MILLION

MOST_POINTS: Final = 101


def curve(
    characters: npt.NDArray[np.integer], others: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Points of the curve [P, 3]: threshold in millionths, others let in, characters let in.

    An image passes where its p_real, in millionths, is at least the threshold. From (0, 0), where
    none passes, to (1, 1); between two points lies a straight line, so that ties count half.
    """
    thresholds = np.unique(np.concatenate([characters, others]))[::-1]
    passed = [
        (len(values) - np.searchsorted(np.sort(values), thresholds)) / len(values)
        for values in (others, characters)
    ]
    first = np.array([[float(MILLION + 1), 0.0, 0.0]])
    return np.concatenate([first, np.column_stack([thresholds, *passed])])


def area(points: npt.NDArray[np.float64]) -> float:
    """Area under a curve of `curve`."""
    return float(np.trapezoid(points[:, 2], points[:, 1]))


def thinned(points: npt.NDArray[np.float64]) -> list[list[float]]:
    """At most 101 points for a plot, both ends among them: [threshold, others, characters]."""
    if len(points) > MOST_POINTS:
        # Evenly along the curve's length in both directions, so that no corner is lost.
        length = points[:, 1] + points[:, 2]
        wanted = np.linspace(0, 2, MOST_POINTS)
        chosen = np.unique(np.searchsorted(length, wanted).clip(0, len(points) - 1))
        points = points[np.union1d(chosen, [0, len(points) - 1])]
    return [[round(float(value), 6) for value in (t / MILLION, x, y)] for t, x, y in points]


def curves(
    characters: npt.NDArray[np.integer], others: Mapping[str, npt.NDArray[np.integer]]
) -> dict[str, Any]:
    """Curve of each kind of non-character, ready for JSON."""
    return {
        kind: {
            "n_characters": len(characters),
            "n_others": len(values),
            "area": round(area(curve(characters, values)), 6),
            "points": thinned(curve(characters, values)),
        }
        for kind, values in others.items()
    }
