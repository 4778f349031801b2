"""Where the eight bits of the logits are spent best."""

from typing import Any

import numpy as np
import numpy.typing as npt

from quantize.execute import Float

MAX_TIES = 0.003  # share of inputs whose largest int8 logit two classes may share
_STEPS = 48  # step sizes that are tried, over a factor of 8


def count_ties(logits: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say of each row of [N, classes] whether its largest value occurs more than once."""
    largest = logits.max(axis=1, keepdims=True)
    return np.asarray(np.count_nonzero(logits == largest, axis=1) > 1)


def tie_share(logits: npt.NDArray[Any]) -> float:
    """Return the share of rows of [N, classes] whose largest value occurs more than once."""
    return float(np.mean(count_ties(logits)))


def best_step(logits: Float) -> float:
    """Return the step at which int8 logits answer most like the exact ones.

    A small step tells close logits apart, but clips large ones. Compared is the sum of three
    shares of inputs: those that tie, those whose class changes, and the mean change of the
    probability of the most likely class.

    Parameters
    ----------
    logits : float64 [N, classes], exact
    """
    widest = float(np.abs(logits).max()) or 1.0
    steps = widest / 127 * 2.0 ** -np.linspace(-0.5, 2.5, _STEPS)
    return float(min(steps, key=lambda step: _cost(logits, step)))


def _cost(logits: Float, step: float) -> float:
    rounded = np.clip(np.floor(logits / step + 0.5), -128, 127)
    changed = np.mean(rounded.argmax(axis=1) != logits.argmax(axis=1))
    best = logits.argmax(axis=1)
    moved = np.abs(confidence(rounded * step, best) - confidence(logits, best)).mean()
    return float(changed + moved) + tie_share(rounded)


def confidence(logits: Float, classes: npt.NDArray[np.integer[Any]]) -> Float:
    """Return the softmax probability of one class in each row of [N, classes]."""
    chosen = np.take_along_axis(logits, classes[:, np.newaxis], axis=1)
    return np.asarray(1 / np.exp(np.minimum(logits - chosen, 700)).sum(axis=1))
