"""Fold a scale and offset per channel into the convolution after it."""

from dataclasses import replace

import numpy as np

from quantize.ir import Graph, Node, Op, Rewriter, constant
from quantize.passes.merging import array


def merge_scale(graph: Graph) -> Graph:
    """Merge a depthwise CONV 1×1 without activation into the CONV that alone reads it.

    Where that one pads, only if there is no offset: its zeros would have to be something else. An
    AVG_POOL between the two is stepped over, because a mean of a·x + c is a times the mean, plus c.
    """
    new = Rewriter(graph)
    for node in graph.nodes.values():
        before = new.current(node.inputs[0]) if node.inputs else None
        alone = before is not None and graph.feeds_only(node.inputs[0], node)
        if before is None or not alone or not _is_scale(new, before):
            new.keep(node)
        elif node.op is Op.AVG_POOL:
            # The two swap their names too: the last one still computes what consumers read.
            new.add(replace(node, name=before.name, inputs=before.inputs[:1]))
            moved = replace(before, name=node.name, inputs=(before.name, *before.inputs[1:]))
            new.add(moved)
        elif node.op is Op.CONV and _can_take(new, node, before):
            _merge(new, node, before)
        else:
            new.keep(node)
    return new.graph()


def _is_scale(new: Rewriter, node: Node) -> bool:
    if node.op is not Op.CONV or not node.flag("depthwise") or node.activation.value != "none":
        return False
    weights = new.current(node.inputs[1]).value
    one_tap = weights is not None and weights.shape[1:] == (1, 1, 1)
    still = node.attributes.get("pads") == (0, 0, 0, 0) and node.ints("strides") == (1, 1)
    return one_tap and still and node.inputs[0] != node.inputs[1]


def _can_take(new: Rewriter, node: Node, scale: Node) -> bool:
    if any(new.current(name).value is None for name in node.inputs[1:]):
        return False
    if node.attributes.get("padding") == "same":
        return False
    has_offset = len(scale.inputs) > 2 and bool(np.any(array(new, scale.inputs[2])))
    channels = len(array(new, scale.inputs[1]))
    taken = array(new, node.inputs[1]).shape
    fits = taken[0] % channels == 0 if node.flag("depthwise") else taken[3] == channels
    return fits and not (has_offset and any(node.ints("pads")))


def _merge(new: Rewriter, node: Node, scale: Node) -> None:
    x, factor_name, *offset_name = scale.inputs
    factor = array(new, factor_name).ravel()
    offset = array(new, offset_name[0]) if offset_name else np.zeros_like(factor)
    weights = array(new, node.inputs[1])
    if node.flag("depthwise"):
        each = len(weights) // len(factor)
        added = weights.sum(axis=(1, 2, 3)) * np.repeat(offset, each)
        weights = weights * np.repeat(factor, each).reshape(-1, 1, 1, 1)
    else:
        added = weights.sum(axis=(1, 2)) @ offset
        weights = weights * factor
    if len(node.inputs) > 2:
        added = added + array(new, node.inputs[2])
    names = [
        name if new.old.feeds_only(name, node) else f"{node.layer}/{kind}"
        for name, kind in zip(node.inputs[1:], ("weights", "bias"), strict=False)
    ]
    names += [f"{node.layer}/bias"][: 2 - len(names)]
    for name, value in zip(names, (weights, added), strict=True):
        new.add(constant(name, value.astype(np.float32)))
    new.add(replace(node, inputs=(x, *names)))
