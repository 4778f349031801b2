"""Write a mean over the whole map as the average pooling that it is."""

from dataclasses import replace

from quantize import execute
from quantize.ir import Graph, Node, Op, Rewriter


def mean_to_pool(graph: Graph) -> Graph:
    """Turn MEAN over height and width into AVG_POOL, reshaped where it dropped the axes."""
    if not any(node.op is Op.MEAN for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        shape = shapes[node.inputs[0]] if node.op is Op.MEAN else ()
        if len(shape) != 4 or {axis % 4 for axis in node.ints("axes")} != {1, 2}:
            new.keep(node)
            continue
        kernel = shape[1:3]
        new.keep(replace(node, op=Op.AVG_POOL, attributes={"kernel": kernel, "strides": kernel}))
        if not node.flag("keep_dims"):
            flat = Node(f"{node.name}/flat", Op.RESHAPE, (node.name,), {"shape": (-1, shape[3])})
            new.add(flat)
            new.alias(node.name, flat.name)
    return new.graph()
