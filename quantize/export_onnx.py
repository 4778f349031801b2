"""Write the integer network as a stock ONNX model, bit-identical to the reference.

Integers up to 2^24 are exact in float32, and so is scaling by powers of two. A layer is therefore a
float32 convolution of integer-valued tensors, then floor(x · 2^-shift + ½) and a clip. That holds
while every partial sum, and the sum with the rounding term, stays below 2^24 for every output
channel; it is checked from the real weights. Where it fails, input channels are split into as many
convolutions as it takes for each to meet it, and their results are added and rounded in float64.

This file shares no arithmetic with `edge_runtime.integer`: each checks the other.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from edge_runtime.errors import GraphError
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Conv,
    IntegerNetwork,
    Layer,
    MaxPool,
    output_range,
)
from quantize.ir import Array
from quantize.onnx_builder import OnnxBuilder

EXACT = 2**24
INPUT, OUTPUT = "input_real", "logits_q"
LEAKY_NUMERATOR, LEAKY_BITS = 26, 8  # the slope of LeakyReLU, 26 / 2^8
_LARGEST_INPUT = 128  # |q| of an int8 activation
_Range = tuple[int, int]  # first input channel, and the one after the last


def export(network: IntegerNetwork) -> bytes:
    """Return the serialized model: int8 input [N, H, W, C] to integer logits [N, classes].

    The same network always gives the same bytes.
    """
    model = OnnxBuilder()
    model.node("Cast", [INPUT], "input_float", to=TensorProto.FLOAT)
    model.node("Transpose", ["input_float"], "input_nchw", perm=[0, 3, 1, 2])
    outputs, shapes = ["input_nchw"], [network.input_shape, *network.output_shapes()]
    for i, layer in enumerate(network.layers):
        x = [outputs[source + 1] for source in layer.sources]
        channels = shapes[layer.sources[0] + 1][2]
        outputs.append(_layer(model, f"layer{i}", layer, x, channels))
    kind = TensorProto.INT32 if network.int32_logits else TensorProto.INT8
    flat = model.constant("logits_shape", np.array([-1, network.classes], np.int64))
    model.node("Reshape", [outputs[-1], flat], "logits_float")
    model.node("Cast", ["logits_float"], OUTPUT, to=kind)
    return model.serialized(
        "edgeglyph_int8",
        helper.make_tensor_value_info(INPUT, TensorProto.INT8, ["N", *network.input_shape]),
        helper.make_tensor_value_info(OUTPUT, kind, ["N", network.classes]),
    )


def _layer(model: "OnnxBuilder", name: str, layer: Layer, x: list[str], channels: int) -> str:
    if isinstance(layer, Conv):
        return _conv(model, name, layer, x[0], channels)
    if isinstance(layer, AvgPool):
        return _avg_pool(model, name, layer, x[0], channels)
    if isinstance(layer, MaxPool):
        return _max_pool(model, name, layer, x[0])
    if isinstance(layer, Add):
        return _add(model, name, layer, x)
    return model.node("Concat", x, f"{name}_joined", axis=1)


def fits_float32(layer: Conv) -> bool:
    """Whether every sum of the layer, with bias and rounding term, is below 2^24."""
    bias = np.abs(layer.bias.astype(np.int64)) << layer.shift_bias
    largest = int((_per_channel(layer).sum(axis=1) + bias).max())
    # The product with the numerator of the leaky slope is exact as well.
    factor = LEAKY_NUMERATOR if layer.activation is Activation.LEAKY_RELU else 1
    return largest * factor + _rounding_term(layer.shift_cut) * factor < EXACT


def channel_ranges(layer: Conv) -> list[_Range]:
    """Split input channels into the fewest ranges whose sums of products are below 2^24."""
    per_channel = _per_channel(layer)
    ranges: list[_Range] = []
    start, total = 0, np.zeros(len(per_channel), np.int64)
    for c in range(per_channel.shape[1]):
        if int(per_channel[:, c].max()) >= EXACT:
            raise GraphError(f"layer {layer.name!r}: its kernel is too large for exact float32")
        if int((total + per_channel[:, c]).max()) >= EXACT:
            ranges.append((start, c))
            start, total = c, np.zeros_like(total)
        total = total + per_channel[:, c]
    return [*ranges, (start, per_channel.shape[1])]


def _per_channel(layer: Conv) -> npt.NDArray[np.int64]:
    """Return the largest sum of products by output and input channel, int64 [out, in]."""
    bounds: npt.NDArray[np.int64] = np.abs(layer.weights.astype(np.int64)).sum(axis=(1, 2))
    return bounds * _LARGEST_INPUT


def _rounding_term(shift: int) -> int:
    return (1 << max(shift, 0)) >> 1


def _conv(model: OnnxBuilder, name: str, layer: Conv, x: str, channels: int) -> str:
    kernel = layer.weights.transpose(0, 3, 1, 2).astype(np.float32)
    bias = np.ldexp(layer.bias.astype(np.float64), layer.shift_bias)
    top, bottom, left, right = layer.pad
    shape = {
        "strides": list(layer.stride),
        "pads": [top, left, bottom, right],
        "kernel_shape": list(layer.weights.shape[1:3]),
        "group": channels if layer.depthwise else 1,
    }
    # A depthwise kernel has at most 16 · 16 taps: its sums cannot be too large.
    if fits_float32(layer) or layer.depthwise:
        weights = model.constant(f"{name}_weights", kernel)
        biases = model.constant(f"{name}_bias", bias.astype(np.float32))
        acc = model.node("Conv", [x, weights, biases], f"{name}_acc", **shape)
        dtype: type[np.floating[Any]] = np.float32
    else:
        parts = [
            _partial(model, f"{name}_part{i}", x, kernel[:, a:b], (a, b), shape)
            for i, (a, b) in enumerate(channel_ranges(layer))
        ]
        acc = model.constant(f"{name}_bias", bias.reshape(1, -1, 1, 1))
        for i, part in enumerate(parts):
            acc = model.node("Add", [acc, part], f"{name}_acc{i}")
        dtype = np.float64
    if layer.int32_output:
        return acc
    return _finish(model, name, acc, dtype, layer.shift_cut, layer.activation, layer.fix_point)


def _partial(
    model: OnnxBuilder, name: str, x: str, kernel: Array, channels: _Range, shape: dict[str, Any]
) -> str:
    """Emit the convolution of some input channels, cast to float64."""
    first = model.constant(f"{name}_first", np.array([channels[0]], np.int64))
    last = model.constant(f"{name}_last", np.array([channels[1]], np.int64))
    axis = model.constant(f"{name}_axis", np.array([1], np.int64))
    piece = model.node("Slice", [x, first, last, axis], f"{name}_input")
    weights = model.constant(f"{name}_weights", np.ascontiguousarray(kernel))
    acc = model.node("Conv", [piece, weights], f"{name}_acc32", **shape)
    return model.node("Cast", [acc], f"{name}_acc64", to=TensorProto.DOUBLE)


def _avg_pool(model: OnnxBuilder, name: str, layer: AvgPool, x: str, channels: int) -> str:
    """Emit window sums as a convolution of ones, each channel by itself, then the factor."""
    largest = int(np.prod(layer.kernel)) * _LARGEST_INPUT
    if largest >= EXACT:
        raise GraphError(f"layer {layer.name!r}: its window is too large for exact float32")
    ones = model.constant(f"{name}_ones", np.ones((channels, 1, *layer.kernel), np.float32))
    total = model.node(
        "Conv",
        [x, ones],
        f"{name}_sum",
        group=channels,
        strides=list(layer.stride),
        kernel_shape=list(layer.kernel),
    )
    if largest * layer.multiplier + _rounding_term(layer.shift) < EXACT:
        return _requantize(model, name, total, np.float32, layer.multiplier, layer.shift)
    wide = model.node("Cast", [total], f"{name}_sum64", to=TensorProto.DOUBLE)
    return _requantize(model, name, wide, np.float64, layer.multiplier, layer.shift)


def _max_pool(model: OnnxBuilder, name: str, layer: MaxPool, x: str) -> str:
    top, bottom, left, right = layer.pad
    largest = model.node(
        "MaxPool",
        [x],
        f"{name}_max",
        kernel_shape=list(layer.kernel),
        strides=list(layer.stride),
        pads=[top, left, bottom, right],
    )
    return _requantize(model, name, largest, np.float32, 1, layer.shift)


def _add(model: OnnxBuilder, name: str, layer: Add, x: list[str]) -> str:
    """Emit the sum of both inputs at the finer fix point: below 2^24, but for a leaky slope."""
    aligned = []
    for i, (tensor, shift) in enumerate(zip(x, layer.left_shifts, strict=True)):
        if shift:
            factor = model.constant(f"{name}_factor{i}", np.array(2.0**shift, np.float32))
            tensor = model.node("Mul", [tensor, factor], f"{name}_input{i}")
        aligned.append(tensor)
    total = model.node("Add", aligned, f"{name}_sum")
    largest = 2 * _LARGEST_INPUT << max(layer.left_shifts)
    fits = (largest + _rounding_term(layer.shift)) * LEAKY_NUMERATOR < EXACT
    dtype: type[np.floating[Any]] = np.float32 if fits else np.float64
    if not fits:
        total = model.node("Cast", [total], f"{name}_sum64", to=TensorProto.DOUBLE)
    return _finish(model, name, total, dtype, layer.shift, layer.activation, layer.fix_point)


def _finish(
    model: OnnxBuilder,
    name: str,
    acc: str,
    dtype: type[np.floating[Any]],
    shift: int,
    activation: Activation,
    fix_point: int,
) -> str:
    """Emit an activation and the only rounding; the leaky slope is a product before it."""
    limits = output_range(activation, fix_point)
    if activation is not Activation.LEAKY_RELU:
        return _requantize(model, name, acc, dtype, 1, shift, limits)
    zero = model.constant(f"{name}_zero", np.array(0, dtype))
    slope = model.constant(f"{name}_slope", np.array(LEAKY_NUMERATOR / 2**LEAKY_BITS, dtype))
    above = model.node("Max", [acc, zero], f"{name}_above")
    below = model.node("Min", [acc, zero], f"{name}_below")
    bent = model.node("Mul", [below, slope], f"{name}_bent")
    both = model.node("Add", [above, bent], f"{name}_leaky")  # one of the two is zero
    # The slope leaves fractions, so that a shift of zero must round as well.
    return _requantize(model, name, both, dtype, 1, shift, limits, always_round=True)


def _requantize(
    model: OnnxBuilder,
    name: str,
    acc: str,
    dtype: type[np.floating[Any]],
    multiplier: int,
    shift: int,
    limits: tuple[int, int] = (-128, 127),
    always_round: bool = False,
) -> str:
    """Emit clip(floor(acc · multiplier · 2^-shift + ½), *limits), as float32.

    A scale above 1 or of 1 leaves integers, which need no rounding.
    """
    scale = np.ldexp(float(multiplier), -shift)
    if scale != 1:
        factor = model.constant(f"{name}_scale", np.array(scale, dtype))
        acc = model.node("Mul", [acc, factor], f"{name}_scaled")
    if shift > 0 or always_round:
        half = model.constant(f"{name}_half", np.array(0.5, dtype))
        acc = model.node("Add", [acc, half], f"{name}_plus_half")
        acc = model.node("Floor", [acc], f"{name}_floor")
    lowest = model.constant(f"{name}_low", np.array(limits[0], dtype))
    highest = model.constant(f"{name}_high", np.array(limits[1], dtype))
    acc = model.node("Clip", [acc, lowest, highest], f"{name}_clipped")
    if dtype is np.float32:
        return acc
    return model.node("Cast", [acc], f"{name}_output", to=TensorProto.FLOAT)
