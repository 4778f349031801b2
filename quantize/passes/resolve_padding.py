"""Replace TensorFlow's SAME by the zeros that it adds at each side."""

from quantize import execute
from quantize.ir import Graph, Op, Rewriter


def resolve_padding(graph: Graph) -> Graph:
    """Give every CONV explicit ``pads`` (top, bottom, left, right)."""
    if not any(node.attributes.get("padding") == "same" for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op is Op.CONV and node.attributes.get("padding") == "same":
            size, kernel = shapes[node.inputs[0]][1:3], shapes[node.inputs[1]][1:3]
            pads = execute.resolved_pads(node, size, kernel)
            node = node.with_attributes(pads=pads, padding="explicit")
        new.keep(node)
    return new.graph()
