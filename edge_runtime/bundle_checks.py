"""What a bundle's reader holds against it: limits, and checksums of every part's parameters.

The checksums are taken when a bundle is compiled and compared by every self-test, so that a
weight, a shift or a table entry changed afterwards is noticed, and its layer named, even where no
golden vector would feel it. docs/bundle.md states the bytes that they are taken of.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from edge_runtime.alphabet import Alphabet
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Conv,
    IntegerNetwork,
    Layer,
    MaxPool,
    Shape,
)
from edge_runtime.scores import ScoreTable, WideScoreTable

MAX_LAYERS = 1024
MAX_MAP_VALUES = 2**24  # of a map with its padding
MAX_MULTIPLY_ADDS = 2**32
MAX_GOLDEN = 64
MAX_FIX_POINT = 256
MAX_JSON_DEPTH = 32
_ACTIVATIONS = tuple(Activation)
_TEXT_KEYS = frozenset({"name", "kind", "activation", "output"})


@dataclass(frozen=True)
class Checks:
    """CRC-32 of each layer's parameters, of the score table and of the alphabet."""

    layers: tuple[int, ...]
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
            zlib.crc32(score_bytes(scores)),
            zlib.crc32(symbols.encode("utf-8")),
        )

    def first_difference(self, found: "Checks", network: IntegerNetwork) -> str | None:
        """Name the first part that is not what was compiled; None where all are."""
        for layer, want, have in zip(network.layers, self.layers, found.layers, strict=True):
            if want != have:
                return f"layer {layer.name}"
        if self.scores != found.scores:
            return "the score table"
        return "the alphabet" if self.alphabet != found.alphabet else None

    def pack(self) -> bytes:
        """Return the bytes of the section *checks*."""
        return struct.pack(f"<{len(self.layers) + 2}I", *self.layers, self.scores, self.alphabet)

    @classmethod
    def unpack(cls, data: bytes, layers: int) -> "Checks":
        """Read the section *checks* of a network of so many layers."""
        values = struct.unpack(f"<{layers + 2}I", data)
        return cls(values[:layers], values[layers], values[layers + 1])


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
        for source in layer.sources:
            given = network.input_shape if source < 0 else shapes[source]
            _check_map(layer.name, given, getattr(layer, "pad", (0, 0, 0, 0)))
        _check_map(layer.name, out, (0, 0, 0, 0))
        work += out[0] * out[1] * out[2] * _window(layer)
    if work > MAX_MULTIPLY_ADDS:
        raise ValueError(f"{work:,} multiply-adds, the limit is {MAX_MULTIPLY_ADDS:,}")


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
