"""A network's layers as tiles: the core's instructions, with their weight words."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from edge_runtime.errors import GraphError
from edge_runtime.layers import (
    Activation,
    AvgPool,
    Conv,
    Int8,
    IntegerNetwork,
    Layer,
    Shape,
    output_range,
)
from quantize.core.program import Instruction
from quantize.core.target import MAX_IMAGE_BYTES, MAX_KERNEL, MAX_SIDE, SUM_BITS, WORD, CoreTarget

MAX_PIXELS = 2**16 - 1
MAX_SHIFT_CUT = 24


@dataclass(frozen=True)
class Tile:
    """One instruction and its weights, int8 [words, lanes]; the first word is the biases."""

    layer: int
    first_channel: int
    instruction: Instruction
    weights: Int8


def tiles_of(network: IntegerNetwork, target: CoreTarget) -> tuple[Tile, ...]:
    """Turn a network into tiles in order of execution.

    Raises
    ------
    GraphError
        Names the first layer that the core cannot run, and why.
    """
    check_network(network, target)
    places = _places(network, target)
    shapes = [network.input_shape, *network.output_shapes()]
    return tuple(
        tile
        for i, layer in enumerate(network.layers)
        for tile in _layer_tiles(_Place(i, layer, shapes[i], shapes[i + 1], places, target))
    )


def check_network(network: IntegerNetwork, target: CoreTarget) -> None:
    """Refuse what the core cannot run; `GraphError` says why."""
    if math.prod(network.input_shape) > MAX_IMAGE_BYTES:
        _refuse(target, "the input", f"has more than {MAX_IMAGE_BYTES:,} bytes")
    shapes = [network.input_shape, *network.output_shapes()]
    for i, layer in enumerate(network.layers):
        if not isinstance(layer, Conv | AvgPool):
            _refuse(target, layer.name, f"is of a kind ({type(layer).__name__}) that it lacks")
        if layer.source != i - 1:
            _refuse(target, layer.name, "does not read the layer before it; only chains run")
        _check_geometry(target, layer, shapes[i], shapes[i + 1])
        if isinstance(layer, Conv):
            _check_conv(target, layer)
        elif not 0 <= layer.shift <= MAX_SHIFT_CUT or layer.multiplier > 127:
            _refuse(
                target,
                layer.name,
                f"has a factor {layer.multiplier}·2^-{layer.shift}; shifts are 0 to "
                f"{MAX_SHIFT_CUT}, multipliers up to 127",
            )


def _check_geometry(target: CoreTarget, layer: Conv | AvgPool, given: Shape, made: Shape) -> None:
    kernel, pad = _window(layer)
    if max(*given[:2], *made[:2]) > MAX_SIDE or made[0] * made[1] > MAX_PIXELS:
        _refuse(target, layer.name, f"has a map of more than {MAX_SIDE} rows or columns")
    if max(*kernel, *layer.stride) > MAX_KERNEL:
        _refuse(target, layer.name, f"has a kernel or stride above {MAX_KERNEL}")
    if max(pad[:2]) >= kernel[0] or max(pad[2:]) >= kernel[1]:
        _refuse(target, layer.name, "has windows that lie in the padding alone")
    if 128 * 128 * math.prod(kernel) * given[2] >= 2 ** (SUM_BITS - 1):
        _refuse(target, layer.name, f"has sums that {SUM_BITS} bits may not hold")


def _check_conv(target: CoreTarget, layer: Conv) -> None:
    if layer.depthwise:
        _refuse(target, layer.name, "is a depthwise convolution, which it lacks")
    if layer.activation is Activation.LEAKY_RELU:
        _refuse(target, layer.name, "has the activation leaky_relu; it has none, relu, relu6")


def _places(network: IntegerNetwork, target: CoreTarget) -> list[int]:
    """Word address of each layer's output; from one end of the memory and the other in turn."""
    places, before = [], 0
    for i, (layer, shape) in enumerate(zip(network.layers, network.output_shapes(), strict=True)):
        size = 0 if i == len(network.layers) - 1 else shape[0] * shape[1] * _words(shape[2])
        if before + size > target.activation_depth:
            _refuse(
                target,
                layer.name,
                f"needs {(before + size) * WORD:,} bytes for what it reads and writes; the "
                f"activation memory has {target.activation_depth * WORD:,}",
            )
        places.append(0 if i % 2 else target.activation_depth - size)
        before = size
    return places


