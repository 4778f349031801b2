"""How the stand-in compilers read the vendor's two graphs, with arithmetic of their own."""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork
from quantize import graph_def

PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")


class RefusedError(Exception):
    """What a compiler says of a graph that it does not take."""


def read_nodes(path: str) -> dict[str, Any]:
    """Nodes of a graph by name."""
    try:
        return {node.name: node for node in graph_def.read(Path(path)).node}
    except Exception as error:
        raise RefusedError(f"Fail to parse {path}") from error


def network_of(nodes: dict[str, Any]) -> tuple[IntegerNetwork, list[str]]:
    """Layers of a deploy graph as integers, and the names of nodes that no DPU runs."""
    source = next((n for n in nodes.values() if n.op == "Placeholder"), None)
    if source is None or "opos" not in source.attr:
        raise RefusedError("no quantized input node: not a deploy_model.pb")
    shape = tuple(dim.size for dim in source.attr["shape"].shape.dim)
    if shape[0] != 1:
        raise RefusedError(f"batch size {shape[0]}, must be 1")
    made, layers, maps, cpu = {source.name: -1}, [], [shape[1:]], []
    for node in nodes.values():
        x = made.get(node.input[0]) if node.input else None
        if node.op in ("Const", "Placeholder") or x is None:
            continue
        if node.op in PRODUCTS:
            layers.append(_product(node, x, maps[x + 1]))
        elif node.op == "Mean":
            height, width, _ = maps[x + 1]
            bits = int(np.log2(height * width)) + _pos(node, "ipos") - _pos(node, "opos")
            size = (height, width)
            layers.append(AvgPool(node.name, x, size, size, 1, bits, _pos(node, "opos")))
        elif node.op == "Relu":
            layers[x] = _with_relu(layers[x])
        elif node.op != "Reshape":
            cpu.append(node.name)
            continue
        made[node.name] = x if node.op in ("Relu", "Reshape") else len(layers) - 1
        if made[node.name] == len(maps) - 1:
            maps.append(layers[-1].output_shape([maps[x + 1]]))
    return IntegerNetwork(shape[1:], _pos(source, "opos"), tuple(layers)), cpu


def evaluation_network(nodes: dict[str, Any]) -> tuple[tuple[int, int], int, bytes]:
    """Of an evaluation graph: fix points of input and output, classes, all weights and biases."""
    fixed = [node for node in nodes.values() if node.op == "FixNeuron"]
    points = [int(node.attr["quantize_pos"].i) for node in fixed]
    activations = [p for n, p in zip(fixed, points, strict=True) if n.attr["mode"].i == 1]
    parameters, classes = b"", 0
    for node, point in zip(fixed, points, strict=True):
        if node.attr["mode"].i == 0:
            values = graph_def.array_of(nodes[node.input[0]]).astype(np.float64) * 2.0**point
            rounded = np.sign(values) * np.floor(np.abs(values) + 0.5)
            classes = values.shape[-1]
            order = {1: (0,), 2: (1, 0), 4: (3, 0, 1, 2)}[values.ndim]
            parameters += np.clip(rounded, -128, 127).astype(np.int8).transpose(order).tobytes()
    return (activations[0], activations[-1]), classes, parameters


def _pos(node: Any, key: str) -> int:
    bits, position = node.attr[key].list.i
    if bits != 8:
        raise RefusedError(f"{node.name}: {bits} bits")
    return int(position)


def _product(node: Any, x: int, given: tuple[int, ...]) -> Conv:
    for key in ("weights", "bias", "ipos", "wpos", "bpos", "opos"):
        if key not in node.attr:
            raise RefusedError(f"{node.name}: lacks the attribute {key}")
    ipos, wpos, bpos, opos = (_pos(node, key) for key in ("ipos", "wpos", "bpos", "opos"))
    weights, bias = _integers(node, "weights", wpos), _integers(node, "bias", bpos)
    stride, pad = (1, 1), (0, 0, 0, 0)
    if node.op == "MatMul":
        kernel = weights.T[:, np.newaxis, np.newaxis, :]
    else:
        order = (3, 0, 1, 2) if node.op == "Conv2D" else (2, 0, 1, 3)
        kernel = weights.transpose(order)
        stride = tuple(node.attr["strides"].list.i)[1:3]
        if node.attr["padding"].s == b"SAME":
            pad = _same(given, kernel.shape[1:3], stride)
    shift_bias = wpos + ipos - bpos
    if shift_bias < 0:  # the compiler has none: it rounds the bias half up
        bias, shift_bias = (bias + (1 << (-shift_bias - 1))) >> -shift_bias, 0
    return Conv(
        node.name, x, np.ascontiguousarray(kernel.astype(np.int8)), bias.astype(np.int8), stride,
        pad, Activation.NONE, wpos + ipos - opos, shift_bias, opos,
        depthwise=node.op == "DepthwiseConv2dNative",
    )  # fmt: skip


def _integers(node: Any, key: str, position: int) -> np.ndarray[Any, Any]:
    tensor = node.attr[key].tensor
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    scaled = np.frombuffer(tensor.tensor_content, "<f4").reshape(sizes) * 2.0**position
    if np.any(scaled != np.rint(scaled)) or np.abs(scaled).max(initial=0) > 128:
        raise RefusedError(f"{node.name}: {key} are not rounded to their fix point")
    return scaled.astype(np.int64)


def _same(given: tuple[int, ...], kernel: Any, stride: Any) -> tuple[int, int, int, int]:
    pads = []
    for size, k, s in zip(given[:2], kernel, stride, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return tuple(pads)


def _with_relu(layer: Conv) -> Conv:
    values = {key: getattr(layer, key) for key in layer.__dataclass_fields__}
    return Conv(**values | {"activation": Activation.RELU})
