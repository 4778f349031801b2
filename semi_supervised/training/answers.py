"""What a trained network says of many images."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge_runtime.preprocess import to_float
from semi_supervised.training.networks import Discriminator

_BATCH = 256

Inputs = npt.NDArray[np.int8]


def in_batches(inputs: Inputs) -> Iterator[Inputs]:
    """Images, int8 [N, 32, 32, 1], in parts that fit into memory; the last one is smaller."""
    return (inputs[k : k + _BATCH] for k in range(0, len(inputs), _BATCH))


def logits_of(network: Discriminator, inputs: Inputs) -> npt.NDArray[np.float32]:
    """Logits, float32 [N, classes], of int8 inputs [N, 32, 32, 1], N at least 1."""
    parts = (tf.constant(to_float(part)) for part in in_batches(inputs))
    return np.concatenate([network(part).logits.numpy() for part in parts])
