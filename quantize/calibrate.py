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
    graph: Graph, inputs: Float, rule: str, batch: int, input_fix_point: int | None = None
) -> FixPoints:
    """Return the fix point of the input, of all weights, biases and activations.

    Parameters
    ----------
    graph : a simplified graph (INPUT, CONST, CONV, AVG_POOL)
    inputs : float32 [N, height, width, channels]
    rule : a key of `fix_points.RULES`; the input always follows non-overflow
    batch : inputs per batch; the last one may be smaller
    input_fix_point : given where the preprocessing already fixes it

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
    return _limited(graph, found)


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


def _limited(graph: Graph, positions: FixPoints) -> FixPoints:
    limited = dict(positions)
    for node in graph.nodes.values():
        if node.op is Op.CONV:
            x, weights, bias = node.inputs
            limited[weights], limited[bias] = fix_points.limited(
                limited[x], limited[weights], limited[bias], limited[node.name]
            )
    return limited
