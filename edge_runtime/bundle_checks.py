"""What a bundle's reader holds against it: limits, and checksums of every part.

The checksums are taken when a bundle is compiled and compared by every self-test, so that a
weight, a shift or a table entry changed afterwards is noticed, and its layer named, even where no
golden vector would feel it: a weight changed by one mostly vanishes in a layer's rounding. Each
layer has one of its parameters' bytes, and one of what it makes of a probe, a map of noise whose
sums are taken before they are rounded. docs/bundle.md states the bytes.
"""

import dataclasses
import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime import integer
from edge_runtime.alphabet import Alphabet
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Conv,
    Int8,
    IntegerNetwork,
    Layer,
    MaxPool,
    Shape,
    output_range,
)
from edge_runtime.scores import MILLION, ScoreTable, WideScoreTable

MAX_LAYERS = 1024
MAX_MAP_VALUES = 2**24  # of a map with its padding
MAX_MULTIPLY_ADDS = 2**32
MAX_GOLDEN = 64
MAX_FIX_POINT = 256
MAX_JSON_DEPTH = 32
MAX_JSON_KEYS = 4096  # of one object
MAX_STEP = 2**24  # of kernels, strides and pads
_ACTIVATIONS = tuple(Activation)
_TEXT_KEYS = frozenset({"name", "kind", "activation", "output"})


@dataclass(frozen=True)
class Checks:
    """CRC-32 of each layer's parameters and probe, of the score table and of the alphabet."""

    layers: tuple[int, ...]
    probes: tuple[int, ...]
    scores: int
    alphabet: int

    @classmethod
    def of(
        cls, network: IntegerNetwork, scores: ScoreTable | WideScoreTable, alphabet: Alphabet
    ) -> "Checks":
        """Take the checksums of what is compiled."""
        symbols = "".join(symbol + "\n" for symbol in alphabet.symbols)
        return cls(
            tuple(zlib.crc32(parameter_bytes(layer)) for layer in network.layers),
            tuple(zlib.crc32(probe(network, i)) for i in range(len(network.layers))),
            zlib.crc32(score_bytes(scores)),
            zlib.crc32(symbols.encode("utf-8")),
        )

    def first_difference(self, found: "Checks", network: IntegerNetwork) -> str | None:
        """Say which part is not what was compiled, the first one; None where all are."""
        for i, layer in enumerate(network.layers):
            if self.layers[i] != found.layers[i]:
                return f"layer {layer.name} is not what was compiled"
            if self.probes[i] != found.probes[i]:
                return f"layer {layer.name} computes other sums than when it was compiled"
        if self.scores != found.scores:
            return "the score table is not what was compiled"
        return "the alphabet is not what was compiled" if self.alphabet != found.alphabet else None

    def pack(self) -> bytes:
        """Return the bytes of the section *checks*."""
        by_layer = [n for pair in zip(self.layers, self.probes, strict=True) for n in pair]
        return struct.pack(f"<{len(by_layer) + 2}I", *by_layer, self.scores, self.alphabet)

    @classmethod
    def unpack(cls, data: bytes, layers: int) -> "Checks":
        """Read the section *checks* of a network of so many layers."""
        values = struct.unpack(f"<{2 * layers + 2}I", data)
        last = 2 * layers
        return cls(values[0:last:2], values[1:last:2], values[last], values[last + 1])


def probe(network: IntegerNetwork, index: int) -> bytes:
    """Output bytes of a layer for maps of noise in its inputs' ranges.

    Of a convolution the sums are taken, neither shifted nor clipped: each weight meets a value
    that is not zero, so that its change by one changes a sum.
    """
    layer, shapes, ranges = network.layers[index], network.output_shapes(), _ranges(network)
    if isinstance(layer, Conv):
        layer = dataclasses.replace(
            layer, int32_output=True, shift_cut=0, activation=Activation.NONE
        )
    maps = []
    for place, source in enumerate(layer.sources):
        shape = network.input_shape if source < 0 else shapes[source]
        limits = (-128, 127) if source < 0 else ranges[source]
        maps.append(_noise(shape, limits, index + 7919 * place))
    return integer.output_bytes(integer.run_layer(layer, maps))


def _ranges(network: IntegerNetwork) -> list[tuple[int, int]]:
    """Smallest and largest value that each layer's output can have, roughly."""
    ranges: list[tuple[int, int]] = []
    for layer in network.layers:
        if isinstance(layer, Conv | Add):
            ranges.append(output_range(layer.activation, layer.fix_point))
        else:  # what is never negative stays so
            lows = [ranges[s][0] if s >= 0 else -128 for s in layer.sources]
            ranges.append((min(lows), 127))
    return ranges


def _noise(shape: Shape, limits: tuple[int, int], seed: int) -> Int8:
    """Values in ``limits`` by a hash of their place: the same in every language."""
    low, high = limits
    numbers = np.arange(shape[0] * shape[1] * shape[2], dtype=np.uint64) + np.uint64(seed << 24)
    mask = np.uint64(0xFFFFFFFF)
    h = ((numbers & mask) + np.uint64(1)) * np.uint64(2654435761) & mask
    h ^= h >> np.uint64(15)
    h = h * np.uint64(2246822519) & mask
    h ^= h >> np.uint64(13)
    values = low + ((h >> np.uint64(8)) % np.uint64(high - low + 1)).astype(np.int64)
    return values.astype(np.int8).reshape(1, *shape)


