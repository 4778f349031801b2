"""model_qdq.onnx: the same fix points in ONNX's standard form, for other tools.

Float operators between QuantizeLinear and DequantizeLinear, as TensorRT, ONNX Runtime and others
read them. It is NEAR the integer network, not identical: QuantizeLinear rounds halves to even where
the DPU rounds them up, and an engine may fuse and round in its own way. What is identical is
model_int8.onnx.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from edge_runtime.layers import Activation, Add, AvgPool, Conv, IntegerNetwork, Layer, MaxPool
from quantize.execute import LEAKY_SLOPE
from quantize.onnx_builder import OnnxBuilder

INPUT, OUTPUT = "input_real", "logits"


def export_qdq(network: IntegerNetwork) -> bytes:
    """Return the serialized model: float32 input [N, H, W, C] to float32 logits [N, classes].

    Logits carry the recorded logit scale.
    """
    model = _Writer()
    x = model.node("Transpose", [INPUT], "input_nchw", perm=[0, 3, 1, 2])
    outputs = [model.rounded(x, network.input_fix_point)]
    shapes = [network.input_shape, *network.output_shapes()]
    for i, layer in enumerate(network.layers):
        name, given = f"layer{i}", [outputs[source + 1] for source in layer.sources]
        points = [network.fix_point(source) for source in layer.sources]
        result = model.layer(name, layer, given, points, shapes[layer.sources[0] + 1][2])
        exact = isinstance(layer, Conv) and layer.int32_output
        outputs.append(result if exact else model.rounded(result, layer.fix_point))
    flat = model.constant("logits_shape", np.array([-1, network.classes], np.int64))
    model.node("Reshape", [outputs[-1], flat], OUTPUT)
    return model.serialized(
        "edgeglyph_qdq",
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", *network.input_shape]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", network.classes]),
    )


class _Writer(OnnxBuilder):
    def rounded(self, x: str, p: int) -> str:
        """Add QuantizeLinear and DequantizeLinear at a fix point."""
        scale = self.constant(f"{x}_scale", np.array(2.0**-p, np.float32))
        zero = self.constant(f"{x}_zero_point", np.array(0, np.int8))
        q = self.node("QuantizeLinear", [x, scale, zero], f"{x}_q")
        return self.node("DequantizeLinear", [q, scale, zero], f"{x}_dq")

    def dequantized(self, name: str, values: Any, p: int) -> str:
        """Add an integer constant with a DequantizeLinear behind it."""
        stored = self.constant(f"{name}_q", values)
        scale = self.constant(f"{name}_scale", np.array(2.0**-p, np.float32))
        zero = self.constant(f"{name}_zero_point", np.zeros((), values.dtype))
        return self.node("DequantizeLinear", [stored, scale, zero], name)

    def layer(self, name: str, layer: Layer, x: list[str], points: list[int], channels: int) -> str:
        if isinstance(layer, Conv):
            return self._conv(name, layer, x[0], points[0], channels)
        if isinstance(layer, AvgPool):
            return self._average(name, layer, x[0], points[0])
        if isinstance(layer, MaxPool):
            top, bottom, left, right = layer.pad
            return self.node(
                "MaxPool", x, f"{name}_max", kernel_shape=list(layer.kernel),
                strides=list(layer.stride), pads=[top, left, bottom, right],
            )  # fmt: skip
        if isinstance(layer, Add):
            return self._activated(name, layer.activation, self.node("Add", x, f"{name}_sum"))
        return self.node("Concat", x, f"{name}_joined", axis=1)

    def _conv(self, name: str, layer: Conv, x: str, given: int, channels: int) -> str:
        sums = layer.shift_cut + layer.fix_point
        kernel = np.ascontiguousarray(layer.weights.transpose(0, 3, 1, 2))
        weights = self.dequantized(f"{name}_weights", kernel, sums - given)
        shifted = layer.bias.astype(np.int32) << layer.shift_bias
        bias = self.dequantized(f"{name}_bias", shifted, sums)
        top, bottom, left, right = layer.pad
        total = self.node(
            "Conv", [x, weights, bias], f"{name}_conv", strides=list(layer.stride),
            pads=[top, left, bottom, right], kernel_shape=list(layer.weights.shape[1:3]),
            group=channels if layer.depthwise else 1,
        )  # fmt: skip
        return self._activated(name, layer.activation, total)

    def _average(self, name: str, layer: AvgPool, x: str, given: int) -> str:
        mean = self.node(
            "AveragePool", [x], f"{name}_mean", kernel_shape=list(layer.kernel),
            strides=list(layer.stride),
        )  # fmt: skip
        bits = layer.shift - given + layer.fix_point
        factor = np.ldexp(float(layer.multiplier * np.prod(layer.kernel)), -bits)
        if factor == 1:
            return mean
        value = self.constant(f"{name}_factor", np.array(factor, np.float32))
        return self.node("Mul", [mean, value], f"{name}_scaled")

    def _activated(self, name: str, activation: Activation, x: str) -> str:
        if activation is Activation.RELU:
            return self.node("Relu", [x], f"{name}_relu")
        if activation is Activation.LEAKY_RELU:
            return self.node("LeakyRelu", [x], f"{name}_leaky", alpha=LEAKY_SLOPE)
        if activation is Activation.RELU6:
            low = self.constant(f"{name}_low", np.array(0, np.float32))
            high = self.constant(f"{name}_high", np.array(6, np.float32))
            return self.node("Clip", [x, low, high], f"{name}_relu6")
        return x
