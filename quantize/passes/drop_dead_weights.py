"""Drop rows and columns of kernels that only ever meet padding.

A 3×3 kernel with padding on a 1×1 map uses its middle weight alone. The others cost memory and
time, and where they are large they spoil the fix point of the weight that matters. (decent_q
keeps them, and so do the vendor's rules here.)
"""

from dataclasses import replace

import numpy as np

from quantize import execute
from quantize.ir import Graph, Op, Rewriter, constant


def drop_dead_weights(graph: Graph) -> Graph:
    """Crop the kernel of every CONV of constant weights to what meets the map, and its pads."""
    shapes = execute.shapes(graph)
    new = Rewriter(graph)
    for node in graph.nodes.values():
        weights = graph.value(node.inputs[1]) if node.op is Op.CONV else None
        if weights is None or node.attributes.get("padding") == "same":
            new.keep(node)
            continue
        pads, strides = node.ints("pads"), node.ints("strides")
        size, out = shapes[node.inputs[0]][1:3], shapes[node.name][1:3]
        cuts = [
            _used(weights.shape[1 + axis], size[axis], out[axis], strides[axis], pads[2 * axis])
            for axis in (0, 1)
        ]
        (top, bottom), (left, right) = cuts
        if (bottom - top, right - left) == weights.shape[1:3]:
            new.keep(node)
            continue
        name = node.inputs[1]
        if not graph.feeds_only(name, node):
            name = f"{node.layer}/weights"
        cropped = np.ascontiguousarray(weights[:, top:bottom, left:right])
        new.add(constant(name, cropped))
        ends = (weights.shape[1] - bottom, weights.shape[2] - right)
        fewer = (pads[0] - top, pads[1] - ends[0], pads[2] - left, pads[3] - ends[1])
        inputs = (new.now(node.inputs[0]), name, *node.inputs[2:])
        new.add(replace(node.with_attributes(pads=fewer), inputs=inputs))
    return new.graph()


def _used(taps: int, size: int, out: int, stride: int, before: int) -> tuple[int, int]:
    """First tap that meets the map at some output position, and the one after the last."""
    met = [
        tap
        for tap in range(taps)
        if any(0 <= position * stride + tap - before < size for position in range(out))
    ]
    # A cut at either end must be matched by as much padding there, or the output would change.
    return min(min(met), before), max(met) + 1
