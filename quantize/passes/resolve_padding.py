"""Replace TensorFlow's SAME by the zeros that it adds at each side."""

from quantize import execute
from quantize.ir import Graph, Op, Rewriter


def resolve_padding(graph: Graph) -> Graph:
    """Give every CONV and MAX_POOL explicit ``pads`` (top, bottom, left, right)."""
    if not any(node.attributes.get("padding") == "same" for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.attributes.get("padding") == "same":
            is_conv = node.op is Op.CONV
            kernel = shapes[node.inputs[1]][1:3] if is_conv else node.ints("kernel")
            pads = execute.resolved_pads(node, shapes[node.inputs[0]][1:3], kernel)
            node = node.with_attributes(pads=pads, padding="explicit")
        new.keep(node)
    return new.graph()
