"""Random integer networks: all kinds of layers, activations and shifts, branches, any depth."""

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import Bundle, GoldenVectors
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Int8,
    IntegerNetwork,
    Layer,
    MaxPool,
    Shape,
)
from edge_runtime.scores import build_table

Rng = np.random.Generator
SYMBOLS = "0123456789abcdefghijklmnopqrstuvwxyzäöüßéèñçøåλπ漢字あア☃€"


class Builder:
    """Grows a network layer by layer, keeping shapes and fix points."""

    def __init__(self, rng: Rng, wide: bool = False) -> None:
        self.rng, self.layers, self.wide = rng, list[Layer](), wide
        self.shapes: list[Shape] = []

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def shape(self, index: int) -> Shape:
        return self.shapes[index] if index >= 0 else (32, 32, 1)

    def fix_point(self, index: int) -> int:
        return self.layers[index].fix_point if index >= 0 else 7

    def push(self, layer: Layer) -> int:
        self.shapes.append(layer.output_shape([self.shape(s) for s in layer.sources]))
        self.layers.append(layer)
        return len(self.layers) - 1

    @property
    def name(self) -> str:
        return f"layer/{len(self.layers)}"

    def activation(self) -> Activation:
        return list(Activation)[self.integer(0, 3)]

    def weights(self, *shape: int) -> np.ndarray:
        full = self.rng.integers(-128, 128, shape)
        return (full if self.integer(0, 1) else full // 16).astype(np.int8)

    def out_channels(self) -> int:
        """Few; or as many as fill vectors, one less or one more."""
        if not self.wide:
            return self.integer(1, 13)
        return 16 * self.integer(1, 4) + int(self.rng.choice([-1, 0, 0, 0, 1]))

    def window(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        kernel = self.integer(1, min(4, height)), self.integer(1, min(4, width))
        return kernel, (self.integer(1, 3), self.integer(1, 3))

    def conv(self, source: int, depthwise: bool = False) -> int:
        height, width, channels = self.shape(source)
        kernel, stride = self.window(height, width)
        pad = tuple(self.integer(0, k) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        out = channels * self.integer(1, 2) if depthwise else self.out_channels()
        weights = self.weights(out, *kernel, 1 if depthwise else channels)
        shifts = self.integer(0, 12), self.integer(0, 8)
        return self.push(
            Conv(
                self.name,
                source,
                weights,
                self.weights(out),
                stride,
                pad,
                self.activation(),
                *shifts,
                self.integer(-5, 9),
                depthwise,
            )
        )

    def pool(self, source: int) -> int:
        kernel, stride = self.window(*self.shape(source)[:2])
        if self.integer(0, 1):
            shift = self.integer(-2, 9)
            factor = self.integer(1, 60)
            return self.push(
                AvgPool(self.name, source, kernel, stride, factor, shift, self.integer(-3, 9))
            )
        pad = tuple(self.integer(0, k - 1) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        shift = self.integer(-3, 4)
        fix_point = self.fix_point(source) - shift
        return self.push(MaxPool(self.name, source, kernel, stride, pad, shift, fix_point))

    def branch(self, source: int) -> int:
        """Two pointwise convolutions of one source, added or concatenated."""
        channels = self.shape(source)[2]
        both = self.integer(0, 1)
        outs = [self.integer(1, 9)] * 2 if both else [self.integer(1, 9), self.integer(1, 9)]
        fix_point = self.integer(-3, 8)
        made = []
        for out in outs:
            weights, bias = self.weights(out, 1, 1, channels), self.weights(out)
            p = self.integer(-3, 8) if both else fix_point
            made.append(
                self.push(
                    Conv(
                        self.name,
                        source,
                        weights,
                        bias,
                        (1, 1),
                        (0, 0, 0, 0),
                        self.activation(),
                        self.integer(3, 10),
                        self.integer(0, 6),
                        p,
                    )
                )
            )
        if not both:
            return self.push(Concat(self.name, (made[0], made[1]), fix_point))
        finer = max(self.fix_point(m) for m in made)
        left = tuple(finer - self.fix_point(m) for m in made)
        shift = self.integer(-2, 6)
        return self.push(
            Add(self.name, (made[0], made[1]), left, self.activation(), shift, finer - shift)
        )

    def head(self, source: int, classes: int, int32_logits: bool) -> int:
        height, width, channels = self.shape(source)
        weights = self.weights(classes, height, width, channels)
        return self.push(
            Conv(
                "head",
                source,
                weights,
                self.weights(classes),
                (1, 1),
                (0, 0, 0, 0),
                Activation.NONE,
                0 if int32_logits else self.integer(6, 12),
                self.integer(0, 6),
                self.integer(2, 9),
                False,
                int32_logits,
            )
        )


def random_bundle(seed: int, wide: bool = False, inputs: Int8 | None = None) -> Bundle:
    """Return a bundle of a random network, alphabet and kind of logits.

    wide : with tens of channels, as engines take several at a time
    inputs : of the golden vectors, int8 [N, 32, 32, 1]; by default two of noise
    """
    rng = np.random.default_rng(seed)
    builder, at = Builder(rng, wide), -1
    for _ in range(builder.integer(0, 9)):
        step = builder.integer(0, 4)
        if step == 0:
            at = builder.pool(at)
        elif step == 1:
            at = builder.branch(at)
        else:
            at = builder.conv(at, depthwise=step == 2)
    classes, int32_logits = builder.integer(2, len(SYMBOLS)), bool(builder.integer(0, 1))
    builder.head(at, classes, int32_logits)
    network = IntegerNetwork((32, 32, 1), 7, tuple(builder.layers))
    noise = rng.integers(-128, 128, (2, 32, 32, 1)).astype(np.int8)
    symbols = tuple(rng.permutation(list(SYMBOLS))[:classes].tolist())
    return Bundle(
        f"random {seed}",
        Alphabet(symbols),
        network,
        build_table(int32_logits, network.logits_fix_point, float(rng.uniform(0.2, 3)), 1.0),
        GoldenVectors.record(network, noise if inputs is None else inputs),
    )


def hard_inputs(seed: int) -> Int8:
    """Noise, the two extremes and all of one value: what saturates, ties and goes negative."""
    rng = np.random.default_rng(seed)
    extremes = np.where(rng.integers(0, 2, (4, 32, 32, 1)) > 0, 127, -128)
    flat = np.broadcast_to(np.array([-128, -1, 0, 127]).reshape(-1, 1, 1, 1), (4, 32, 32, 1))
    noise = rng.integers(-128, 128, (4, 32, 32, 1))
    return np.concatenate([extremes, flat, noise]).astype(np.int8)
