"""Move an activation from behind a max pool to before it, where it merges with a layer."""

from dataclasses import replace

from quantize.ir import ACTIVATIONS, Graph, Op, Rewriter


def raise_activations(graph: Graph) -> Graph:
    """Swap an activation with the MAX_POOL before it: both are monotone, so the result is equal.

    The two swap their names as well: what computes the activation's value keeps its name.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        pool = new.current(node.inputs[0]) if node.op in ACTIVATIONS else None
        if pool is None or pool.op is not Op.MAX_POOL:
            new.keep(node)
            continue
        if not graph.feeds_only(node.inputs[0], node):
            new.keep(node)
            continue
        new.add(replace(node, name=pool.name, inputs=pool.inputs))
        new.add(replace(pool, name=node.name, inputs=(pool.name,)))
    return new.graph()
