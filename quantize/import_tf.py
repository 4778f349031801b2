"""Read a frozen TensorFlow GraphDef; TensorFlow itself is not needed.

Constants and nodes keep their names. Only what the output depends on is read. What training left
in old graphs is seen as inference sees it: a dropout is its input, and of a branch on
`is_training` the other side is taken.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import GraphError
from quantize import graph_def, importing, tf_training
from quantize.ir import Attribute, Graph, Node, Op, constant


def read_tf(path: Path, strict: bool) -> "TensorFlowImporter":
    """Read a .pb; see `quantize.import_graph`."""
    return TensorFlowImporter(path, {node.name: node for node in graph_def.read(path).node}, strict)


def _producer(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


class TensorFlowImporter:
    """Turns the nodes of one GraphDef into the IR; not ``strict``, it passes unknown ones on."""

    def __init__(self, path: Path, nodes: dict[str, Any], strict: bool) -> None:
        self.path, self.nodes, self.strict = path, nodes, strict
        self.inputs = {
            name: [_producer(each) for each in node.input] for name, node in nodes.items()
        }
        self.output = ""
        self.tensors: dict[str, str] = {}  # source node → IR node that consumers read

    def graph(self, input_node: str | None, output_node: str | None) -> Graph:
        """Return the graph from an input to an output; see `quantize.import_graph`."""
        nodes = self.nodes
        ops = {name: node.op for name, node in nodes.items()}
        placeholders = [
            name
            for name, node in nodes.items()
            if node.op == "Placeholder" and node.attr["dtype"].type in _FLOATING
        ]
        source = importing.choose_input(self.path, input_node, placeholders)
        self.output = importing.choose_output(self.path, output_node, self.inputs, ops)
        order = importing.needed_order(self.path, source, self.output, self._feeds)
        made: list[Node] = []
        for name in order:
            made += self._convert(nodes[name], source)
            self.tensors[name] = made[-1].name
        return Graph.of(made, source, self.tensors[self.output])

    def behind(self) -> list[tuple[str, str]]:
        """List name and operator of what follows the output that was chosen."""
        names = importing.following(self.output, self.inputs)
        return [(name, self.nodes[name].op) for name in names]

    def _feeds(self, name: str) -> list[str]:
        try:
            return self._data_of(name)
        except importing.UnsupportedNodeError:
            if self.strict:
                raise
        return [_producer(each) for each in self.nodes[name].input if not each.startswith("^")]

    def _data_of(self, name: str) -> list[str]:
        """List the nodes that carry data into a node."""
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"{self.path}: node {name!r} is referred to but missing; freeze again")
        passed = tf_training.passes_through(self.nodes, node)
        if passed is not None:
            return [_producer(passed)]
        if node.op not in _OPERATORS:
            raise importing.unsupported(self.path, name, node.op, _OPERATORS)
        data = [each for each in node.input if not each.startswith("^")]
        for each in data:
            # Of a Switch both outputs are its input; which side counts is known at the Merge.
            switch = each.endswith(":1") and self._is_switch(_producer(each))
            if ":" in each and not each.endswith(":0") and not switch:
                raise self.error(node, f"reads {each!r}, a second output; use the first one")
        first, last = _DATA_INPUTS.get(node.op, (0, len(data)))
        return [_producer(each) for each in data[first:last]]

    def _is_switch(self, name: str) -> bool:
        return name in self.nodes and self.nodes[name].op == "Switch"

    def _convert(self, node: Any, source: str) -> list[Node]:
        try:
            self._data_of(node.name)
            return self._converted(node, source)
        except importing.UnsupportedNodeError as error:
            if self.strict:
                raise
            return [importing.unknown_node(error, self._fed(node))]

    def _fed(self, node: Any) -> tuple[str, ...]:
        return tuple(self.tensors[name] for name in self._feeds(node.name))

    def _converted(self, node: Any, source: str) -> list[Node]:
        if node.op == "Placeholder":
            if node.name != source:
                raise self.error(node, "is a second input; freeze the inference graph")
            dims = node.attr["shape"].shape.dim
            return [importing.input_node(self.path, node.name, [d.size for d in dims])]
        inputs = self._fed(node)
        if tf_training.passes_through(self.nodes, node) is not None:
            return [Node(node.name, Op.IDENTITY, inputs)]
        return _OPERATORS[node.op](self, node, inputs)

    def error(self, node: Any, what: str) -> importing.UnsupportedNodeError:
        """Return the error for a node that is used in a way that is not understood."""
        return importing.misused(self.path, node.name, node.op, what)

    def ints(self, node: Any, index: int) -> tuple[int, ...]:
        """Return an operand that must be a constant of integers."""
        name = _producer(node.input[index])
        while name in self.nodes and self.nodes[name].op == "Identity":
            name = _producer(self.nodes[name].input[0])
        found = self.nodes.get(name)
        if found is not None and found.op == "Const":
            return tuple(int(v) for v in np.ravel(graph_def.array_of(found)))
        if found is not None and found.op == "Pack":  # a shape whose batch is computed
            return tuple(self._size(found, i) for i in range(len(found.input)))
        raise self.error(node, "its shape, axes or order must be constant")

    def _size(self, pack: Any, index: int) -> int:
        found = self.nodes.get(_producer(pack.input[index]))
        if found is not None and found.op == "Const":
            return int(graph_def.array_of(found))
        if index == 0:
            return 0  # the size that the input itself has
        raise self.error(pack, "only the batch of a shape may be computed")


_Convert = Callable[[TensorFlowImporter, Any, tuple[str, ...]], list[Node]]


def _plain(op: Op) -> _Convert:
    return lambda context, node, inputs: [Node(node.name, op, inputs)]


def _spatial(context: TensorFlowImporter, node: Any, key: str) -> tuple[bool, tuple[int, int]]:
    """Whether the node is NHWC, and an attribute's entries for height and width."""
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    values = [int(v) for v in node.attr[key].list.i] or [1, 1, 1, 1]
    height, width = values[1:3] if nhwc else values[2:4]
    if height * width != int(np.prod(values)):
        raise context.error(node, f"{key} over the batch or the channels")
    return nhwc, (height, width)


