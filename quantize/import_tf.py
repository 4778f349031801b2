"""Read a frozen TensorFlow GraphDef. TensorFlow is imported here, and only when it is needed.

Constants and nodes keep their names. Only what the output depends on is read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import GraphError
from edge_runtime.tensorflow_import import import_tensorflow
from quantize import importing
from quantize.ir import Array, Attribute, Graph, Node, Op, constant


def import_tf(path: Path, input_node: str | None, output_node: str | None) -> Graph:
    """Read a .pb; see `quantize.import_graph.import_graph`."""
    return _Importer(path, _load(path)).graph(input_node, output_node)


def _load(path: Path) -> dict[str, Any]:
    import_tensorflow()
    from tensorflow.core.framework import graph_pb2

    graph_def = graph_pb2.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception:  # protobuf's DecodeError has no stable home
        raise GraphError(
            f"{path}: not a frozen graph, or truncated; freeze the checkpoint again"
        ) from None
    nodes = {node.name: node for node in graph_def.node}
    if not nodes:
        raise GraphError(f"{path}: holds no nodes; it is no frozen graph")
    return nodes


def _producer(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


class _Importer:
    def __init__(self, path: Path, nodes: dict[str, Any]) -> None:
        self.path, self.nodes = path, nodes
        self.tensors: dict[str, str] = {}  # source node → IR node that consumers read

    def graph(self, input_node: str | None, output_node: str | None) -> Graph:
        nodes = self.nodes
        inputs = {name: [_producer(each) for each in node.input] for name, node in nodes.items()}
        softmaxes = [name for name, node in nodes.items() if node.op == "Softmax"]
        placeholders = [name for name, node in nodes.items() if node.op == "Placeholder"]
        source = importing.choose_input(self.path, input_node, placeholders)
        output = importing.choose_output(self.path, output_node, inputs, softmaxes)
        order = importing.needed_order(self.path, source, output, self._feeds)
        made: list[Node] = []
        for name in order:
            made += self._convert(nodes[name], source)
            self.tensors[name] = made[-1].name
        return Graph.of(made, source, self.tensors[output])

    def _feeds(self, name: str) -> list[str]:
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"{self.path}: node {name!r} is referred to but missing; freeze again")
        if node.op not in _OPERATORS:
            raise importing.unsupported(self.path, name, node.op, _OPERATORS)
        data = [each for each in node.input if not each.startswith("^")]
        for each in data:
            if ":" in each and not each.endswith(":0"):
                raise GraphError(f"{self.path}: node {name!r} reads {each!r}, a second output")
        # Axes, shapes and permutations are read as attributes.
        count = 1 if node.op in ("Reshape", "Mean", "Transpose") else len(data)
        return [_producer(each) for each in data[:count]]

    def _convert(self, node: Any, source: str) -> list[Node]:
        if node.op == "Placeholder":
            if node.name != source:
                raise GraphError(
                    f"{self.path}: needs a second input {node.name!r}; freeze the inference graph"
                )
            dims = node.attr["shape"].shape.dim
            return [importing.input_node(self.path, node.name, [d.size for d in dims])]
        inputs = tuple(self.tensors[name] for name in self._feeds(node.name))
        return _OPERATORS[node.op](self, node, inputs)

    def error(self, node: Any, what: str) -> GraphError:
        return GraphError(f"{self.path}: node {node.name!r} ({node.op}): {what}")

    def ints(self, node: Any, index: int) -> tuple[int, ...]:
        """Return an operand that must be a constant of integers."""
        name = _producer(node.input[index])
        while name in self.nodes and self.nodes[name].op == "Identity":
            name = _producer(self.nodes[name].input[0])
        found = self.nodes.get(name)
        if found is not None and found.op == "Const":
            return tuple(int(v) for v in np.ravel(_value(found)))
        if found is not None and found.op == "Pack":  # a shape whose batch is computed
            return tuple(self._size(found, i) for i in range(len(found.input)))
        raise self.error(node, "its shape, axes or order must be constant")

    def _size(self, pack: Any, index: int) -> int:
        found = self.nodes.get(_producer(pack.input[index]))
        if found is not None and found.op == "Const":
            return int(_value(found))
        if index == 0:
            return 0  # the size that the input itself has
        raise self.error(pack, "only the batch of a shape may be computed")


def _value(node: Any) -> Array:
    from tensorflow.python.framework import tensor_util

    value: Array = tensor_util.MakeNdarray(node.attr["value"].tensor)
    return importing.as_float32(value)


_Convert = Callable[[_Importer, Any, tuple[str, ...]], list[Node]]


def _plain(op: Op) -> _Convert:
    return lambda context, node, inputs: [Node(node.name, op, inputs)]


def _spatial(context: _Importer, node: Any, key: str) -> tuple[bool, tuple[int, int]]:
    """Whether the node is NHWC, and an attribute's entries for height and width."""
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    values = [int(v) for v in node.attr[key].list.i] or [1, 1, 1, 1]
    height, width = values[1:3] if nhwc else values[2:4]
    if height * width != int(np.prod(values)):
        raise context.error(node, f"{key} over the batch or the channels")
    return nhwc, (height, width)


