"""What the passes that merge nodes into a layer share."""

from dataclasses import replace

import numpy as np

from edge_runtime.layers import Activation
from quantize.execute import Float
from quantize.ir import LAYERS, Array, Graph, Node, Op, Rewriter, constant


def layer_before(new: Rewriter, node: Node, name: str) -> Node | None:
    """Return the CONV or DENSE of constant weights whose output feeds ``node`` alone, or None.

    An activation already merged into it ends it.
    """
    found = new.current(name)
    constants = all(new.current(each).op is Op.CONST for each in found.inputs[1:])
    alone = new.old.feeds_only(name, node)
    linear = found.op in LAYERS and found.activation is Activation.NONE
    return found if linear and constants and alone else None


def per_channel(value: Array, channels: int) -> Float | None:
    """Return a constant that broadcasts over channels as float64 [channels], or None."""
    if value.size == 1:
        return np.full(channels, value.item(), np.float64)
    if value.shape[-1] == channels == value.size:
        return value.reshape(channels).astype(np.float64)
    return None


def channels_of(new: Rewriter, layer: Node) -> int:
    """Return the number of output channels of a CONV or DENSE."""
    weights = array(new, layer.inputs[1])
    return int(weights.shape[0] if layer.op is Op.CONV else weights.shape[-1])


def array(new: Rewriter, name: str) -> Float:
    """Return a constant's array as float64."""
    value = new.current(name).value
    if value is None:
        raise ValueError(f"{name} is no constant")
    return value.astype(np.float64)


def merge_affine(
    new: Rewriter, layer: Node, node: Node, scale: Float | None, offset: Float, offset_name: str
) -> None:
    """Replace ``layer`` and ``node`` after it, y · scale + offset, by one layer named as ``node``.

    The weight keeps the name of its constant. So does the bias; where there was none, it takes the
    name of the constant that was added, ``offset_name``. A constant that others use as well is
    copied as ``<layer>/weights`` or ``<layer>/bias``. Computed in float64, stored in float32.
    """
    graph, (x, weights_name, *bias) = new.old, layer.inputs
    weights = array(new, weights_name)
    if scale is not None:
        weights = weights * (scale.reshape(-1, 1, 1, 1) if layer.op is Op.CONV else scale)
        offset = offset + array(new, bias[0]) * scale if bias else offset
        weights_name = _own(new, graph, weights_name, f"{layer.layer}/weights", weights)
    elif bias:
        offset = offset + array(new, bias[0])
    bias_name = _own(new, graph, bias[0] if bias else offset_name, f"{layer.layer}/bias", offset)
    attributes = dict(layer.attributes) | {"layer": layer.layer}
    new.add(
        replace(layer, name=node.name, inputs=(x, weights_name, bias_name), attributes=attributes)
    )


def _own(new: Rewriter, graph: Graph, name: str, other: str, value: Float) -> str:
    shared = sum(node.inputs.count(name) for node in graph.nodes.values()) > 1
    return new.add(constant(other if shared else name, value.astype(np.float32))).name
