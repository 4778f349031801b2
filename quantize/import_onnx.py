"""Read a float32 ONNX model, as tf2onnx writes them and others like it.

An IR node is named as the tensor that it computes, without the ``:0`` that tf2onnx appends: for the
networks of this project these are the TensorFlow node's names. ONNX computes in NCHW; each spatial
operator is wrapped in transposes, which a pass removes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edge_runtime.errors import GraphError
from quantize import importing
from quantize.ir import Attribute, Graph, Node, Op, constant


def import_onnx(path: Path, input_node: str | None, output_node: str | None) -> Graph:
    """Read a .onnx; see `quantize.import_graph.import_graph`."""
    try:
        model = onnx.load(str(path))
    except Exception:  # protobuf's DecodeError has no stable home
        raise GraphError(
            f"{path}: not an ONNX model, or truncated; export the checkpoint again"
        ) from None
    if not model.graph.node:
        raise GraphError(f"{path}: holds no nodes; it is no ONNX model")
    return _Importer(path, model.graph).graph(input_node, output_node)


def _plain_name(name: str) -> str:
    return name.removesuffix(":0")


class _Importer:
    def __init__(self, path: Path, graph: Any) -> None:
        self.path = path
        self.constants = {
            _plain_name(each.name): importing.as_float32(numpy_helper.to_array(each))
            for each in graph.initializer
        }
        self.placeholders = {_plain_name(each.name): each for each in graph.input}
        self.nodes = {_plain_name(name): node for node in graph.node for name in node.output}
        for name, node in self.nodes.items():
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                value = numpy_helper.to_array(node.attribute[0].t)
                self.constants[name] = importing.as_float32(value)
        self.tensors: dict[str, str] = {}  # source tensor → IR node that consumers read

    def graph(self, input_node: str | None, output_node: str | None) -> Graph:
        inputs = {
            name: [_plain_name(each) for each in node.input] for name, node in self.nodes.items()
        }
        candidates = [name for name in self.placeholders if name not in self.constants]
        softmaxes = [name for name, node in self.nodes.items() if node.op_type == "Softmax"]
        source = importing.choose_input(self.path, input_node, candidates)
        output = importing.choose_output(self.path, output_node, inputs, softmaxes)
        order = importing.needed_order(self.path, source, output, self._feeds)
        made: list[Node] = []
        for name in order:
            made += self._convert(name, source)
            self.tensors[name] = made[-1].name
        return Graph.of(made, source, self.tensors[output])

    def _feeds(self, name: str) -> list[str]:
        if name in self.constants or name in self.placeholders:
            return []
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"{self.path}: tensor {name!r} is used but nothing makes it")
        if node.op_type not in _OPERATORS:
            raise importing.unsupported(self.path, name, node.op_type, _OPERATORS)
        # Axes and shapes are read as attributes.
        count = 1 if node.op_type in _FIRST_INPUT_ONLY else len(node.input)
        return [_plain_name(each) for each in node.input[:count] if each]

    def _convert(self, name: str, source: str) -> list[Node]:
        if name in self.constants:
            return [constant(name, self.constants[name])]
        if name in self.placeholders:
            if name != source:
                raise GraphError(
                    f"{self.path}: needs a second input {name!r}; export the inference graph"
                )
            dims = self.placeholders[name].type.tensor_type.shape.dim
            shape = [d.dim_value if d.HasField("dim_value") else None for d in dims]
            return [importing.input_node(self.path, name, shape)]
        inputs = tuple(self.tensors[each] for each in self._feeds(name))
        operator = _Operator(self, name, self.nodes[name], inputs)
        return _OPERATORS[operator.source.op_type](operator)


class _Operator:
    """One ONNX node on its way into the IR."""

    def __init__(
        self, importer: _Importer, name: str, source: Any, inputs: tuple[str, ...]
    ) -> None:
        self.importer, self.name, self.source, self.inputs = importer, name, source, inputs
        self.attributes: dict[str, Any] = {
            each.name: onnx.helper.get_attribute_value(each) for each in source.attribute
        }

    def error(self, what: str) -> GraphError:
        return GraphError(
            f"{self.importer.path}: node {self.name!r} ({self.source.op_type}): {what}"
        )

    @property
    def layer(self) -> str:
        """The node's own name; tf2onnx keeps the convolution's there when it folds what follows."""
        return _plain_name(self.source.name) or self.name

    def node(self, op: Op, **attributes: Attribute) -> Node:
        return Node(self.name, op, self.inputs, attributes)

    def ints(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(v) for v in self.attributes.get(key, default))

    def operand(self, index: int, key: str) -> tuple[int, ...]:
        """Return integers that older opsets keep as an attribute and newer ones as an input."""
        if key in self.attributes:
            return self.ints(key, ())
        if len(self.source.input) <= index or not self.source.input[index]:
            return ()
        value = self.importer.constants.get(_plain_name(self.source.input[index]))
        if value is None:
            raise self.error("its shape or axes must be constant")
        return tuple(int(v) for v in np.ravel(value))

    def pads(self) -> tuple[int, ...] | None:
        """Zeros (top, bottom, left, right); None for TensorFlow's SAME."""
        how = self.attributes.get("auto_pad", b"NOTSET")
        if how == b"SAME_LOWER":
            raise self.error("auto_pad SAME_LOWER is not supported")
        if how == b"SAME_UPPER":
            return None
        top, left, bottom, right = self.ints("pads", (0, 0, 0, 0))
        return (0, 0, 0, 0) if how == b"VALID" else (top, bottom, left, right)


