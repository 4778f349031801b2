"""Fold batch normalization, and any scale per channel, into the layer before it, in float."""

import numpy as np

from quantize.ir import Graph, Node, Op, Rewriter
from quantize.passes.merging import array, channels_of, layer_before, merge_affine, per_channel


def fold_batch_norm(graph: Graph) -> Graph:
    """Merge BATCH_NORM, and MUL and DIV by constants, into the CONV or DENSE before them.

    In inference y = (x - mean) · gamma / sqrt(variance + epsilon) + beta, which is a scale and an
    offset per output channel (Jacob et al. 2018, section 3.2).
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        fold = {Op.BATCH_NORM: _batch_norm, Op.MUL: _scale, Op.DIV: _scale}.get(node.op)
        if fold is None or not fold(new, node):
            new.keep(node)
    return new.graph()


def _batch_norm(new: Rewriter, node: Node) -> bool:
    layer = layer_before(new, node, node.inputs[0])
    if layer is None or any(new.current(name).value is None for name in node.inputs[1:]):
        return False
    gamma, beta, mean, variance = (array(new, name) for name in node.inputs[1:])
    scale = gamma / np.sqrt(variance + node.number("epsilon"))
    merge_affine(new, layer, node, scale, beta - mean * scale, new.now(node.inputs[2]))
    return True


def _scale(new: Rewriter, node: Node) -> bool:
    sides = (node.inputs,) if node.op is Op.DIV else (node.inputs, node.inputs[::-1])
    for x, factor in sides:
        value, layer = new.current(factor).value, layer_before(new, node, x)
        if value is None or layer is None:
            continue
        scale = per_channel(value, channels_of(new, layer))
        if scale is not None and (node.op is Op.MUL or np.all(scale)):
            scale = scale if node.op is Op.MUL else 1 / scale
            merge_affine(new, layer, node, scale, np.zeros_like(scale), f"{layer.layer}/bias")
            return True
    return False
