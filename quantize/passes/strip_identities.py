"""Remove operators that do nothing in inference: Identity, Dropout, StopGradient."""

from quantize.ir import Graph, Op, Rewriter


def strip_identities(graph: Graph) -> Graph:
    """Let the consumers of every IDENTITY read its input."""
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op is Op.IDENTITY:
            new.alias(node.name, new.now(node.inputs[0]))
        else:
            new.keep(node)
    return new.graph()
