"""ONNX operators in terms of the IR: one function each, from a node of the file to IR nodes.

The last node that a function returns is the one that consumers read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from quantize import importing
from quantize.ir import Array, Attribute, Node, Op


def plain_name(name: str) -> str:
    """Return a tensor's name without the ``:0`` that tf2onnx appends."""
    return name.removesuffix(":0")


@dataclass(frozen=True)
class SourceNode:
    """One ONNX node on its way into the IR.

    name : of its output;  proto : the NodeProto;  inputs : IR nodes that it reads
    constants, nodes : those of the whole graph, by output name
    """

    path: Path
    name: str
    proto: Any
    inputs: tuple[str, ...]
    constants: Mapping[str, Array]
    nodes: Mapping[str, Any]

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes as Python values."""
        return {each.name: onnx.helper.get_attribute_value(each) for each in self.proto.attribute}

    def error(self, what: str) -> importing.UnsupportedNodeError:
        """Return an error that names the node."""
        return importing.misused(self.path, self.name, self.proto.op_type, what)

    @property
    def layer(self) -> str:
        """The node's own name; tf2onnx keeps the convolution's there when it folds what follows."""
        return plain_name(self.proto.name) or self.name

    def node(self, op: Op, **attributes: Attribute) -> Node:
        """Make an IR node on the same inputs."""
        return Node(self.name, op, self.inputs, attributes)

    def ints(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute that is a list of integers."""
        return tuple(int(v) for v in self.attributes.get(key, default))

    def constant(self, index: int) -> Array | None:
        """Return the constant that is an input, or None where there is no such input."""
        if len(self.proto.input) <= index or not self.proto.input[index]:
            return None
        return self.constants.get(plain_name(self.proto.input[index]))

    def operand(self, index: int, key: str) -> tuple[int, ...]:
        """Return integers that older opsets keep as an attribute and newer ones as an input."""
        if key in self.attributes:
            return self.ints(key, ())
        if len(self.proto.input) <= index or not self.proto.input[index]:
            return ()
        value = self.constant(index)
        if value is not None:
            return tuple(int(v) for v in np.ravel(value))
        return self._computed_shape(plain_name(self.proto.input[index]))

    def _computed_shape(self, name: str) -> tuple[int, ...]:
        """Return a shape whose batch alone is computed, as PyTorch's view(x.size(0), …) is."""
        joined = self.nodes.get(name)
        sizes = list(joined.input) if joined is not None and joined.op_type == "Concat" else []
        values = [self.constants.get(plain_name(each)) for each in sizes]
        if not values or any(value is None for value in values[1:]):
            raise self.error("its shape or axes must be constant")
        return tuple(0 if value is None else int(np.ravel(value)[0]) for value in values)

    def pads(self) -> tuple[int, ...] | None:
        """Zeros (top, bottom, left, right); None for TensorFlow's SAME."""
        how = self.attributes.get("auto_pad", b"NOTSET")
        if how == b"SAME_LOWER":
            raise self.error("auto_pad SAME_LOWER is not supported")
        if how == b"SAME_UPPER":
            return None
        top, left, bottom, right = self.ints("pads", (0, 0, 0, 0))
        return (0, 0, 0, 0) if how == b"VALID" else (top, bottom, left, right)


def _window_attributes(source: SourceNode) -> dict[str, Attribute]:
    if set(source.ints("dilations", (1,))) != {1}:
        raise source.error("dilation is not supported; use a larger kernel")
    pads = source.pads()
    padding: dict[str, Attribute] = {"padding": "same"} if pads is None else {"pads": pads}
    return padding | {"strides": source.ints("strides", (1, 1))}


def _conv(source: SourceNode) -> list[Node]:
    attributes = _window_attributes(source) | {"layer": source.layer}
    if source.attributes.get("group", 1) != 1:
        weights = source.constant(1)
        if weights is None or weights.shape[1] != 1:
            raise source.error("grouped convolutions are not supported; only depthwise ones are")
        attributes["depthwise"] = True
    kernel = Node(
        f"{source.name}/kernel_layout",
        Op.TRANSPOSE,
        source.inputs[1:2],
        {"perm": importing.TO_NHWC},
    )
    inputs = (source.inputs[0], kernel.name, *source.inputs[2:])
    return [kernel, *importing.in_nchw(Node(source.name, Op.CONV, inputs, attributes))]


def _avg_pool(source: SourceNode) -> list[Node]:
    pads = source.pads()
    padded = pads != (0, 0, 0, 0)
    uncounted = padded and not source.attributes.get("count_include_pad", 0)
    if pads is None or uncounted or source.attributes.get("ceil_mode", 0):
        raise source.error(
            "average pooling with padding that is not counted is not supported; "
            "use count_include_pad, or no padding"
        )
    kernel, strides = source.ints("kernel_shape", ()), source.ints("strides", (1, 1))
    pool = source.node(Op.AVG_POOL, kernel=kernel, strides=strides)
    if not padded:
        return importing.in_nchw(pool)
    pad = Node(f"{source.name}/pad", Op.PAD, source.inputs[:1], {"pads": pads})
    before = importing.in_nchw(pad)
    return [*before, *importing.in_nchw(replace(pool, inputs=(before[-1].name,)))]


def _max_pool(source: SourceNode) -> list[Node]:
    if source.attributes.get("ceil_mode", 0):
        raise source.error("ceil_mode is not supported; pad instead")
    if len(source.proto.output) > 1:
        raise source.error("indices are not supported")
    attributes = _window_attributes(source) | {"kernel": source.ints("kernel_shape", ())}
    return importing.in_nchw(source.node(Op.MAX_POOL, **attributes))


