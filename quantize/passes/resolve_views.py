"""Write every reshape and squeeze as a RESHAPE that leaves the batch alone."""

from dataclasses import replace

from edge_runtime.errors import GraphError
from quantize import execute
from quantize.ir import Graph, Op, Rewriter


def resolve_views(graph: Graph) -> Graph:
    """Turn RESHAPE and SQUEEZE of activations into RESHAPE to (-1, …).

    Graphs frozen with a batch of 1 say so in their shapes; afterwards any batch will do.
    """
    if not any(node.op in (Op.RESHAPE, Op.SQUEEZE) for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op in (Op.RESHAPE, Op.SQUEEZE):
            batch, *rest = shapes[node.name] or (0,)
            if batch != 1:
                raise GraphError(
                    f"node {node.name!r} ({node.op}) mixes the images of a batch; "
                    "the first axis must stay what it is"
                )
            node = replace(node, op=Op.RESHAPE, attributes={"shape": (-1, *rest)})
        new.keep(node)
    return new.graph()
