"""Write a dense layer as the convolution that the DPU runs for it.

On a 1×1 map that is a 1×1 convolution. After flattening a larger map it is one as large as the map;
the order of the weights follows from what the views before it do to an array of positions, so
NHWC and NCHW sources end up the same.
"""

from dataclasses import replace

import numpy as np

from quantize import execute
from quantize.ir import VIEWS, Array, Graph, Node, Op, Rewriter, constant


def dense_to_conv(graph: Graph) -> Graph:
    """Turn DENSE of constant weights on a flattened map into CONV and a RESHAPE to [N, out]."""
    if not any(node.op is Op.DENSE for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        weights = new.current(node.inputs[1]).value if node.op is Op.DENSE else None
        if weights is None:
            new.keep(node)
            continue
        root, order = flattened(new.nodes, shapes, new.now(node.inputs[0]))
        if len(shapes[root]) != 4 or order.size != len(weights):
            new.keep(node)
            continue
        _replace(new, node, root, shapes[root][1:], order, weights)
    return new.graph()


def flattened(nodes: dict[str, Node], shapes: execute.Shapes, name: str) -> tuple[str, Array]:
    """Walk up through views: the node that they look at, and the order in which they give it.

    Entry i of the order is the position, in the root's own memory order, of the view's value i.
    """
    chain: list[Node] = []
    while nodes[name].op in VIEWS:
        chain.append(nodes[name])
        name = nodes[name].inputs[0]
    positions: Array = np.arange(int(np.prod(shapes[name]))).reshape(shapes[name])
    for view in reversed(chain):
        positions = execute.evaluate(view, [positions])
    return name, positions


def _replace(
    new: Rewriter, node: Node, root: str, shape: tuple[int, ...], order: Array, weights: Array
) -> None:
    out = weights.shape[1]
    by_position = np.empty_like(weights)
    by_position[order.ravel()] = weights
    kernel = np.ascontiguousarray(by_position.T).reshape(out, *shape)
    single = new.old.feeds_only(node.inputs[1], node)
    name = new.now(node.inputs[1]) if single else f"{node.layer}/weights"
    new.add(constant(name, kernel))
    attributes = dict(node.attributes) | {"strides": (1, 1), "pads": (0, 0, 0, 0)}
    bias = [new.now(each) for each in node.inputs[2:]]
    new.add(replace(node, op=Op.CONV, inputs=(root, name, *bias), attributes=attributes))
    flat = new.add(Node(f"{node.name}/flat", Op.RESHAPE, (node.name,), {"shape": (-1, out)}))
    new.alias(node.name, flat.name)
