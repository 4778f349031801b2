"""Choice of the golden vectors: inputs that reach the corners of the arithmetic.

That every weight counts is the business of the probes (`edge_runtime.bundle_checks`): in a whole
network most changes of a weight by one are rounded away, whatever the input.
"""

import numpy as np
import numpy.typing as npt

from edge_runtime import integer
from edge_runtime.layers import Int8, IntegerNetwork

REAL_VECTORS, SEARCHED = 3, 256


def choose(network: IntegerNetwork, real: Int8, seed: int) -> Int8:
    """Choose about eight inputs, int8 [N, height, width, channels].

    Some of ``real``, spread evenly; of those and of seeded noise one whose two best logits tie
    (where there is one), the one that saturates most, and the one with the lowest best logit;
    then all -128, all 0, and noise of the two extreme values.
    """
    rng, shape = np.random.default_rng(seed), network.input_shape
    noise = rng.integers(-128, 128, (SEARCHED, *shape)).astype(np.int8)
    candidates = np.concatenate([_spread(real, SEARCHED), noise])
    logits = integer.run(network, candidates).astype(np.int64)
    best = np.sort(logits, axis=1)[:, -2:]
    picked = [
        *np.flatnonzero(best[:, 0] == best[:, 1])[:1],
        _saturation(network, candidates).argmax(),
        best[:, 1].argmin(),
    ]
    flat = np.array([-128, 0], np.int8).reshape(-1, 1, 1, 1)
    extreme = np.where(rng.integers(0, 2, (1, *shape)) > 0, 127, -128).astype(np.int8)
    return np.concatenate(
        [
            _spread(real, REAL_VECTORS),
            candidates[list(dict.fromkeys(int(i) for i in picked))],
            np.broadcast_to(flat, (2, *shape)),
            extreme,
        ]
    )


def _spread(values: Int8, count: int) -> Int8:
    picked = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    spread: Int8 = values[np.unique(picked)]
    return spread


def _saturation(network: IntegerNetwork, inputs: Int8) -> npt.NDArray[np.float64]:
    """Mean share of each layer's outputs that are the largest or smallest int8."""
    total = np.zeros(len(inputs))
    for y in integer.run_layers(network, inputs):
        total += ((y == 127) | (y == -128)).mean(axis=(1, 2, 3))
    return total