def parameter_bytes(layer: Layer) -> bytes:
    """Return all that a layer computes with: i64 numbers, then weights and bias."""
    head = [_kind(layer), len(layer.sources), *layer.sources, layer.fix_point]
    if isinstance(layer, Conv):
        numbers = [
            *layer.stride,
            *layer.pad,
            _ACTIVATIONS.index(layer.activation),
            layer.shift_cut,
            layer.shift_bias,
            int(layer.int32_output),
            *layer.weights.shape,
        ]
        return _i64(head + numbers) + layer.weights.tobytes() + layer.bias.tobytes()
    if isinstance(layer, AvgPool):
        return _i64([*head, *layer.kernel, *layer.stride, layer.multiplier, layer.shift])
    if isinstance(layer, MaxPool):
        return _i64([*head, *layer.kernel, *layer.stride, *layer.pad, layer.shift])
    if isinstance(layer, Add):
        activation = _ACTIVATIONS.index(layer.activation)
        return _i64([*head, *layer.left_shifts, activation, layer.shift])
    return _i64(head)


def score_bytes(scores: ScoreTable | WideScoreTable) -> bytes:
    """Return the bytes of the section *scores*."""
    if isinstance(scores, ScoreTable):
        return struct.pack("<512Q", *scores.softmax, *scores.fake)
    return struct.pack("<769Q", *scores.coarse, *scores.middle, *scores.fine, scores.shift)


def check_limits(network: IntegerNetwork) -> None:
    """Refuse a network that no board could run; `ValueError` names the layer."""
    if len(network.layers) > MAX_LAYERS:
        raise ValueError(f"{len(network.layers)} layers, the limit is {MAX_LAYERS}")
    shapes, work = network.output_shapes(), 0
    for layer, out in zip(network.layers, shapes, strict=True):
        if abs(layer.fix_point) > MAX_FIX_POINT:
            raise ValueError(f"{layer.name}: fix point {layer.fix_point}")
        steps = [n for f in ("kernel", "stride", "pad") for n in getattr(layer, f, ())]
        if max(steps, default=0) > MAX_STEP:
            raise ValueError(f"{layer.name}: a kernel, stride or pad above {MAX_STEP:,}")
        for source in layer.sources:
            given = network.input_shape if source < 0 else shapes[source]
            _check_map(layer.name, given, getattr(layer, "pad", (0, 0, 0, 0)))
        _check_map(layer.name, out, (0, 0, 0, 0))
        work += out[0] * out[1] * out[2] * _window(layer)
    if work > MAX_MULTIPLY_ADDS:
        raise ValueError(f"{work:,} multiply-adds, the limit is {MAX_MULTIPLY_ADDS:,}")


def check_scores(scores: Any) -> None:
    """Refuse a manifest's ``scores`` with an impossible temperature or threshold; it may be None.

    Raises
    ------
    ValueError
        Says which of them it is.
    """
    if scores is None:
        return
    temperature, gate = scores.get("temperature", 1.0), scores.get("gate")
    if type(temperature) not in (int, float) or not 0 < temperature < math.inf:
        raise ValueError(f"a temperature of {temperature!r}; it is a positive number")
    if gate is None:
        return
    if type(gate["threshold"]) is not int or not 0 <= gate["threshold"] <= MILLION:
        raise ValueError(f"a gate's threshold of {gate['threshold']!r}; it is 0 to {MILLION:,}")
    if type(gate["acceptance"]) is not float or not 0 < gate["acceptance"] < 1:
        raise ValueError(f"a gate's acceptance of {gate['acceptance']!r}; it is within 0 and 1")


def check_plain(value: Any, key: str = "", depth: int = 0) -> None:
    """Refuse a table of layers that holds anything but objects, lists, integers and names."""
    if isinstance(value, dict):
        for name, inner in value.items():
            check_plain(inner, name, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_plain(inner, key, depth + 1)
    elif key in _TEXT_KEYS or key == "relu":
        if not isinstance(value, bool if key == "relu" else str):
            raise ValueError(f"{key!r} cannot be {value!r}")
    elif type(value) is not int or abs(value) >= 2**59:
        raise ValueError(f"{key!r} cannot be {value!r}")


def _kind(layer: Layer) -> int:
    if isinstance(layer, Conv):
        return 1 if layer.depthwise else 0
    if isinstance(layer, AvgPool):
        return 2
    if isinstance(layer, MaxPool):
        return 3
    return 4 if isinstance(layer, Add) else 5


def _window(layer: Layer) -> int:
    """Multiply-adds for one output value, or what compares with them."""
    if isinstance(layer, Conv):
        return int(layer.weights[0].size)
    if isinstance(layer, AvgPool | MaxPool):
        return layer.kernel[0] * layer.kernel[1]
    return 1


def _check_map(name: str, shape: Shape, pad: tuple[int, int, int, int]) -> None:
    values = (shape[0] + pad[0] + pad[1]) * (shape[1] + pad[2] + pad[3]) * shape[2]
    if min(shape) < 1 or values > MAX_MAP_VALUES:
        raise ValueError(f"{name}: a map of {shape} with padding {pad}")


def _i64(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)
