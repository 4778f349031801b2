"""What each channel of a network is worth to the next layer, from the weights alone."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from semi_supervised.training.networks import BATCH_NORM_EPSILON, BatchNorm, Discriminator

Worth = npt.NDArray[np.float64]


def importance(network: Discriminator) -> list[Worth]:
    """Share of the next layer's signal that comes through each channel; float64 [channels] each.

    The next layer reads relu(gamma x + beta), where x is normalized, and its own batch
    normalization takes the mean of its sums away. So what a channel says is the variance that it
    brings to them: its own, times the squares of the weights that read it, each in units of the
    sum that it goes into. That is network slimming's |gamma| (Liu et al. 2017) with beta, the ReLU
    and the readers counted in. x is taken to be normally distributed, channels and pixels to be
    independent. A layer's shares sum to 1.
    """
    readers = [
        np.einsum("hwio,o->i", _wide(kernel) ** 2, _scale(norm) ** 2)
        for kernel, norm in zip(network.kernels[1:], network.norms[1:], strict=True)
    ]
    readers.append((_wide(network.dense_kernel) ** 2).sum(axis=1))
    found = []
    for norm, read in zip(network.norms, readers, strict=True):
        said = relu_variance(_wide(norm.beta), np.abs(_wide(norm.gamma))) * read
        found.append(said / max(said.sum(), np.finfo(float).tiny))
    return found


def relu_variance(mean: Worth, deviation: Worth) -> Worth:
    """Variance of relu(y) for normally distributed y, elementwise on arrays [N].

    With z = mean / deviation, density f and distribution F of the standard normal distribution,
    E[relu(y)] = mean F(z) + deviation f(z) and
    E[relu(y)^2] = (mean^2 + deviation^2) F(z) + mean deviation f(z).
    """
    z = mean / np.maximum(deviation, 1e-30)
    share = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in z])
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    first = mean * share + deviation * density
    second = (mean**2 + deviation**2) * share + mean * deviation * density
    variance: Worth = np.maximum(second - first**2, 0.0)
    return variance


def _scale(norm: BatchNorm) -> Worth:
    scale: Worth = _wide(norm.gamma) / np.sqrt(_wide(norm.variance) + BATCH_NORM_EPSILON)
    return scale


def _wide(variable: Any) -> Worth:
    wide: Worth = np.asarray(variable, np.float64)
    return wide
