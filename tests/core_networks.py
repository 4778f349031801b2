"""Random chains of what the core runs: convolutions and mean pools of any size, corner values."""

import numpy as np

from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork, Layer, Shape

ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6)


def values(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Int8 noise, small noise, extremes alone, or zeros."""
    kind = rng.integers(0, 8)
    if kind == 0:
        return rng.choice([-128, 127], shape).astype(np.int8)
    if kind == 1:
        return np.full(shape, rng.choice([-128, 127, 0]), np.int8)
    full = rng.integers(-128, 128, shape)
    return (full if kind < 5 else full // 16).astype(np.int8)


def chain(rng: np.random.Generator, most_channels: int = 70) -> IntegerNetwork:
    """A network whose last layer is a convolution over all that is left of the map."""

    def upto(most: int) -> int:
        return int(rng.integers(1, most + 1))

    shape: Shape = (upto(13), upto(13), upto(4))
    start, layers = shape, list[Layer]()
    for i in range(int(rng.integers(0, 4))):
        layer = _layer(rng, f"layer{i}", i - 1, shape, most_channels)
        layers.append(layer)
        shape = layer.output_shape([shape])
    wide = bool(rng.integers(0, 2))
    classes, (height, width, channels) = upto(most_channels), shape
    layers.append(
        Conv(
            "head",
            len(layers) - 1,
            values(rng, classes, height, width, channels),
            values(rng, classes),
            (1, 1),
            (0, 0, 0, 0),
            Activation.NONE,
            0 if wide else int(rng.integers(0, 17)),
            int(rng.integers(0, 17)),
            3,
            int32_output=wide,
        )
    )
    return IntegerNetwork(start, 7, tuple(layers))


def _layer(
    rng: np.random.Generator, name: str, source: int, shape: Shape, most_channels: int
) -> Layer:
    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    height, width, channels = shape
    if between(0, 3) == 0:
        kernel = between(1, min(5, height)), between(1, min(5, width))
        stride = between(1, 3), between(1, 3)
        return AvgPool(name, source, kernel, stride, between(1, 127), between(0, 16), 3)
    kernel = between(1, min(4, height)), between(1, min(4, width))
    pad = tuple(between(0, k - 1) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    out = between(1, most_channels)
    return Conv(
        name,
        source,
        values(rng, out, *kernel, channels),
        values(rng, out),
        (between(1, 3), between(1, 3)),
        pad,
        ACTIVATIONS[between(0, 2)],
        between(0, 16),
        between(0, 16),
        between(-2, 8),
    )


def gentle(rng: np.random.Generator) -> IntegerNetwork:
    """Layers whose sums lose next to nothing: every pixel's last bits count in the logits."""
    first = rng.integers(-2, 3, (20, 3, 3, 2)).astype(np.int8)
    second = rng.integers(-128, 128, (33, 3, 2, 20)).astype(np.int8)
    bias, none = values(rng, 20) // 8, Activation.NONE
    activation = ACTIVATIONS[rng.integers(0, 2)]
    conv = Conv("a", -1, first, bias, (1, 1), (1, 1, 1, 1), activation, 0, 1, 0)
    pool = AvgPool("p", 0, (1, 2), (1, 2), 1, 1, 0)
    no_pad = (0, 0, 0, 0)
    head = Conv("b", 1, second, values(rng, 33), (1, 1), no_pad, none, 0, 3, 0, int32_output=True)
    return IntegerNetwork((3, 4, 2), 7, (conv, pool, head))


def images(rng: np.random.Generator, network: IntegerNetwork, count: int) -> np.ndarray:
    """Inputs of a network, int8 [count, height, width, channels]."""
    return np.stack([values(rng, *network.input_shape) for _ in range(count)])
