"""The vendor's evaluation graph, and the same integers in stock TensorFlow operators.

``quantize_eval_model.pb`` is what decent_q writes: the float graph with a FixNeuron behind every
weight, bias and activation; its compilers from Vitis AI 1.4 on read it. ``quantize_eval_stock.pb``
is bit-identical to the integer network and runs in any TensorFlow: constants are rounded already,
an activation is rounded by floor(x · 2^p + ½), a clip and a scale, all exact in float32.
"""

from typing import Any

import numpy as np

from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork, Layer
from quantize.calibrate import FixPoints
from quantize.execute import LEAKY_SLOPE
from quantize.export_onnx import channel_ranges, fits_float32
from quantize.ir import Node, Op
from quantize.lower import layers_of
from quantize.tf_nodes import F32, F64, NodeWriter, Source

METHOD_NUMBERS = {"non-overflow": 0, "min-mse": 1}
_WEIGHT, _ACTIVATION = 0, 1  # FixNeuron's mode
_EVALUATION = 2  # its phase


def eval_model(source: Source, positions: FixPoints, method: str) -> bytes:
    """Return the serialized graph with FixNeuron nodes."""
    writer = _EvalWriter(source)
    # What the vendor has no number for was found by least error, too.
    number = METHOD_NUMBERS.get(method, METHOD_NUMBERS["min-mse"])
    graph = source.graph

    def fixed(x: str, name: str, mode: int) -> str:
        suffix = "wquant" if mode == _WEIGHT else "aquant"
        return writer.add(
            "FixNeuron", f"{name}/{suffix}", [x], T=F32, bit_width=8, mode=mode, method=number,
            phase=_EVALUATION, quantize_pos=positions[name],
        )  # fmt: skip

    made = {graph.input: fixed(writer.placeholder(), graph.input, _ACTIVATION)}
    for node in layers_of(graph):
        x = [made[name] for name in node.inputs if name in made]
        if node.op is Op.CONV:
            weights, bias = (
                fixed(writer.constant(name, value), name, _WEIGHT)
                for name, value in zip(node.inputs[1:], writer.constants_of(node), strict=True)
            )
            flat = writer.flattened(node, x[0]) if source.is_dense(node) else x[0]
            total = writer.product(node, flat, weights, writer.product_name(node))
            result = writer.activated(node, writer.biased(node, total, bias))
        else:
            result = writer.simple(node, x)
        made[node.name] = fixed(result, node.name, _ACTIVATION)
    return writer.serialized()


def stock_model(source: Source, network: IntegerNetwork) -> tuple[bytes, str]:
    """Return the serialized graph in stock operators, and the name of its logits.

    Its input and all tensors are values (integer · 2^-p), not the integers themselves.
    """
    writer = _EvalWriter(source)
    graph = source.graph
    p = network.input_fix_point
    made = {graph.input: writer.rounded(writer.placeholder(), graph.input, p)}
    points = {graph.input: p}
    for node, layer in zip(layers_of(graph), network.layers, strict=True):
        x = [made[name] for name in node.inputs if name in made]
        given = [points[name] for name in node.inputs if name in points]
        made[node.name] = writer.stock(node, layer, x, given)
        points[node.name] = layer.fix_point
    return writer.serialized(), made[graph.output]


