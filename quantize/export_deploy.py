"""deploy_model.pb: the graph that the vendor's compiler (dnnc, vai_c before 1.4) reads.

One node for a product and its bias. Conv2D, DepthwiseConv2dNative and MatMul carry ``weights``
and ``bias``, float tensors at their fix points, and the lists ``ipos``, ``wpos``, ``bpos`` and
``opos``, each [bit width, fix point]. Other layers carry ipos and opos, the input opos. The batch
is 1.
"""

from typing import Any

import numpy as np

from edge_runtime.layers import Activation
from quantize.calibrate import FixPoints
from quantize.fix_points import half_away_from_zero, quantized
from quantize.ir import Node, Op
from quantize.lower import layers_of
from quantize.tf_nodes import F32, NodeWriter, Source

_BITS = 8


def deploy_model(source: Source, positions: FixPoints) -> bytes:
    """Return the serialized graph."""
    writer = NodeWriter(source)
    graph = source.graph

    def pos(*names: str) -> list[int]:
        return [value for name in names for value in (_BITS, positions[name])]

    made = {graph.input: writer.placeholder(batch=1, opos=pos(graph.input))}
    for node in layers_of(graph):
        given = [name for name in node.inputs if name in made]
        x = [made[name] for name in given]
        ends: dict[str, Any] = {"ipos": pos(*given), "opos": pos(node.name)}
        if node.op is Op.CONV:
            result = _product(writer, node, x[0], positions, ends)
        elif node.op is Op.ADD:
            plain = node.activation is Activation.NONE
            name = node.name if plain else writer.free(node.layer)
            result = writer.add("Add", name, x, T=F32, **ends)
        elif node.op is Op.CONCAT:
            result = writer.joined(x, node.name, **ends)
        else:
            result = writer.pool(node, x[0], node.name, **ends)
        output = pos(node.name)
        made[node.name] = writer.activated(node, result, ipos=output, opos=output)
    return writer.serialized()


def _product(
    writer: NodeWriter, node: Node, x: str, positions: FixPoints, ends: dict[str, Any]
) -> str:
    graph = writer.source.graph
    weights, bias = (
        quantized(np.asarray(graph.value(name), np.float32), positions[name], half_away_from_zero)
        for name in node.inputs[1:]
    )
    in_order = writer.weights_of(node, weights)
    if writer.source.is_dense(node):
        x = writer.flattened(node, x, ipos=ends["ipos"], opos=ends["ipos"])
    values = writer.constant(node.inputs[1], in_order)
    attributes = ends | {
        "weights": in_order,
        "bias": bias,
        "wpos": [_BITS, positions[node.inputs[1]]],
        "bpos": [_BITS, positions[node.inputs[2]]],
    }
    return writer.product(node, x, values, writer.product_name(node), **attributes)