def _pad(source: SourceNode) -> list[Node]:
    value: Any = source.attributes.get("value", 0.0)
    if len(source.proto.input) > 2 and source.proto.input[2]:
        value = source.constant(2)
    if source.attributes.get("mode", b"constant") != b"constant" or value is None or np.any(value):
        raise source.error("only padding by a constant zero is supported")
    amounts = source.operand(1, "pads")
    if len(amounts) != 8:
        raise source.error("only maps of four axes can be padded")
    by_axis = list(zip(amounts[:4], amounts[4:], strict=True))
    # The map may be NCHW or, in what tf2onnx leaves of a TensorFlow Pad, NHWC.
    if not any((*by_axis[0], *by_axis[1])):
        return importing.in_nchw(source.node(Op.PAD, pads=(*by_axis[2], *by_axis[3])))
    if not any((*by_axis[0], *by_axis[3])):
        return [source.node(Op.PAD, pads=(*by_axis[1], *by_axis[2]))]
    raise source.error("only height and width can be padded")


def _clip(source: SourceNode) -> list[Node]:
    limits = [_limit(source, 1, "min"), _limit(source, 2, "max")]
    if limits == [0.0, 6.0]:
        return [source.node(Op.RELU6)]
    if limits == [0.0, None]:
        return [source.node(Op.RELU)]
    raise source.error(f"clips to {limits}; only ReLU6 (0 to 6) and ReLU (0 and above) are known")


def _limit(source: SourceNode, index: int, key: str) -> float | None:
    if key in source.attributes:
        found = float(source.attributes[key])
    elif len(source.proto.input) <= index or not source.proto.input[index]:
        return None
    else:
        value = source.constant(index)
        if value is None:
            raise source.error("its limits must be constant")
        found = float(value.item())
    return None if abs(found) > 1e30 else found  # the largest float stands for no limit


def _batch_norm(source: SourceNode) -> list[Node]:
    if source.attributes.get("training_mode", 0):
        raise source.error("is in training mode; export the inference graph")
    epsilon = float(source.attributes.get("epsilon", 1e-5))
    return importing.in_nchw(source.node(Op.BATCH_NORM, epsilon=epsilon))


def _mean(source: SourceNode) -> list[Node]:
    keep = bool(source.attributes.get("keepdims", 1))
    return [source.node(Op.MEAN, axes=source.operand(1, "axes"), keep_dims=keep)]


def _gemm(source: SourceNode) -> list[Node]:
    factors = {float(source.attributes.get(key, 1.0)) for key in ("alpha", "beta")}
    if factors != {1.0} or source.attributes.get("transA", 0):
        raise source.error("only alpha = beta = 1 and transA = 0 are supported")
    x, weights, *bias = source.inputs
    nodes: list[Node] = []
    if source.attributes.get("transB", 0):
        nodes.append(
            Node(f"{source.name}/kernel_layout", Op.TRANSPOSE, (weights,), {"perm": (1, 0)})
        )
        weights = nodes[-1].name
    return [*nodes, Node(source.name, Op.DENSE, (x, weights, *bias), {"layer": source.layer})]


def _transpose(source: SourceNode) -> list[Node]:
    if "perm" not in source.attributes:
        raise source.error("its order of axes must be given")
    return [source.node(Op.TRANSPOSE, perm=source.ints("perm", ()))]


def _flatten(source: SourceNode) -> list[Node]:
    if source.attributes.get("axis", 1) != 1:
        raise source.error("only axis 1 is supported")
    return [source.node(Op.RESHAPE, shape=(0, -1))]


def _leaky_relu(source: SourceNode) -> list[Node]:
    return [source.node(Op.LEAKY_RELU, alpha=float(source.attributes.get("alpha", 0.01)))]


def _plain(op: Op) -> Callable[[SourceNode], list[Node]]:
    return lambda source: [source.node(op)]


# The other inputs of these are read as attributes.
FIRST_INPUT_ONLY = frozenset({"Reshape", "Squeeze", "ReduceMean", "Dropout", "Pad", "Clip"})
SPATIAL = frozenset({"Conv", "AveragePool", "MaxPool", "GlobalAveragePool", "BatchNormalization"})
ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "Clip", "Identity", "Dropout", "Pad"}
)
OPERATORS: dict[str, Callable[[SourceNode], list[Node]]] = {
    "Conv": _conv,
    "MatMul": lambda source: [source.node(Op.DENSE, layer=source.layer)],
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "Add": _plain(Op.ADD),
    "Sub": _plain(Op.SUB),
    "Mul": _plain(Op.MUL),
    "Div": _plain(Op.DIV),
    "Max": _plain(Op.MAXIMUM),
    "Min": _plain(Op.MINIMUM),
    "Relu": _plain(Op.RELU),
    "LeakyRelu": _leaky_relu,
    "Clip": _clip,
    "AveragePool": _avg_pool,
    "MaxPool": _max_pool,
    "GlobalAveragePool": lambda source: [source.node(Op.MEAN, axes=(2, 3), keep_dims=True)],
    "Pad": _pad,
    "Concat": lambda source: [source.node(Op.CONCAT, axis=int(source.attributes["axis"]))],
    "ReduceMean": _mean,
    "Reshape": lambda source: [source.node(Op.RESHAPE, shape=source.operand(1, "shape"))],
    "Squeeze": lambda source: [source.node(Op.SQUEEZE, axes=source.operand(1, "axes"))],
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Softmax": _plain(Op.SOFTMAX),
    "Identity": _plain(Op.IDENTITY),
    "Dropout": _plain(Op.IDENTITY),
}
