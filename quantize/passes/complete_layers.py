"""Give every convolution a bias, and constants that it shares with no other node."""

from dataclasses import replace

import numpy as np

from quantize.ir import Graph, Node, Op, Rewriter, constant


def complete_layers(graph: Graph) -> Graph:
    """Add a zero bias where there is none, and copy shared weights and biases.

    Every tensor of a layer gets a fix point of its own. New constants are named
    ``<layer>/weights`` and ``<layer>/bias``.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op is not Op.CONV or graph.value(node.inputs[1]) is None:
            new.keep(node)
            continue
        weights = _own(new, node, 1, f"{node.layer}/weights")
        if len(node.inputs) > 2:
            bias = _own(new, node, 2, f"{node.layer}/bias")
        else:
            channels = len(np.asarray(graph.value(node.inputs[1])))
            bias = new.add(constant(f"{node.layer}/bias", np.zeros(channels, np.float32))).name
        new.keep(replace(node, inputs=(node.inputs[0], weights, bias)))
    return new.graph()


def _own(new: Rewriter, node: Node, index: int, name: str) -> str:
    value = new.old.value(node.inputs[index])
    if value is None or new.old.feeds_only(node.inputs[index], node):
        return node.inputs[index]
    return new.add(constant(name, value)).name