def _conv(source: _Operator) -> list[Node]:
    if source.attributes.get("group", 1) != 1:
        raise source.error("grouped and depthwise convolutions are not supported")
    if set(source.ints("dilations", (1,))) != {1}:
        raise source.error("dilation is not supported")
    pads = source.pads()
    padding: dict[str, Attribute] = {"padding": "same"} if pads is None else {"pads": pads}
    kernel = Node(
        f"{source.name}/kernel_layout",
        Op.TRANSPOSE,
        source.inputs[1:2],
        {"perm": importing.TO_NHWC},
    )
    inputs = (source.inputs[0], kernel.name, *source.inputs[2:])
    attributes = padding | {"strides": source.ints("strides", (1, 1)), "layer": source.layer}
    return [kernel, *importing.in_nchw(Node(source.name, Op.CONV, inputs, attributes))]


def _pool(source: _Operator) -> list[Node]:
    if source.pads() != (0, 0, 0, 0) or source.attributes.get("ceil_mode", 0):
        raise source.error("average pooling with padding is not supported")
    kernel = source.ints("kernel_shape", ())
    strides = source.ints("strides", (1, 1))
    return importing.in_nchw(source.node(Op.AVG_POOL, kernel=kernel, strides=strides))


def _batch_norm(source: _Operator) -> list[Node]:
    if source.attributes.get("training_mode", 0):
        raise source.error("is in training mode; export the inference graph")
    epsilon = float(source.attributes.get("epsilon", 1e-5))
    return importing.in_nchw(source.node(Op.BATCH_NORM, epsilon=epsilon))


def _mean(source: _Operator) -> list[Node]:
    keep = bool(source.attributes.get("keepdims", 1))
    return [source.node(Op.MEAN, axes=source.operand(1, "axes"), keep_dims=keep)]


def _gemm(source: _Operator) -> list[Node]:
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


def _transpose(source: _Operator) -> list[Node]:
    if "perm" not in source.attributes:
        raise source.error("its order of axes must be given")
    return [source.node(Op.TRANSPOSE, perm=source.ints("perm", ()))]


def _flatten(source: _Operator) -> list[Node]:
    if source.attributes.get("axis", 1) != 1:
        raise source.error("only axis 1 is supported")
    return [source.node(Op.RESHAPE, shape=(0, -1))]


def _plain(op: Op) -> Callable[[_Operator], list[Node]]:
    return lambda source: [source.node(op)]


_FIRST_INPUT_ONLY = frozenset({"Reshape", "Squeeze", "ReduceMean", "Dropout"})
_OPERATORS: dict[str, Callable[[_Operator], list[Node]]] = {
    "Conv": _conv,
    "MatMul": lambda source: [source.node(Op.DENSE, layer=source.layer)],
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "Add": _plain(Op.ADD),
    "Sub": _plain(Op.SUB),
    "Mul": _plain(Op.MUL),
    "Relu": _plain(Op.RELU),
    "AveragePool": _pool,
    "GlobalAveragePool": lambda source: [source.node(Op.MEAN, axes=(2, 3), keep_dims=True)],
    "ReduceMean": _mean,
    "Reshape": lambda source: [source.node(Op.RESHAPE, shape=source.operand(1, "shape"))],
    "Squeeze": lambda source: [source.node(Op.SQUEEZE, axes=source.operand(1, "axes"))],
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Softmax": _plain(Op.SOFTMAX),
    "Identity": _plain(Op.IDENTITY),
    "Dropout": _plain(Op.IDENTITY),
}
