"""Remove views that leave every value where it is."""

import numpy as np

from quantize import execute
from quantize.ir import VIEWS, Graph, Rewriter
from quantize.passes.dense_to_conv import flattened


def strip_views(graph: Graph) -> Graph:
    """Let consumers of a view that restores its root's shape and order read the root.

    At the output the shape does not matter either: logits are [N, classes] or a 1×1 map alike.
    """
    if not any(node.op in VIEWS for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        new.keep(node)
        if node.op not in VIEWS:
            continue
        root, order = flattened(new.nodes, shapes, node.name)
        ordered = np.array_equal(order.ravel(), np.arange(order.size))
        one_pixel = len(shapes[root]) == 4 and shapes[root][1:3] == (1, 1)
        same_shape = order.shape == shapes[root]
        if ordered and (same_shape or (node.name == graph.output and one_pixel)):
            new.alias(node.name, root)
    return new.graph()
