"""Cross-layer equalization: give every channel of a tensor its share of the eight bits.

A tensor has one fix point for all channels, and powers of two alone to choose from. Between two
convolutions that no more than a ReLU and pools separate, channel c may be multiplied by any
positive s_c if the next layer's weights for it are divided by s_c: the network computes the same
(Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"). Here
ranges are those of the calibration inputs, because in this format activations lose the most: behind
a ReLU they have seven bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime.layers import Activation
from quantize import execute
from quantize.execute import Float
from quantize.fix_points import HIGHEST
from quantize.ir import Graph, Node, Op, constant

_BETWEEN = (Op.AVG_POOL, Op.MAX_POOL)
_HOMOGENEOUS = (Activation.NONE, Activation.RELU, Activation.LEAKY_RELU)
_CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # shares of a channel's largest magnitude
# Factors by which one channel may differ from its tensor. A few channels far below the others are
# all but dead, and not worth steps of the weights; many of them are a badly conditioned network.
_LARGEST, _LARGEST_OF_MANY = 16.0, 1024.0
_MANY = 0.2


@dataclass(frozen=True)
class Pair:
    """A convolution and the one that alone reads its output, with pools between."""

    first: str
    second: str


def pairs(graph: Graph) -> list[Pair]:
    """List the convolutions between which channels can be scaled."""
    found = []
    for node in graph.nodes.values():
        if node.op is not Op.CONV or node.activation not in _HOMOGENEOUS:
            continue
        last = node
        while True:
            readers = graph.consumers(last.name)
            if len(readers) != 1 or last.name == graph.output:
                break
            last = readers[0]
            if last.op not in _BETWEEN:
                break
        if last.op is Op.CONV and last is not node and last.inputs[0] != last.inputs[1]:
            found.append(Pair(node.name, last.name))
    return found


def equalize(graph: Graph, inputs: Float, strength: float) -> Graph:
    """Scale the channels between convolutions; the network computes the same.

    Parameters
    ----------
    graph : a simplified graph
    inputs : float32 [N, height, width, channels], whose activations give the ranges
    strength : 0 scales whole tensors alone, so that the largest values just fit; 1 gives every
        channel the same range; between them, a power of it
    """
    found = graph
    for pair in pairs(graph):
        ranges = _ranges(found, pair.first, inputs)
        found = _scaled(found, pair, _factors(ranges, strength))
    return found


def _ranges(graph: Graph, name: str, inputs: Float) -> Float:
    """Return the magnitude at which each channel of a tensor is best clipped, float64 [channels].

    Best is the least squared error with 127 steps up to there.
    """
    values = execute.until(graph, inputs, name)
    rows = np.abs(values.reshape(-1, values.shape[-1])).astype(np.float64)
    largest = rows.max(axis=0)
    best, least = largest, np.full_like(largest, np.inf)
    for share in _CLIPS:
        step = np.maximum(largest * share / HIGHEST, np.finfo(np.float64).tiny)
        rounded = np.minimum(np.floor(rows / step + 0.5), HIGHEST) * step
        error = np.square(rounded - rows).mean(axis=0)
        best = np.where(error < least, largest * share, best)
        least = np.minimum(error, least)
    return np.asarray(best)


def _factors(ranges: Float, strength: float) -> Float:
    """Return factors that bring the widest channel to the end of the range of some fix point."""
    largest = float(ranges.max())
    if largest <= 0:
        return np.ones_like(ranges)
    shares = ranges / largest
    alive = shares > 0
    many = np.mean(shares[alive] < 1 / _LARGEST) > _MANY
    lowest = np.where(alive & many, 1 / _LARGEST_OF_MANY, 1 / _LARGEST)
    relative = np.maximum(shares, lowest) ** -strength
    widest = float((ranges * relative).max())
    end = HIGHEST / 2.0 ** np.round(np.log2(HIGHEST / widest))
    return np.asarray(relative * end / widest)


def _scaled(graph: Graph, pair: Pair, factors: Float) -> Graph:
    first, second = graph[pair.first], graph[pair.second]
    changed: dict[str, Float] = {}
    rows = factors.reshape(-1, 1, 1, 1)
    changed[first.inputs[1]] = _array(graph, first, 1) * rows
    changed[first.inputs[2]] = _array(graph, first, 2) * factors
    weights = changed.get(second.inputs[1], _array(graph, second, 1))
    if second.flag("depthwise"):
        each = len(weights) // len(factors)
        changed[second.inputs[1]] = weights / np.repeat(rows, each, axis=0)
    else:
        changed[second.inputs[1]] = weights / factors
    return with_constants(graph, changed)


def _array(graph: Graph, node: Node, index: int) -> Float:
    return np.asarray(graph.value(node.inputs[index]), np.float64)


def with_constants(graph: Graph, values: Mapping[str, Float]) -> Graph:
    """Return the graph with some constants' arrays replaced, as float32."""
    nodes = [
        constant(node.name, values[node.name].astype(np.float32)) if node.name in values else node
        for node in graph.nodes.values()
    ]
    return replace(graph, nodes={node.name: node for node in nodes})
