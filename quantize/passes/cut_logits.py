"""End the graph at its logits: a softmax is no operator of the DPU, and scores are made from it."""

from dataclasses import replace

from quantize.ir import VIEWS, Graph, Op, Rewriter


def cut_logits(graph: Graph) -> Graph:
    """Make the input of a final SOFTMAX (with views after it, or none) the output."""
    node = graph[graph.output]
    while node.op in VIEWS:
        node = graph[node.inputs[0]]
    if node.op is not Op.SOFTMAX:
        return graph
    new = Rewriter(replace(graph, output=node.inputs[0]))
    for each in graph.nodes.values():
        new.keep(each)
    return new.graph()
