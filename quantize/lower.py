"""From a simplified graph and its fix points to the integer network that boards run."""

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import GraphError
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    IntegerNetwork,
    Layer,
    MaxPool,
)
from quantize import fix_points
from quantize.calibrate import FixPoints
from quantize.fix_points import half_away_from_zero, to_integers
from quantize.ir import Array, Graph, Node, Op
from quantize.passes.fuse_activation import other_slope

LAYER_OPS = (Op.CONV, Op.AVG_POOL, Op.MAX_POOL, Op.ADD, Op.CONCAT)
_SUPPORTED = frozenset({Op.INPUT, Op.CONST, *LAYER_OPS})
LOWEST_FIX_POINT, HIGHEST_FIX_POINT = -64, 64


@dataclass(frozen=True)
class TensorNames:
    """Names in the source graph of what a layer reads and makes; a pool has no constants."""

    activation: str
    weight: str | None = None
    bias: str | None = None


def check_supported(graph: Graph) -> None:
    """Raise `GraphError` naming the first node that passes could not bring into a layer."""
    for node in graph.nodes.values():
        problem = _problem(graph, node)
        if problem:
            raise GraphError(f"node {node.name!r}: {problem}")


def _problem(graph: Graph, node: Node) -> str:
    if other_slope(node):
        return other_slope(node)
    if node.op not in _SUPPORTED:
        return (
            f"operator {node.op} cannot be quantized here; it must follow a convolution or dense "
            "layer of constant weights directly, to merge with it"
        )
    constant = [graph.value(name) is not None for name in node.inputs]
    if node.op is Op.CONV and not all(constant[1:]):
        return "its weights are computed, not constant"
    if node.op is Op.CONV and not np.any(graph.value(node.inputs[1])):
        return (
            f"its weights {node.inputs[1]!r} are all zero, so that it ignores its input; freeze a "
            "checkpoint that was trained"
        )
    if node.op in (Op.ADD, Op.CONCAT) and any(constant):
        return f"operator {node.op} of a constant cannot be quantized here"
    if node.op is Op.CONCAT and node.number("axis") not in (3, -1):
        return f"concatenates axis {node.number('axis'):g}; only channels can be concatenated"
    return ""


def layers_of(graph: Graph) -> list[Node]:
    """List the nodes that become layers, in order of execution."""
    return [node for node in graph.nodes.values() if node.op in LAYER_OPS]


def tensor_names(graph: Graph) -> list[TensorNames]:
    """List the tensors of every layer, in order of execution."""
    return [
        TensorNames(node.name, *(node.inputs[1:] if node.op is Op.CONV else ()))
        for node in layers_of(graph)
    ]


def lower(
    graph: Graph,
    positions: FixPoints,
    int32_logits: bool = False,
    evaluation_bias: bool = False,
) -> IntegerNetwork:
    """Quantize the constants of ``graph`` and build the integer network.

    Parameters
    ----------
    int32_logits : leave the last layer's accumulators as they are
    evaluation_bias : read a bias that is finer than its accumulator as the vendor's evaluation
        graph does, not as the board; see `fix_points.board_bias`

    Raises
    ------
    GraphError
        When a fix point or shift lies outside what the format allows.
    """
    nodes = layers_of(graph)
    for name, p in positions.items():
        if not LOWEST_FIX_POINT <= p <= HIGHEST_FIX_POINT and not _is_zero(graph, name):
            raise GraphError(
                f"{name!r}: fix point {p} is outside {LOWEST_FIX_POINT}..{HIGHEST_FIX_POINT}; "
                "its values are too small or too large for int8, check the training"
            )
    if int32_logits:
        positions = positions | {nodes[-1].name: _accumulator_position(nodes[-1], positions)}
    lowering = _Lowering(graph, positions, nodes, int32_logits, evaluation_bias)
    try:
        layers = tuple(lowering.layer(node) for node in nodes)
        return IntegerNetwork(graph.input_shape, positions[graph.input], layers)
    except ValueError as error:
        raise GraphError(f"the graph does not fit the integer format: {error}") from None


def _is_zero(graph: Graph, name: str) -> bool:
    value = graph.value(name)
    return value is not None and not np.any(value)


def _accumulator_position(node: Node, positions: FixPoints) -> int:
    if node.op is not Op.CONV or node.activation is not Activation.NONE:
        raise GraphError(
            f"node {node.name!r} ({node.op}) ends the network; int32 logits need a convolution "
            "or dense layer without activation there"
        )
    return positions[node.inputs[0]] + positions[node.inputs[1]]


class _Lowering:
    def __init__(
        self,
        graph: Graph,
        positions: FixPoints,
        nodes: list[Node],
        int32_logits: bool,
        evaluation_bias: bool,
    ) -> None:
        self.graph, self.positions = graph, positions
        self.index = {graph.input: -1} | {node.name: i for i, node in enumerate(nodes)}
        self.int32_layer = nodes[-1].name if int32_logits else None
        self.evaluation_bias = evaluation_bias

    def layer(self, node: Node) -> Layer:
        sources = tuple(self.index[name] for name in node.inputs if name in self.index)
        given = [self.positions[name] for name in node.inputs]
        output = self.positions[node.name]
        if node.op is Op.CONV:
            return self._conv(node, sources[0])
        if node.op is Op.AVG_POOL:
            kernel, stride = _pair(node, "kernel"), _pair(node, "strides")
            multiplier, shift = fix_points.pool_factor(*kernel)
            shift += given[0] - output
            return AvgPool(node.layer, sources[0], kernel, stride, multiplier, shift, output)
        if node.op is Op.MAX_POOL:
            kernel, stride = _pair(node, "kernel"), _pair(node, "strides")
            pad = _four(node, "pads")
            return MaxPool(node.layer, sources[0], kernel, stride, pad, given[0] - output, output)
        if node.op is Op.ADD:
            finer = max(given)
            shifts = (finer - given[0], finer - given[1])
            pair = (self.index[node.inputs[0]], self.index[node.inputs[1]])
            return Add(node.layer, pair, shifts, node.activation, finer - output, output)
        return Concat(node.layer, sources, output)

    def _conv(self, node: Node, source: int) -> Conv:
        entry, weight, bias = (self.positions[name] for name in node.inputs)
        output = self.positions[node.name]
        cut = weight + entry - output
        constants = [_floats(self.graph.value(name)) for name in node.inputs[1:]]
        finer = max(bias - (weight + entry), 0)
        biases = to_integers(constants[1], bias, half_away_from_zero)
        return Conv(
            node.layer,
            source,
            to_integers(constants[0], weight, half_away_from_zero),
            fix_points.board_bias(biases, finer, self.evaluation_bias and cut > 0),
            _pair(node, "strides"),
            _four(node, "pads"),
            node.activation,
            shift_cut=cut,
            shift_bias=max(weight + entry - bias, 0),
            fix_point=output,
            depthwise=node.flag("depthwise"),
            int32_output=node.name == self.int32_layer,
        )


def _pair(node: Node, key: str) -> tuple[int, int]:
    height, width = node.ints(key)
    return height, width


def _four(node: Node, key: str) -> tuple[int, int, int, int]:
    top, bottom, left, right = node.ints(key, (0, 0, 0, 0))
    return top, bottom, left, right


def _floats(value: Array | None) -> fix_points.Float:
    return np.asarray(value, np.float32)
