"""Write a batch normalization or scale that no layer could take as a depthwise convolution."""

import numpy as np

from quantize import execute
from quantize.execute import Float
from quantize.ir import Attribute, Graph, Node, Op, Rewriter, constant
from quantize.passes.merging import array, per_channel


def scale_to_conv(graph: Graph) -> Graph:
    """Turn BATCH_NORM, and ADD, SUB, MUL and DIV by a constant per channel, into CONV 1×1.

    They stand behind an activation, where they cannot be merged with the layer before it.
    """
    candidates = (Op.BATCH_NORM, Op.ADD, Op.SUB, Op.MUL, Op.DIV)
    if not any(node.op in candidates for node in graph.nodes.values()):
        return graph
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        found = _affine(new, node, shapes[node.name]) if node.op in candidates else None
        if found is None:
            new.keep(node)
            continue
        x, scale, offset = found
        weights = constant(f"{node.name}/weights", scale.astype(np.float32).reshape(-1, 1, 1, 1))
        bias = constant(f"{node.name}/bias", offset.astype(np.float32))
        attributes: dict[str, Attribute] = {
            "strides": (1, 1),
            "pads": (0, 0, 0, 0),
            "depthwise": True,
        }
        inputs = (x, new.add(weights).name, new.add(bias).name)
        new.add(Node(node.name, Op.CONV, inputs, attributes))
    return new.graph()


def _affine(new: Rewriter, node: Node, shape: tuple[int, ...]) -> tuple[str, Float, Float] | None:
    """Return the input, scale and offset per channel, both float64, of a node on a map."""
    if len(shape) != 4:
        return None
    if node.op is Op.BATCH_NORM:
        if any(new.current(name).value is None for name in node.inputs[1:]):
            return None
        gamma, beta, mean, variance = (array(new, name) for name in node.inputs[1:])
        scale = gamma / np.sqrt(variance + node.number("epsilon"))
        return new.now(node.inputs[0]), scale, beta - mean * scale
    sides = [node.inputs] if node.op in (Op.SUB, Op.DIV) else [node.inputs, node.inputs[::-1]]
    for x, name in sides:
        value = new.current(name).value
        if value is None or new.current(x).value is not None:
            continue
        found = per_channel(value, shape[3])
        if found is None:
            continue
        one, zero = np.ones_like(found), np.zeros_like(found)
        if node.op in (Op.ADD, Op.SUB):
            return new.now(x), one, found if node.op is Op.ADD else -found
        if node.op is Op.MUL or np.all(found):
            return new.now(x), found if node.op is Op.MUL else 1 / found, zero
    return None
