"""Merge an activation into the layer before it: the DPU applies it before its only rounding."""

from dataclasses import replace

from edge_runtime.layers import Activation
from quantize.execute import LEAKY_SLOPE
from quantize.ir import ACTIVATIONS, Graph, Node, Op, Rewriter
from quantize.passes.merging import layer_before

_SLOPE_TOLERANCE = 1 / 256  # 0.1 is taken as 26/256; the vendor's tools do the same


def fuse_activation(graph: Graph) -> Graph:
    """Make RELU, RELU6 and LEAKY_RELU an attribute of the CONV, DENSE or ADD before them.

    The layer takes the activation's name. An ADD is one of two computed maps.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        layer = _layer(new, node) if node.op in ACTIVATIONS else None
        if layer is None or other_slope(node):
            new.keep(node)
            continue
        activation = ACTIVATIONS[node.op]
        merged = layer.with_attributes(activation=activation.value, layer=layer.layer)
        new.add(replace(merged, name=node.name))
    return new.graph()


def _layer(new: Rewriter, node: Node) -> Node | None:
    found = new.current(node.inputs[0])
    if found.op is not Op.ADD:
        return layer_before(new, node, node.inputs[0])
    computed = all(new.current(name).value is None for name in found.inputs)
    alone = new.old.feeds_only(node.inputs[0], node)
    return found if computed and alone and found.activation is Activation.NONE else None


def other_slope(node: Node) -> str:
    """Say what is wrong with a LEAKY_RELU of another slope than the DPU's; "" for other nodes."""
    if node.op is not Op.LEAKY_RELU or abs(node.number("alpha") - LEAKY_SLOPE) <= _SLOPE_TOLERANCE:
        return ""
    return (
        f"a leaky ReLU of slope {node.number('alpha'):g} cannot be quantized; the DPU knows one "
        "slope, 26/256 (0.1): train with that, or with ReLU"
    )
