"""The int8 weights and biases of a network, from whichever file holds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import read_bundle
from edge_runtime.errors import GraphError, InputError
from edge_runtime.layers import Conv, Int8, IntegerNetwork
from quantize import artifacts, graph_def
from quantize.fix_points import half_away_from_zero, to_integers


@dataclass(frozen=True)
class LayerIntegers:
    """A convolution or dense layer.

    weights : int8 [out, height, width, in];  bias : int8 [out];  and their fix points
    """

    name: str
    weights: Int8
    bias: Int8
    weight_fix_point: int
    bias_fix_point: int


def integers_of(path: Path) -> list[LayerIntegers]:
    """Read a bundle, a deploy_model.pb, a quantization.json, or the folder that holds one.

    Raises
    ------
    InputError
        When it is none of them, or damaged.
    """
    if path.suffix == ".egb":
        return _of_network(read_bundle(path).network)
    if path.suffix == ".pb":
        return _of_deploy_model(path)
    if path.is_dir() or path.name == artifacts.JSON_NAME:
        folder = path if path.is_dir() else path.parent
        return _of_network(artifacts.read_quantization(folder).network)
    raise InputError(
        f"{path}: expected a folder of `run`, its quantization.json, a deploy_model.pb or a bundle"
    )


def _of_network(network: IntegerNetwork) -> list[LayerIntegers]:
    found: list[LayerIntegers] = []
    for layer in network.layers:
        if isinstance(layer, Conv):
            entry = network.fix_point(layer.source)
            weight = layer.shift_cut + layer.fix_point - entry
            bias = weight + entry - layer.shift_bias
            found.append(LayerIntegers(layer.name, layer.weights, layer.bias, weight, bias))
    return found


def _of_deploy_model(path: Path) -> list[LayerIntegers]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    found: list[LayerIntegers] = []
    for node in graph_def.read(path).node:
        attributes = graph_def.attributes_of(node)
        if "weights" in attributes and "wpos" in attributes:
            found.append(_of_node(path, node, attributes))
    if not found:
        raise GraphError(f"{path}: no node has weights with fix points; it is no deploy_model.pb")
    return found


def _of_node(path: Path, node: Any, attributes: Any) -> LayerIntegers:
    def point(key: str) -> int:
        values = list(attributes[key].list.i) if key in attributes else []
        if len(values) < 2:
            raise GraphError(f"{path}: node {node.name!r} lacks {key} = [bits, fix point]")
        return int(values[1])

    def integers(key: str, at: int) -> Int8:
        values = graph_def.array_of_tensor(attributes[key].tensor, node.name)
        return to_integers(values.astype(np.float32), at, half_away_from_zero)

    position = point("wpos")
    weights = integers("weights", position)
    if node.op == "MatMul":
        weights = weights.T.reshape(weights.shape[1], 1, 1, weights.shape[0])
    elif node.op == "DepthwiseConv2dNative":
        height, width, channels, multiple = weights.shape
        weights = weights.reshape(height, width, 1, channels * multiple).transpose(3, 0, 1, 2)
    else:
        weights = weights.transpose(3, 0, 1, 2)
    if "bias" not in attributes:
        return LayerIntegers(
            node.name, weights, np.zeros(len(weights), np.int8), position, position
        )
    at, sums = point("bpos"), position + point("ipos")
    bias = integers("bias", at)
    if at > sums:  # the compiler has no such shift: it rounds the bias half up
        finer = at - sums
        bias = ((bias.astype(np.int32) + (1 << (finer - 1))) >> finer).astype(np.int8)
    return LayerIntegers(node.name, weights, bias, position, min(at, sums))
