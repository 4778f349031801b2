"""Merge ReLU into the layer before it: the DPU applies it before its only rounding."""

from dataclasses import replace

from quantize.ir import Graph, Op, Rewriter
from quantize.passes.merging import layer_before


def fuse_relu(graph: Graph) -> Graph:
    """Make RELU after CONV or DENSE an attribute of the layer, which takes the RELU's name."""
    new = Rewriter(graph)
    for node in graph.nodes.values():
        layer = layer_before(new, node, node.inputs[0]) if node.op is Op.RELU else None
        if layer is None:
            new.keep(node)
        else:
            merged = layer.with_attributes(relu=True, layer=layer.layer)
            new.add(replace(merged, name=node.name))
    return new.graph()