@dataclass(frozen=True)
class _Place:
    """A layer among the others: what it reads and writes, and where."""

    index: int
    layer: Layer
    given: Shape
    made: Shape
    places: list[int]
    target: CoreTarget

    @property
    def from_image(self) -> bool:
        return self.index == 0

    @property
    def to_logits(self) -> bool:
        return self.index == len(self.places) - 1

    @property
    def pixel_words(self) -> int:
        """Words of an input pixel; an image's are bytes."""
        return self.given[2] if self.from_image else _words(self.given[2])


def _layer_tiles(place: _Place) -> Iterator[Tile]:
    lanes, channels = place.target.lanes, place.made[2]
    for first in range(0, channels, lanes):
        count = min(lanes, channels - first)
        fold = count <= lanes // 2
        weights = _weight_words(place.layer, first, count, fold, lanes)
        if len(weights) > place.target.weight_depth:
            _refuse(
                place.target,
                place.layer.name,
                f"needs {len(weights):,} weight words at once; the memory has "
                f"{place.target.weight_depth:,}",
            )
        yield Tile(place.index, first, _instruction(place, first, count, fold, weights), weights)


def _instruction(place: _Place, first: int, count: int, fold: bool, weights: Int8) -> Instruction:
    layer, given, made = place.layer, place.given, place.made
    assert isinstance(layer, Conv | AvgPool)
    pool = isinstance(layer, AvgPool)
    kernel, pad = _window(layer)
    step, row = place.pixel_words, place.pixel_words * given[1]
    # A pool's output channels read the same input channels, a convolution's read all.
    channels = count if pool else given[2]
    unit = 1 if place.from_image else WORD
    origin = 0 if place.from_image else place.places[place.index - 1]
    start = origin - pad[0] * row - pad[2] * step + (first // unit if pool else 0)
    last = place.to_logits
    return Instruction(
        fold=int(fold),
        from_image=int(place.from_image),
        to_logits=int(last),
        source=start % 2**16,
        destination=0 if last else place.places[place.index] + first // WORD,
        in_height=given[0],
        in_width=given[1],
        out_width=made[1],
        pixels=made[0] * made[1],
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride_h=layer.stride[0],
        stride_w=layer.stride[1],
        pad_top=pad[0],
        pad_left=pad[2],
        words=-(-channels // unit),
        last_channels=1 if place.from_image else (channels - 1) % WORD + 1,
        step_x=layer.stride[1] * step % 2**16,
        step_y=layer.stride[0] * row % 2**16,
        tap_row=row,
        tap_column=step,
        destination_step=0 if last else _words(made[2]),
        channels_out=count,
        weight_words=len(weights),
        k_step=0 if pool else given[2],
        **_finish(layer),
    )


def _finish(layer: Conv | AvgPool) -> dict[str, int]:
    """What becomes of a layer's sums: an instruction's fields."""
    if isinstance(layer, AvgPool):
        factor = {"shift": layer.shift, "shift_bias": 0, "multiplier": layer.multiplier}
        return {"pool": 1, "raw": 0, "relu": 0, "high": 127, **factor}
    low, high = output_range(layer.activation, layer.fix_point)
    shifts = {"shift": layer.shift_cut, "shift_bias": layer.shift_bias, "multiplier": 0}
    return {
        "pool": 0,
        "raw": int(layer.int32_output),
        "relu": int(low == 0),
        "high": high,
        **shifts,
    }


def _weight_words(layer: Layer, first: int, count: int, fold: bool, lanes: int) -> Int8:
    """Biases, then a word for each tap and input channel; folded, two of them in a word."""
    if not isinstance(layer, Conv):
        return np.zeros((0, lanes), np.int8)
    width = lanes // 2 if fold else lanes
    rows = layer.weights[first : first + count].reshape(count, -1).T
    padded = np.zeros((len(rows) + (len(rows) % 2 if fold else 0), width), np.int8)
    padded[: len(rows), :count] = rows
    biases = np.zeros((1, lanes), np.int8)
    biases[0, :count] = layer.bias[first : first + count]
    return np.concatenate([biases, padded.reshape(-1, lanes)])


def _window(layer: Conv | AvgPool) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Kernel and padding of a layer."""
    if isinstance(layer, AvgPool):
        return layer.kernel, (0, 0, 0, 0)
    return (layer.weights.shape[1], layer.weights.shape[2]), layer.pad


def _words(channels: int) -> int:
    return -(-channels // WORD)


def _refuse(target: CoreTarget, what: str, why: str) -> NoReturn:
    raise GraphError(f"{target.name} cannot run this network: {what} {why}")