def _conv(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    nhwc, strides = _spatial(context, node, "strides")
    if _spatial(context, node, "dilations")[1] != (1, 1):
        raise context.error(node, "dilation is not supported")
    padding = node.attr["padding"].s
    attributes: dict[str, Attribute] = {"strides": strides}
    if padding == b"SAME":
        attributes["padding"] = "same"
    elif padding == b"VALID":
        attributes["pads"] = (0, 0, 0, 0)
    else:
        explicit = [int(v) for v in node.attr["explicit_paddings"].list.i]
        attributes["pads"] = tuple(explicit[2:6] if nhwc else explicit[4:8])
    kernel = Node(f"{node.name}/kernel_layout", Op.TRANSPOSE, inputs[1:], {"perm": (3, 0, 1, 2)})
    conv = Node(node.name, Op.CONV, (inputs[0], kernel.name), attributes)
    return [kernel, conv] if nhwc else [kernel, *importing.in_nchw(conv)]


def _pool(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    nhwc, kernel = _spatial(context, node, "ksize")
    if node.attr["padding"].s != b"VALID":
        raise context.error(node, "average pooling with padding is not supported; use VALID")
    strides = _spatial(context, node, "strides")[1]
    pool = Node(node.name, Op.AVG_POOL, inputs, {"kernel": kernel, "strides": strides})
    return [pool] if nhwc else importing.in_nchw(pool)


def _matmul(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    if node.attr["transpose_a"].b:
        raise context.error(node, "a transposed left side is not supported")
    if not node.attr["transpose_b"].b:
        return [Node(node.name, Op.DENSE, inputs)]
    turned = Node(f"{node.name}/kernel_layout", Op.TRANSPOSE, inputs[1:], {"perm": (1, 0)})
    return [turned, Node(node.name, Op.DENSE, (inputs[0], turned.name))]


def _bias_add(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    add = Node(node.name, Op.ADD, inputs)
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    return [add] if nhwc else importing.in_nchw(add)


def _batch_norm(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    if node.attr["is_training"].b:
        raise context.error(node, "is in training mode; freeze the inference graph")
    attributes = {"epsilon": float(node.attr["epsilon"].f)}
    norm = Node(node.name, Op.BATCH_NORM, inputs, attributes)
    nhwc = node.attr["data_format"].s in (b"", b"NHWC")
    return [norm] if nhwc else importing.in_nchw(norm)


def _mean(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    attributes: dict[str, Attribute] = {
        "axes": context.ints(node, 1),
        "keep_dims": bool(node.attr["keep_dims"].b),
    }
    return [Node(node.name, Op.MEAN, inputs, attributes)]


def _reshape(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    return [Node(node.name, Op.RESHAPE, inputs, {"shape": context.ints(node, 1)})]


def _transpose(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    return [Node(node.name, Op.TRANSPOSE, inputs, {"perm": context.ints(node, 1)})]


def _squeeze(context: _Importer, node: Any, inputs: tuple[str, ...]) -> list[Node]:
    axes = tuple(int(v) for v in node.attr["squeeze_dims"].list.i)
    return [Node(node.name, Op.SQUEEZE, inputs, {"axes": axes})]


_OPERATORS: dict[str, _Convert] = {
    "Placeholder": _plain(Op.INPUT),
    "Const": lambda context, node, inputs: [constant(node.name, _value(node))],
    **dict.fromkeys(
        ("Identity", "StopGradient", "PreventGradient", "CheckNumerics"), _plain(Op.IDENTITY)
    ),
    "Conv2D": _conv,
    "MatMul": _matmul,
    "BiasAdd": _bias_add,
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _batch_norm),
    **dict.fromkeys(("Add", "AddV2"), _plain(Op.ADD)),
    "Sub": _plain(Op.SUB),
    "Mul": _plain(Op.MUL),
    "Rsqrt": _plain(Op.RSQRT),
    "Relu": _plain(Op.RELU),
    "AvgPool": _pool,
    "Mean": _mean,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Softmax": _plain(Op.SOFTMAX),
}
