"""Calibration of the scores on validation images: temperature first, then the gate's threshold.

The temperature makes confidences honest (Guo et al. 2017, "On calibration of modern neural
networks"); the threshold is the p_real that 95 % of the characters reach at that temperature.
Non-characters are measured, and choose nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.gate import WANTED_ACCEPTANCE, GateReport, measure_gate, threshold_at
from edge_runtime.scores import decimal, float_probabilities

FILE_NAME: Final = "gate.json"
SCHEMA: Final = 1
COLDEST, HOTTEST = 0.25, 4.0  # beyond, something else is wrong than the confidence
_HALVINGS = 60

Logits = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Calibration:
    """Temperature and threshold, and what they do on validation images.

    nll_before, nll_after : mean negative log-likelihood at temperature 1 and at this one
    gate : figures at the threshold, on the characters and non-characters of validation
    """

    temperature: float
    nll_before: float
    nll_after: float
    gate: GateReport

    def table(self) -> str:
        """Return what the freeze stage prints."""
        accepted = self.gate.acceptance
        at_limit = self.temperature in (COLDEST, HOTTEST)
        lines = [
            f"temperature {self.temperature:g}{' (its limit)' if at_limit else ''}: NLL "
            f"{self.nll_after:.4f} instead of {self.nll_before:.4f}",
            f"p_real >= {decimal(self.gate.threshold)} accepts {accepted.percent} "
            f"({accepted.interval}) of {accepted.n:,} validation characters",
        ]
        text = "\n".join(lines)
        return f"{text}\n\n{self.gate.table()}" if self.gate.kinds else text

    def as_json(self, files: Mapping[str, str]) -> dict[str, Any]:
        """Content of ``gate.json``; ``files`` are the SHA-256 of the models that it is for."""
        figures = self.gate.as_json()
        del figures["threshold_from"]
        return {
            "schema": SCHEMA,
            "frozen_model_sha256": files["frozen_model.pb"],
            "files": dict(files),
            "temperature": self.temperature,
            "nll": {"at_1": round(self.nll_before, 6), "calibrated": round(self.nll_after, 6)},
            "wanted_acceptance": WANTED_ACCEPTANCE,
            "n": self.gate.acceptance.n,
            **figures,
        }


def calibrate(
    logits: Logits, labels: Labels, others: Mapping[str, Logits] | None = None
) -> Calibration:
    """Calibrate a float network's scores.

    Parameters
    ----------
    logits, labels : float [N, classes] and int [N] of validation characters
    others : float [n, classes] of each kind of validation non-character, where there are any
    """
    temperature = fit_temperature(logits, labels)
    characters = float_probabilities(logits, temperature)[1]
    p_real = {
        kind: float_probabilities(values, temperature)[1] for kind, values in (others or {}).items()
    }
    return Calibration(
        temperature,
        nll(logits, labels, 1.0),
        nll(logits, labels, temperature),
        measure_gate(characters, p_real, threshold_at(characters)),
    )


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Temperature in 0.25 to 4 of the least negative log-likelihood, to four decimals.

    That is convex in 1 / T, so its slope there changes sign once, and halving finds where.
    """
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(logits, labels, low) >= 0:
        return HOTTEST
    if _slope(logits, labels, high) <= 0:
        return COLDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _slope(logits, labels, middle) < 0:
            low = middle
        else:
            high = middle
    return round(1 / low, 4)


def nll(logits: Logits, labels: Labels, temperature: float) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    z = logits.astype(np.float64) / temperature
    own = z[np.arange(len(labels)), labels]
    return float((np.logaddexp.reduce(z, axis=1) - own).mean())


def _slope(logits: Logits, labels: Labels, inverse: float) -> float:
    """Derivative of the mean negative log-likelihood by 1 / T: E[z] - z[label]."""
    z = logits.astype(np.float64)
    weights = np.exp(inverse * (z - z.max(axis=1, keepdims=True)))
    expected = (weights * z).sum(axis=1) / weights.sum(axis=1)
    return float((expected - z[np.arange(len(labels)), labels]).mean())
