"""Name activations that a source spells out with maxima and minima."""

from dataclasses import replace

from quantize.ir import Graph, Node, Op, Rewriter


def recognize_activations(graph: Graph) -> Graph:
    """Turn MAXIMUM(x, 0) into RELU, its MINIMUM with 6 into RELU6, MAXIMUM(x, a·x) into LEAKY_RELU.

    TensorFlow 1.12 has no operator of its own for the last one in many graphs.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if node.op is Op.MAXIMUM and _maximum(new, node):
            continue
        if node.op is Op.MINIMUM and _minimum(new, node):
            continue
        new.keep(node)
    return new.graph()


def _number(new: Rewriter, name: str) -> float | None:
    value = new.current(name).value
    return float(value.item()) if value is not None and value.size == 1 else None


def _maximum(new: Rewriter, node: Node) -> bool:
    for x, other in (node.inputs, node.inputs[::-1]):
        if _number(new, other) == 0:
            new.add(replace(node, op=Op.RELU, inputs=(new.now(x),)))
            return True
        slope = _slope(new, new.now(x), new.current(other))
        if slope is not None and 0 < slope < 1:
            attributes = dict(node.attributes) | {"alpha": slope}
            new.add(replace(node, op=Op.LEAKY_RELU, inputs=(new.now(x),), attributes=attributes))
            return True
    return False


def _slope(new: Rewriter, x: str, scaled: Node) -> float | None:
    if scaled.op is not Op.MUL:
        return None
    for factor, of in (scaled.inputs, scaled.inputs[::-1]):
        if of == x:
            return _number(new, factor)
    return None


def _minimum(new: Rewriter, node: Node) -> bool:
    for x, other in (node.inputs, node.inputs[::-1]):
        above = new.current(x)
        if _number(new, other) == 6 and above.op is Op.RELU and new.old.feeds_only(x, node):
            new.add(replace(node, op=Op.RELU6, inputs=above.inputs))
            return True
    return False
