"""Compute at once what depends on constants only, such as the transpose of a weight."""

from quantize import execute
from quantize.ir import VIEWS, Array, Graph, Op, Rewriter, constant


def fold_constants(graph: Graph) -> Graph:
    """Replace nodes that are fed by constants alone by their value.

    A view of one constant keeps that constant's name, where nothing else uses the constant: a
    transposed weight is still the source's weight. Any other result has the name of its node.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        values: list[Array] = []
        for name in node.inputs:
            value = new.current(name).value
            if value is not None:
                values.append(value)
        if node.op in (Op.INPUT, Op.CONST, Op.UNKNOWN) or len(values) < len(node.inputs):
            new.keep(node)
            continue
        name = node.name
        if node.op in VIEWS and graph.feeds_only(node.inputs[0], node):
            name = new.now(node.inputs[0])
        new.add(constant(name, execute.evaluate(node, values)))
        if name != node.name:
            new.alias(node.name, name)
    return new.graph()