class _EvalWriter(NodeWriter):
    def constants_of(self, node: Node) -> tuple[Any, Any]:
        """Return a layer's float weights and bias, in TensorFlow's order."""
        graph = self.source.graph
        weights, bias = (np.asarray(graph.value(name), np.float32) for name in node.inputs[1:])
        return self.weights_of(node, weights), bias

    def biased(self, node: Node, x: str, bias: str) -> str:
        """Add the bias."""
        return self.add("BiasAdd", self.sum_name(node), [x, bias], T=F32, data_format="NHWC")

    def simple(self, node: Node, x: list[str]) -> str:
        """Add a layer without constants, in float."""
        if node.op is Op.ADD:
            plain = node.activation is Activation.NONE
            name = node.name if plain else self.free(node.layer)
            return self.activated(node, self.add("Add", name, x, T=F32))
        if node.op is Op.CONCAT:
            return self.joined(x, node.name)
        return self.pool(node, x[0], node.name)

    def rounded(self, x: str, name: str, p: int, wide: bool = False) -> str:
        """Add floor(x · 2^p + ½), the clip to int8, and the scale back; in float64 if ``wide``."""
        kind, dtype = (F64, np.float64) if wide else (F32, np.float32)
        base = f"{name}/aquant"

        def step(op: str, given: str, value: float, part: str) -> str:
            number = self.constant(f"{base}/{part}/value", np.array(value, dtype))
            return self.add(op, f"{base}/{part}", [given, number], T=kind)

        scaled = step("Mul", x, 2.0**p, "scaled")
        floor = self.add("Floor", f"{base}/floor", [step("Add", scaled, 0.5, "half")], T=kind)
        high = step("Minimum", floor, 127.0, "high")
        low = step("Maximum", high, -128.0, "low")
        if not wide:
            return step("Mul", low, 2.0**-p, "output")
        back = step("Mul", low, 2.0**-p, "back")
        return self.add("Cast", f"{base}/output", [back], SrcT=F64, DstT=F32)

    def stock(self, node: Node, layer: Layer, x: list[str], given: list[int]) -> str:
        """Add a layer that gives the integers of ``layer``, as values."""
        if isinstance(layer, Conv):
            return self._stock_conv(node, layer, x[0], given[0])
        if isinstance(layer, AvgPool):
            return self._stock_average(node, layer, x[0], given[0])
        if node.op is Op.CONCAT:
            return self.joined(x, node.name)
        if node.activation is Activation.LEAKY_RELU:
            wide = [self._widened(each, f"{node.name}/{i}") for i, each in enumerate(x)]
            total = self.add("Add", self.free(node.layer), wide, T=F64)
            return self.rounded(self._leaky(total, node.name), node.name, layer.fix_point, True)
        return self.rounded(self.simple(node, x), node.name, layer.fix_point)

    def _widened(self, x: str, name: str) -> str:
        return self.add("Cast", f"{name}/wide", [x], SrcT=F32, DstT=F64)

    def _leaky(self, x: str, name: str) -> str:
        slope = self.constant(f"{name}/slope", np.array(LEAKY_SLOPE, np.float64))
        bent = self.add("Mul", f"{name}/bent", [x, slope], T=F64)
        return self.add("Maximum", name, [x, bent], T=F64)

    def _stock_conv(self, node: Node, layer: Conv, x: str, given: int) -> str:
        accumulated = layer.shift_cut + layer.fix_point  # fix point of the sums
        weights = np.ldexp(layer.weights.astype(np.float64), given - accumulated)
        bias = np.ldexp(layer.bias.astype(np.float64), layer.shift_bias - accumulated)
        flat = self.flattened(node, x) if self.source.is_dense(node) else x
        leaky = layer.activation is Activation.LEAKY_RELU
        if fits_float32(layer) or layer.depthwise:
            kernel = self.weights_of(node, weights.astype(np.float32))
            values = self.constant(node.inputs[1], kernel)
            total = self.product(node, flat, values, self.product_name(node))
            biases = self.constant(node.inputs[2], bias.astype(np.float32))
            total = self.biased(node, total, biases)
            wide = leaky
            total = self._widened(total, node.layer) if wide else total
        else:
            total, wide = self._split(node, layer, flat, weights, bias), True
        if layer.int32_output:
            return total
        if leaky:
            total = self._leaky(total, node.name)
        elif wide and layer.activation is not Activation.NONE:
            op = {Activation.RELU: "Relu", Activation.RELU6: "Relu6"}[layer.activation]
            total = self.add(op, node.name, [total], T=F64)
        elif not wide:
            total = self.activated(node, total)
        return self.rounded(total, node.name, layer.fix_point, wide)

    def _split(self, node: Node, layer: Conv, x: str, weights: Any, bias: Any) -> str:
        """Add convolutions of some input channels each, whose sums are exact, in float64."""
        total = self.constant(node.inputs[2], bias)
        for i, (first, last) in enumerate(channel_ranges(layer)):
            some = np.zeros_like(weights, np.float32)
            some[..., first:last] = weights[..., first:last]
            kernel = self.constant(f"{node.inputs[1]}/part{i}", self.weights_of(node, some))
            part = self.product(node, x, kernel, self.free(f"{node.layer}/part{i}"))
            total = self.add("Add", f"{part}/sum", [total, self._widened(part, part)], T=F64)
        return total

    def _stock_average(self, node: Node, layer: AvgPool, x: str, given: int) -> str:
        """Add window sums, by a depthwise convolution of ones, times the DPU's factor."""
        channels = self.shapes[node.inputs[0]][3]
        ones = self.constant(f"{node.name}/ones", np.ones((*layer.kernel, channels, 1), np.float32))
        total = self.add(
            "DepthwiseConv2dNative", f"{node.name}/sum", [x, ones], T=F32, padding="VALID",
            strides=[1, *layer.stride, 1], data_format="NHWC", dilations=[1, 1, 1, 1],
        )  # fmt: skip
        wide = self._widened(total, node.name)
        bits = layer.shift - given + layer.fix_point
        factor = np.array(np.ldexp(float(layer.multiplier), -bits), np.float64)
        number = self.constant(f"{node.name}/factor", factor)
        mean = self.add("Mul", node.name, [wide, number], T=F64)
        return self.rounded(mean, node.name, layer.fix_point, wide=True)