def _window_attributes(context: TensorFlowImporter, node: Any) -> tuple[bool, dict[str, Attribute]]:
    """Whether the node is NHWC, and its strides and padding in the IR's terms."""
    nhwc, strides = _spatial(context, node, "strides")
    attributes: dict[str, Attribute] = {"strides": strides}
    padding = node.attr["padding"].s
    if padding == b"SAME":
        attributes["padding"] = "same"
    elif padding == b"VALID":
        attributes["pads"] = (0, 0, 0, 0)
    else:
        explicit = [int(v) for v in node.attr["explicit_paddings"].list.i]
        attributes["pads"] = tuple(explicit[2:6] if nhwc else explicit[4:8])
    return nhwc, attributes


def _conv(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    if _spatial(context, node, "dilations")[1] != (1, 1):
        raise context.error(node, "dilation is not supported; use a larger kernel")
    nhwc, attributes = _window_attributes(context, node)
    kernel = Node(f"{node.name}/kernel_layout", Op.TRANSPOSE, inputs[1:], {"perm": (3, 0, 1, 2)})
    conv = Node(node.name, Op.CONV, (inputs[0], kernel.name), attributes)
    return [kernel, conv] if nhwc else [kernel, *importing.in_nchw(conv)]


def _depthwise(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    """[kh, kw, in, multiplier] becomes [in · multiplier, kh, kw, 1]."""
    if _spatial(context, node, "dilations")[1] != (1, 1):
        raise context.error(node, "dilation is not supported; use a larger kernel")
    nhwc, attributes = _window_attributes(context, node)
    kernel = context.nodes[_producer(node.input[1])]
    while kernel.op == "Identity":
        kernel = context.nodes[_producer(kernel.input[0])]
    if kernel.op != "Const":
        raise context.error(node, "its weights are computed, not constant")
    height, width = graph_def.array_of(kernel).shape[:2]
    turned = f"{node.name}/kernel_layout"
    flat = f"{node.name}/kernel_shape"
    conv = Node(node.name, Op.CONV, (inputs[0], flat), attributes | {"depthwise": True})
    return [
        Node(turned, Op.TRANSPOSE, inputs[1:], {"perm": (2, 3, 0, 1)}),
        Node(flat, Op.RESHAPE, (turned,), {"shape": (-1, height, width, 1)}),
        *([conv] if nhwc else importing.in_nchw(conv)),
    ]


def _avg_pool(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    nhwc, kernel = _spatial(context, node, "ksize")
    if node.attr["padding"].s != b"VALID":
        raise context.error(node, "average pooling with padding is not supported; use VALID")
    strides = _spatial(context, node, "strides")[1]
    pool = Node(node.name, Op.AVG_POOL, inputs, {"kernel": kernel, "strides": strides})
    return [pool] if nhwc else importing.in_nchw(pool)


def _max_pool(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    kernel = _spatial(context, node, "ksize")[1]
    nhwc, attributes = _window_attributes(context, node)
    pool = Node(node.name, Op.MAX_POOL, inputs, attributes | {"kernel": kernel})
    return [pool] if nhwc else importing.in_nchw(pool)


def _pad(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    amounts = context.ints(node, 1)
    if len(node.input) > 2 and np.any(graph_def.array_of(context.nodes[_producer(node.input[2])])):
        raise context.error(node, "only padding by zero is supported")
    if len(amounts) != 8 or any((*amounts[:2], *amounts[6:])):
        raise context.error(node, "only height and width of an NHWC map can be padded")
    return [Node(node.name, Op.PAD, inputs, {"pads": amounts[2:6]})]


def _concat(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    (axis,) = context.ints(node, 0 if node.op == "Concat" else len(inputs))
    return [Node(node.name, Op.CONCAT, inputs, {"axis": axis})]


def _leaky_relu(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    alpha = float(node.attr["alpha"].f) if "alpha" in node.attr else 0.2  # TensorFlow's default
    return [Node(node.name, Op.LEAKY_RELU, inputs, {"alpha": alpha})]


def _matmul(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    if node.attr["transpose_a"].b:
        raise context.error(node, "a transposed left side is not supported")
    if not node.attr["transpose_b"].b:
        return [Node(node.name, Op.DENSE, inputs)]
    turned = Node(f"{node.name}/kernel_layout", Op.TRANSPOSE, inputs[1:], {"perm": (1, 0)})
    return [turned, Node(node.name, Op.DENSE, (inputs[0], turned.name))]


def _bias_add(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    add = Node(node.name, Op.ADD, inputs)
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    return [add] if nhwc else importing.in_nchw(add)


def _batch_norm(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    if node.attr["is_training"].b:
        raise context.error(node, "is in training mode; freeze the inference graph")
    attributes = {"epsilon": float(node.attr["epsilon"].f)}
    norm = Node(node.name, Op.BATCH_NORM, inputs, attributes)
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    return [norm] if nhwc else importing.in_nchw(norm)


def _mean(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    attributes: dict[str, Attribute] = {
        "axes": context.ints(node, 1),
        "keep_dims": bool(node.attr["keep_dims"].b),
    }
    return [Node(node.name, Op.MEAN, inputs, attributes)]


def _reshape(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    return [Node(node.name, Op.RESHAPE, inputs, {"shape": context.ints(node, 1)})]


def _transpose(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    return [Node(node.name, Op.TRANSPOSE, inputs, {"perm": context.ints(node, 1)})]


def _squeeze(context: TensorFlowImporter, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    axes = tuple(int(v) for v in node.attr["squeeze_dims"].list.i)
    return [Node(node.name, Op.SQUEEZE, inputs, {"axes": axes})]


_FLOATING = (graph_def.FLOAT, graph_def.DOUBLE, graph_def.HALF, 0)
# Axes, shapes and permutations are read as attributes: which inputs (first, last) carry data.
_DATA_INPUTS: dict[str, tuple[int, int | None]] = {
    **dict.fromkeys(("Reshape", "Mean", "Transpose", "Pad", "PadV2"), (0, 1)),
    "ConcatV2": (0, -1),
    "Concat": (1, None),
}
_OPERATORS: dict[str, _Convert] = {
    "Placeholder": _plain(Op.INPUT),
    "Const": lambda context, node, inputs: [
        constant(node.name, importing.as_float32(graph_def.array_of(node)))
    ],
    **dict.fromkeys(
        ("Identity", "StopGradient", "PreventGradient", "CheckNumerics", "EnsureShape"),
        _plain(Op.IDENTITY),
    ),
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _matmul,
    "BiasAdd": _bias_add,
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    **dict.fromkeys(("Add", "AddV2"), _plain(Op.ADD)),
    "Sub": _plain(Op.SUB),
    "Mul": _plain(Op.MUL),
    **dict.fromkeys(("RealDiv", "Div"), _plain(Op.DIV)),
    "Maximum": _plain(Op.MAXIMUM),
    "Minimum": _plain(Op.MINIMUM),
    "Rsqrt": _plain(Op.RSQRT),
    "Relu": _plain(Op.RELU),
    "Relu6": _plain(Op.RELU6),
    "LeakyRelu": _leaky_relu,
    "AvgPool": _avg_pool,
    "MaxPool": _max_pool,
    **dict.fromkeys(("Pad", "PadV2"), _pad),
    **dict.fromkeys(("Concat", "ConcatV2"), _concat),
    "Mean": _mean,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Softmax": _plain(Op.SOFTMAX),
}
