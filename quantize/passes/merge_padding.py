"""Let convolutions do the zero padding that a source does by itself."""

import numpy as np

from quantize import execute
from quantize.ir import Attribute, Graph, Node, Op, Rewriter, constant


def merge_padding(graph: Graph) -> Graph:
    """Merge PAD into the CONVs that read it, or write it as a convolution that changes nothing.

    The latter is depthwise, of kernel 1×1 and weight 1: for a pad before a pool, an addition or a
    concatenation, and before a kernel that is smaller than the pad (which the DPU does not take).
    """
    if not any(node.op is Op.PAD for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op is Op.PAD:
            if _all_take(graph, node):
                new.alias(node.name, new.now(node.inputs[0]))
            else:
                _explicit(new, node, shapes[node.name][-1])
            continue
        pad = graph[node.inputs[0]] if node.op is Op.CONV else None
        if pad is not None and pad.op is Op.PAD and _all_take(graph, pad):
            sums = zip(node.ints("pads"), pad.ints("pads"), strict=True)
            node = node.with_attributes(pads=tuple(a + b for a, b in sums))
        new.keep(node)
    return new.graph()


def _all_take(graph: Graph, pad: Node) -> bool:
    """Whether all that read a PAD are CONVs of known padding whose kernels reach beyond it."""
    top, bottom, left, right = pad.ints("pads")
    consumers = graph.consumers(pad.name)
    for node in consumers:
        if node.op is not Op.CONV or node.attributes.get("padding") == "same":
            return False
        weights = graph.value(node.inputs[1])
        kernel = (0, 0, 0, 0) if weights is None else weights.shape
        ahead = node.ints("pads")
        high, wide = max(top + ahead[0], bottom + ahead[1]), max(left + ahead[2], right + ahead[3])
        if high >= kernel[1] or wide >= kernel[2]:
            return False
    return bool(consumers) and pad.name != graph.output


def _explicit(new: Rewriter, node: Node, channels: int) -> None:
    ones = new.add(constant(f"{node.name}/weights", np.ones((channels, 1, 1, 1), np.float32)))
    attributes: dict[str, Attribute] = {
        "strides": (1, 1),
        "pads": node.ints("pads"),
        "depthwise": True,
        "layer": node.layer,
    }
    inputs = (new.now(node.inputs[0]), ones.name)
    new.add(Node(node.name, Op.CONV, inputs, attributes))
