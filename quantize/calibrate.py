"""Find fix points: of constants from their values, of activations by running calibration inputs.

As the vendor's quantizer does in its calibration phase: weights and biases are quantized first.
Every batch then goes through the network by itself, each activation being quantized at the
position found for it in this batch before the next layer sees it. The position that most batches
found wins, the smaller on a tie. Last, positions are moved to where the DPU can shift.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_runtime.errors import InputError
from quantize import execute, fix_points
from quantize.execute import Float
from quantize.fix_points import half_away_from_zero, half_up, quantized
from quantize.ir import Graph, Node, Op

FixPoints = dict[str, int]  # of every tensor, by its name in the graph


def calibrate(
    graph: Graph,
    inputs: Float,
    rule: str,
    batch: int,
    input_fix_point: int | None = None,
    align_pool: bool = False,
) -> FixPoints:
    """Return the fix point of the input, of all weights, biases and activations.

    Parameters
    ----------
    graph : a simplified graph
    inputs : float32 [N, height, width, channels]
    rule : a key of `fix_points.RULES`; the input always follows non-overflow
    batch : inputs per batch; the last one may be smaller
    input_fix_point : given where the preprocessing already fixes it
    align_pool : give what a pool reads the position of what it makes, as a later vendor option does

    Raises
    ------
    InputError
        When an activation is zero for every calibration input: it has no position then.
    """
    choose = fix_points.RULES[rule]
    found = constant_fix_points(graph, choose)
    network = _with_quantized_constants(graph, found)
    votes: dict[str, list[int]] = {}
    starts = range(0, len(inputs), batch)
    for start in tqdm(starts, desc=f"calibrate ({rule})", unit="batch", disable=None, leave=False):
        _vote(network, inputs[start : start + batch], choose, input_fix_point, votes)
    for name, positions in votes.items():
        # A batch that is zero throughout says nothing about where the point belongs.
        told = [p for p in positions if p != fix_points.ALL_ZERO]
        if not told:
            raise InputError(
                f"{name!r} is zero for every calibration input; calibrate with real images, "
                "or train longer if they are"
            )
        found[name] = fix_points.most_frequent(told)
    return limited(graph, found, align_pool, input_fix_point is not None)


def constant_fix_points(graph: Graph, choose: Callable[[Float, Any], int]) -> FixPoints:
    """Fix points of weights and biases, before any limit."""
    found: FixPoints = {}
    for node in graph.nodes.values():
        if node.value is not None:
            found[node.name] = choose(_floats(node), half_away_from_zero)
    return found


def _floats(node: Node) -> Float:
    return np.asarray(node.value, np.float32)


def _with_quantized_constants(graph: Graph, positions: FixPoints) -> Graph:
    nodes = [
        node
        if node.value is None
        else Node(
            node.name,
            Op.CONST,
            value=quantized(_floats(node), positions[node.name], half_away_from_zero),
        )
        for node in graph.nodes.values()
    ]
    return Graph.of(nodes, graph.input, graph.output)


def _vote(
    network: Graph,
    inputs: Float,
    choose: Callable[[Float, Any], int],
    input_fix_point: int | None,
    votes: dict[str, list[int]],
) -> None:
    found: dict[str, Any] = {}
    for node in network.nodes.values():
        if node.value is not None:
            found[node.name] = node.value
            continue
        if node.op is Op.INPUT:
            value = inputs
            p = fix_points.non_overflow(inputs) if input_fix_point is None else input_fix_point
        else:
            value = np.asarray(execute.evaluate(node, [found[name] for name in node.inputs]))
            if node.op is Op.AVG_POOL:
                value = value * np.float32(pool_correction(node))
            p = choose(value, half_up)
        votes.setdefault(node.name, []).append(p)
        found[node.name] = quantized(value, p, half_up)


def pool_correction(node: Node) -> float:
    """Return what the DPU multiplies a float mean by: area · multiplier / 2^shift."""
    kernel_h, kernel_w = node.ints("kernel")
    multiplier, shift = fix_points.pool_factor(kernel_h, kernel_w)
    return kernel_h * kernel_w * multiplier / float(1 << shift)


def limited(
    graph: Graph, positions: FixPoints, align_pool: bool = False, input_is_fixed: bool = False
) -> FixPoints:
    """Move positions to where the DPU can work with them, in the vendor's order.

    All inputs of a concatenation, and its output, take the smallest of their positions; then,
    where asked for, a pool's input that of its output; then weights and biases follow from what
    the DPU can shift by.
    """
    found = dict(positions)
    fixed = graph.input if input_is_fixed else None
    while True:
        before = dict(found)
        for node in graph.nodes.values():
            if node.op is Op.CONCAT:
                _align_concat(found, node, fixed)
        if found == before:
            break
    for node in graph.nodes.values() if align_pool else ():
        if node.op in (Op.AVG_POOL, Op.MAX_POOL) and node.inputs[0] != fixed:
            found[node.inputs[0]] = found[node.name]
    for node in graph.nodes.values():
        if node.op is Op.CONV:
            x, weights, bias = node.inputs
            found[weights], found[bias] = fix_points.limited(
                found[x], found[weights], found[bias], found[node.name]
            )
    return found


def _align_concat(positions: FixPoints, node: Node, fixed: str | None) -> None:
    members = (*node.inputs, node.name)
    common = positions[fixed] if fixed in members else min(positions[name] for name in members)
    positions.update(dict.fromkeys(members, common))
