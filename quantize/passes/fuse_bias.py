"""Merge the addition of a constant (BiasAdd, Add, Sub) into the layer before it."""

from quantize.ir import Graph, Node, Op, Rewriter
from quantize.passes.merging import channels_of, layer_before, merge_affine, per_channel


def fuse_bias(graph: Graph) -> Graph:
    """Make ADD and SUB of one value per channel after CONV or DENSE its bias."""
    new = Rewriter(graph)
    for node in graph.nodes.values():
        if not (node.op in (Op.ADD, Op.SUB) and _fuse(new, node)):
            new.keep(node)
    return new.graph()


def _fuse(new: Rewriter, node: Node) -> bool:
    sides = [node.inputs] if node.op is Op.SUB else [node.inputs, node.inputs[::-1]]
    for x, added in sides:
        value, layer = new.current(added).value, layer_before(new, node, x)
        if value is None or layer is None:
            continue
        offset = per_channel(value, channels_of(new, layer))
        if offset is None:
            continue
        merge_affine(
            new, layer, node, None, -offset if node.op is Op.SUB else offset, new.now(added)
        )
        return True
    return False
