"""Write the integer network as a stock ONNX model, bit-identical to the reference.

Integers up to 2^24 are exact in float32, and so is scaling by powers of two. A layer is therefore a
float32 convolution of integer-valued tensors, then floor(x · 2^-shift + ½) and a clip. That holds
while every partial sum, and the sum with the rounding term, stays below 2^24 for every output
channel; it is checked from the real weights. Where it fails, input channels are split into as many
convolutions as it takes for each to meet it, and their results are added and rounded in float64.

This file shares no arithmetic with `edge_runtime.integer`: each checks the other.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import GraphError
from edge_runtime.layers import AvgPool, Conv, IntegerNetwork, output_range
from quantize.ir import Array

EXACT = 2**24
INPUT, OUTPUT = "input_real", "logits_q"
_OPSET, _IR_VERSION = 13, 7  # understood by ONNX Runtime since 1.6 (2020)
_LARGEST_INPUT = 128  # |q| of an int8 activation
_Range = tuple[int, int]  # first input channel, and the one after the last


def export(network: IntegerNetwork) -> bytes:
    """Return the serialized model: int8 input [N, H, W, C] to int8 logits [N, classes].

    The same network always gives the same bytes.
    """
    model = _Builder()
    model.add("Cast", [INPUT], "input_float", to=TensorProto.FLOAT)
    model.add("Transpose", ["input_float"], "input_nchw", perm=[0, 3, 1, 2])
    outputs, shapes = ["input_nchw"], [network.input_shape, *network.output_shapes()]
    for i, layer in enumerate(network.layers):
        if not isinstance(layer, Conv | AvgPool):
            raise GraphError(f"layer {layer.name!r} cannot be exported to ONNX yet")
        x, shape = outputs[layer.source + 1], shapes[layer.source + 1]
        if isinstance(layer, Conv):
            outputs.append(_conv(model, f"layer{i}", layer, x))
        else:
            outputs.append(_pool(model, f"layer{i}", layer, x, shape[2]))
    classes = network.classes
    flat = model.constant("logits_shape", np.array([-1, classes], np.int64))
    model.add("Reshape", [outputs[-1], flat], "logits_float")
    model.add("Cast", ["logits_float"], OUTPUT, to=TensorProto.INT8)
    return model.serialized(network.input_shape, classes)


def fits_float32(layer: Conv) -> bool:
    """Whether every sum of the layer, with bias and rounding term, is below 2^24."""
    bias = np.abs(layer.bias.astype(np.int64)) << layer.shift_bias
    largest = int((_per_channel(layer).sum(axis=1) + bias).max())
    return largest + _rounding_term(layer.shift_cut) < EXACT


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


@dataclass
class _Builder:
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def serialized(self, shape: tuple[int, int, int], classes: int) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "edgeglyph_int8",
            [helper.make_tensor_value_info(INPUT, TensorProto.INT8, ["N", *shape])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.INT8, ["N", classes])],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="edgeglyph",
        )
        onnx.checker.check_model(model)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized


def _conv(model: _Builder, name: str, layer: Conv, x: str) -> str:
    kernel = layer.weights.transpose(0, 3, 1, 2).astype(np.float32)
    bias = np.ldexp(layer.bias.astype(np.float64), layer.shift_bias)
    top, bottom, left, right = layer.pad
    shape = {
        "strides": list(layer.stride),
        "pads": [top, left, bottom, right],
        "kernel_shape": list(layer.weights.shape[1:3]),
    }
    low, _ = output_range(layer.activation, layer.fix_point)
    if fits_float32(layer):
        weights = model.constant(f"{name}_weights", kernel)
        biases = model.constant(f"{name}_bias", bias.astype(np.float32))
        acc = model.add("Conv", [x, weights, biases], f"{name}_acc", **shape)
        return _requantize(model, name, acc, np.float32, 1, layer.shift_cut, low)
    parts = [
        _partial(model, f"{name}_part{i}", x, kernel[:, a:b], (a, b), shape)
        for i, (a, b) in enumerate(channel_ranges(layer))
    ]
    acc = model.constant(f"{name}_bias", bias.reshape(1, -1, 1, 1))
    for i, part in enumerate(parts):
        acc = model.add("Add", [acc, part], f"{name}_acc{i}")
    return _requantize(model, name, acc, np.float64, 1, layer.shift_cut, low)


def _partial(
    model: _Builder, name: str, x: str, kernel: Array, channels: _Range, shape: dict[str, Any]
) -> str:
    """Emit the convolution of some input channels, cast to float64."""
    first = model.constant(f"{name}_first", np.array([channels[0]], np.int64))
    last = model.constant(f"{name}_last", np.array([channels[1]], np.int64))
    axis = model.constant(f"{name}_axis", np.array([1], np.int64))
    piece = model.add("Slice", [x, first, last, axis], f"{name}_input")
    weights = model.constant(f"{name}_weights", np.ascontiguousarray(kernel))
    acc = model.add("Conv", [piece, weights], f"{name}_acc32", **shape)
    return model.add("Cast", [acc], f"{name}_acc64", to=TensorProto.DOUBLE)


def _pool(model: _Builder, name: str, layer: AvgPool, x: str, channels: int) -> str:
    """Emit window sums as a convolution of ones, each channel by itself, then the factor."""
    largest = int(np.prod(layer.kernel)) * _LARGEST_INPUT
    if largest >= EXACT:
        raise GraphError(f"layer {layer.name!r}: its window is too large for exact float32")
    ones = model.constant(f"{name}_ones", np.ones((channels, 1, *layer.kernel), np.float32))
    total = model.add(
        "Conv",
        [x, ones],
        f"{name}_sum",
        group=channels,
        strides=list(layer.stride),
        kernel_shape=list(layer.kernel),
    )
    if largest * layer.multiplier + _rounding_term(layer.shift) < EXACT:
        return _requantize(model, name, total, np.float32, layer.multiplier, layer.shift, -128)
    wide = model.add("Cast", [total], f"{name}_sum64", to=TensorProto.DOUBLE)
    return _requantize(model, name, wide, np.float64, layer.multiplier, layer.shift, -128)


def _requantize(
    model: _Builder,
    name: str,
    acc: str,
    dtype: type[np.floating[Any]],
    multiplier: int,
    shift: int,
    low: int,
) -> str:
    """Emit clip(floor(acc · multiplier · 2^-shift + ½), low, 127), as float32.

    A scale above 1 or of 1 leaves integers, which need no rounding.
    """
    scale = np.ldexp(float(multiplier), -shift)
    if scale != 1:
        factor = model.constant(f"{name}_scale", np.array(scale, dtype))
        acc = model.add("Mul", [acc, factor], f"{name}_scaled")
    if shift > 0:
        half = model.constant(f"{name}_half", np.array(0.5, dtype))
        acc = model.add("Add", [acc, half], f"{name}_plus_half")
        acc = model.add("Floor", [acc], f"{name}_floor")
    lowest = model.constant(f"{name}_low", np.array(low, dtype))
    highest = model.constant(f"{name}_high", np.array(127, dtype))
    acc = model.add("Clip", [acc, lowest, highest], f"{name}_clipped")
    if dtype is np.float32:
        return acc
    return model.add("Cast", [acc], f"{name}_output", to=TensorProto.FLOAT)
