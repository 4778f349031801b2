"""From a simplified graph and its fix points to the integer network that boards run."""

from dataclasses import dataclass

import numpy as np

from edge_runtime.errors import GraphError
from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork, Layer
from quantize import fix_points
from quantize.calibrate import FixPoints
from quantize.fix_points import half_away_from_zero, to_integers
from quantize.ir import Array, Graph, Node, Op

_SUPPORTED = frozenset({Op.INPUT, Op.CONST, Op.CONV, Op.AVG_POOL})
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
        if node.op not in _SUPPORTED:
            raise GraphError(
                f"node {node.name!r}: operator {node.op} cannot be quantized here; it must follow "
                "a convolution or dense layer of constant weights directly, to merge with it"
            )
        if node.op is Op.CONV and any(graph.value(name) is None for name in node.inputs[1:]):
            raise GraphError(f"node {node.name!r}: its weights are computed, not constant")


def layers_of(graph: Graph) -> list[Node]:
    """List the nodes that become layers, in order of execution."""
    return [node for node in graph.nodes.values() if node.op in (Op.CONV, Op.AVG_POOL)]


def tensor_names(graph: Graph) -> list[TensorNames]:
    """List the tensors of every layer, in order of execution."""
    return [TensorNames(node.name, *node.inputs[1:]) for node in layers_of(graph)]


def lower(graph: Graph, positions: FixPoints) -> IntegerNetwork:
    """Quantize the constants of ``graph`` and build the integer network.

    Raises
    ------
    GraphError
        When a fix point or shift lies outside what the format allows.
    """
    nodes = layers_of(graph)
    index = {graph.input: -1} | {node.name: i for i, node in enumerate(nodes)}
    for name, p in positions.items():
        if not LOWEST_FIX_POINT <= p <= HIGHEST_FIX_POINT and not _is_zero(graph, name):
            raise GraphError(
                f"{name!r}: fix point {p} is outside {LOWEST_FIX_POINT}..{HIGHEST_FIX_POINT}; "
                "its values are too small or too large for int8, check the training"
            )
    try:
        layers = tuple(_layer(graph, node, index, positions) for node in nodes)
        return IntegerNetwork(graph.input_shape, positions[graph.input], layers)
    except ValueError as error:
        raise GraphError(f"the graph does not fit the integer format: {error}") from None


def _is_zero(graph: Graph, name: str) -> bool:
    value = graph.value(name)
    return value is not None and not np.any(value)


def _layer(graph: Graph, node: Node, index: dict[str, int], positions: FixPoints) -> Layer:
    source, output = index[node.inputs[0]], positions[node.name]
    entry = positions[node.inputs[0]]
    if node.op is Op.AVG_POOL:
        (kernel_h, kernel_w), (stride_h, stride_w) = node.ints("kernel"), node.ints("strides")
        multiplier, shift = fix_points.pool_factor(kernel_h, kernel_w)
        return AvgPool(
            node.layer,
            source,
            (kernel_h, kernel_w),
            (stride_h, stride_w),
            multiplier,
            shift + entry - output,
            output,
        )
    weight, bias = positions[node.inputs[1]], positions[node.inputs[2]]
    stride_h, stride_w = node.ints("strides")
    top, bottom, left, right = node.ints("pads")
    return Conv(
        node.layer,
        source,
        to_integers(_floats(graph.value(node.inputs[1])), weight, half_away_from_zero),
        to_integers(_floats(graph.value(node.inputs[2])), bias, half_away_from_zero),
        (stride_h, stride_w),
        (top, bottom, left, right),
        Activation.RELU if node.flag("relu") else Activation.NONE,
        shift_cut=weight + entry - output,
        shift_bias=weight + entry - bias,
        fix_point=output,
    )


def _floats(value: Array | None) -> fix_points.Float:
    return np.asarray(value, np.float32)
