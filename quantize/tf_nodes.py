"""Layers of a simplified graph as TensorFlow nodes: what the three exported .pb files share.

Names are the source's: a convolution's node has the name of the source's Conv2D or MatMul, the
activation's node that of the source's Relu. A bias that the source had no node for is added by
``<layer's folder>/BiasAdd``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.layers import Activation
from quantize import execute
from quantize.execute import LEAKY_SLOPE
from quantize.graph_def import DOUBLE, FLOAT, INT32, DataType, GraphWriter, TensorShape
from quantize.ir import Graph, Node, Op

F32, F64, I32 = DataType(FLOAT), DataType(DOUBLE), DataType(INT32)
ACTIVATION_OPS = {
    Activation.RELU: "Relu",
    Activation.RELU6: "Relu6",
    Activation.LEAKY_RELU: "LeakyRelu",
}


@dataclass(frozen=True)
class Source:
    """The graph to write, with what the passes took away.

    graph : simplified;  source : as it was imported, for names
    """

    graph: Graph
    source: Graph

    def is_dense(self, node: Node) -> bool:
        """Whether a convolution was a matrix product in the source."""
        found = self.source.nodes.get(node.layer)
        return found is not None and found.op is Op.DENSE

    def is_mean(self, node: Node) -> bool:
        """Whether a pool was a mean over the whole map in the source."""
        found = self.source.nodes.get(node.name)
        return found is not None and found.op is Op.MEAN

    def flat_name(self, node: Node) -> str:
        """Return the name of the source's reshape before a matrix product."""
        before = self.source.nodes[self.source[node.layer].inputs[0]]
        return before.name if before.op in (Op.RESHAPE, Op.SQUEEZE) else f"{node.layer}/flat"


class NodeWriter(GraphWriter):
    """Writes the nodes of layers, in float32 or whatever type they are told."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.shapes = execute.shapes(source.graph)

    def free(self, name: str) -> str:
        """Return a name that is not taken yet."""
        while name in self.names or name in self.source.graph.nodes:
            name += "_1"
        return name

    def placeholder(self, batch: int = -1, **attributes: Any) -> str:
        """Add the input."""
        graph = self.source.graph
        shape = TensorShape((batch, *graph.input_shape))
        return self.add("Placeholder", graph.input, dtype=F32, shape=shape, **attributes)

    def padded(self, node: Node, x: str, value: float = 0.0) -> tuple[str, str]:
        """Return what a window reads and its padding: SAME, VALID, or VALID behind a Pad."""
        given = self.shapes[node.inputs[0]]
        kernel = (
            np.shape(self.source.graph.value(node.inputs[1]))[1:3]  # type: ignore[arg-type]
            if node.op is Op.CONV
            else node.ints("kernel")
        )
        pads = node.ints("pads", (0, 0, 0, 0))
        if not any(pads):
            return x, "VALID"
        same = Node("", node.op, attributes={"padding": "same", "strides": node.ints("strides")})
        if execute.resolved_pads(same, given[1:3], kernel) == pads:
            return x, "SAME"
        top, bottom, left, right = pads
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        name = self.free(f"{node.layer}/Pad")
        around = self.constant(f"{name}/paddings", amounts)
        if not value:
            return self.add("Pad", name, [x, around], T=F32, Tpaddings=I32), "VALID"
        low = self.constant(f"{name}/value", np.array(value, np.float32))
        return self.add("PadV2", name, [x, around, low], T=F32, Tpaddings=I32), "VALID"

    def product(self, node: Node, x: str, kernel: str, name: str, /, **attributes: Any) -> str:
        """Add a Conv2D, DepthwiseConv2dNative, or MatMul (on a flat input)."""
        if self.source.is_dense(node):
            return self.add(
                "MatMul", name, [x, kernel], T=F32, transpose_a=False, transpose_b=False,
                **attributes,
            )  # fmt: skip
        x, padding = self.padded(node, x)
        op = "DepthwiseConv2dNative" if node.flag("depthwise") else "Conv2D"
        return self.add(
            op, name, [x, kernel], T=F32, strides=[1, *node.ints("strides"), 1], padding=padding,
            data_format="NHWC", dilations=[1, 1, 1, 1], **attributes,
        )  # fmt: skip

    def flattened(self, node: Node, x: str, **attributes: Any) -> str:
        """Add the reshape before a matrix product."""
        size = int(np.prod(self.shapes[node.inputs[0]][1:]))
        name = self.free(self.source.flat_name(node))
        shape = self.constant(f"{name}/shape", np.array([-1, size], np.int32))
        return self.add("Reshape", name, [x, shape], T=F32, Tshape=I32, **attributes)

    def weights_of(self, node: Node, values: Any) -> Any:
        """Return weights [out, kh, kw, in] in TensorFlow's order."""
        if self.source.is_dense(node):
            return np.ascontiguousarray(values.reshape(len(values), -1).T)
        if node.flag("depthwise"):
            channels = self.shapes[node.inputs[0]][3]
            by_channel = values[..., 0].reshape(channels, -1, *values.shape[1:3])
            return np.ascontiguousarray(by_channel.transpose(2, 3, 0, 1))
        return np.ascontiguousarray(values.transpose(1, 2, 3, 0))

    def product_name(self, node: Node) -> str:
        """Return the name of a layer's product: the source's, where the layer's own is another."""
        taken = node.layer in self.names
        ends_layer = node.layer == node.name and node.activation is not Activation.NONE
        return self.free(f"{node.layer}/product") if taken or ends_layer else node.layer

    def sum_name(self, node: Node) -> str:
        """Return the name of a layer's bias addition."""
        if node.activation is Activation.NONE:
            return node.name if node.name != node.layer else self.free(f"{node.layer}/BiasAdd")
        folder = node.layer.rpartition("/")[0]
        return self.free(f"{folder}/BiasAdd" if folder else f"{node.layer}/BiasAdd")

    def activated(self, node: Node, x: str, **attributes: Any) -> str:
        """Add a layer's activation, if it has one."""
        if node.activation is Activation.NONE:
            return x
        if node.activation is Activation.LEAKY_RELU:
            attributes["alpha"] = float(LEAKY_SLOPE)
        op = ACTIVATION_OPS[node.activation]
        return self.add(op, node.name, [x], T=F32, **attributes)

    def pool(self, node: Node, x: str, name: str, **attributes: Any) -> str:
        """Add a MaxPool, an AvgPool, or the source's Mean."""
        if node.op is Op.AVG_POOL and self.source.is_mean(node):
            axes = self.constant(f"{name}/reduction_indices", np.array([1, 2], np.int32))
            return self.add("Mean", name, [x, axes], T=F32, Tidx=I32, keep_dims=True, **attributes)
        padding = "VALID"
        if node.op is Op.MAX_POOL:
            x, padding = self.padded(node, x, float(np.finfo(np.float32).min))
        op = "MaxPool" if node.op is Op.MAX_POOL else "AvgPool"
        return self.add(
            op, name, [x], T=F32, ksize=[1, *node.ints("kernel"), 1],
            strides=[1, *node.ints("strides"), 1], padding=padding, data_format="NHWC",
            **attributes,
        )  # fmt: skip

    def joined(self, x: list[str], name: str, **attributes: Any) -> str:
        """Add a ConcatV2 over channels."""
        axis = self.constant(f"{name}/axis", np.array(3, np.int32))
        return self.add("ConcatV2", name, [*x, axis], T=F32, Tidx=I32, N=len(x), **attributes)
