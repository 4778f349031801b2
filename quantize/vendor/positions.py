"""The fix points in a vendor's graph, beside ours: ``quantize verify`` shows where they differ.

Both of the vendor's graphs are read by their structure, not by the names of constants, which its
quantizer changes when it folds batch normalization. A deploy graph states the positions at each
product; in an evaluation graph they are those of the FixNeuron nodes around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from edge_runtime.errors import GraphError, VerificationError
from edge_runtime.layers import Conv
from quantize import graph_def
from quantize.artifacts import DEPLOY_NAME, EVAL_NAME, Quantization
from quantize.vendor.integers import integers_of

_PRODUCTS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
_LIST_KEYS = {"wpos": "weights", "bpos": "bias"}
_VIEWS = ("Reshape", "Squeeze", "Identity", "Flatten")
_POOLS = ("Mean", "AvgPool", "MaxPool")

Positions = dict[tuple[str, str], int]  # (node, "input", "weights", "bias" or "output") → fix point


@dataclass(frozen=True)
class Difference:
    """A tensor with two fix points; None where a side has none."""

    node: str
    tensor: str
    ours: int | None
    vendor: int | None


def our_positions(quantization: Quantization) -> Positions:
    """Return the fix points of quantization.json, by layer."""
    network, points = quantization.network, quantization.fix_points()
    found: Positions = {(quantization.input_name, "output"): network.input_fix_point}
    for layer, names in zip(network.layers, quantization.tensors, strict=True):
        if isinstance(layer, Conv):
            found[layer.name, "weights"] = points[str(names.weight)]["fix_point"]
            found[layer.name, "bias"] = points[str(names.bias)]["fix_point"]
        found[layer.name, "output"] = layer.fix_point
    return found


def vendor_positions(path: Path) -> Positions:
    """Read a deploy_model.pb or a quantize_eval_model.pb.

    Raises
    ------
    GraphError
        When it is no graph, or one without fix points.
    """
    nodes = {node.name: node for node in graph_def.read(path).node}
    deploy = any("opos" in node.attr for node in nodes.values())
    found = dict(_of_deploy(nodes) if deploy else _of_evaluation(nodes))
    if not found:
        raise GraphError(f"{path}: has no fix points; give the quantizer's {DEPLOY_NAME} or "
                         f"{EVAL_NAME}")  # fmt: skip
    return found


def find_graphs(folder: Path) -> list[Path]:
    """The vendor's graphs in a folder; `GraphError` where there is none."""
    found = [folder / name for name in (DEPLOY_NAME, EVAL_NAME) if (folder / name).is_file()]
    if not found:
        raise GraphError(
            f"{folder}: holds no {DEPLOY_NAME} and no {EVAL_NAME}; run the vendor's quantizer "
            "(make quantize VENDOR=1)"
        )
    return found


def table_of(found: list[Difference]) -> str:
    """Return the differences as `verify` prints them."""
    rows = [[d.node, d.tensor, _shown(d.ours), _shown(d.vendor)] for d in found]
    return tabulate(rows, ["node", "tensor", "our fix point", "the vendor's"], tablefmt="simple")


def _shown(position: int | None) -> str:
    return "none" if position is None else str(position)


def check_same(quantization: Quantization, folder: Path) -> None:
    """Refuse vendor graphs that are not this network's integers.

    Raises
    ------
    VerificationError
        When a fix point or a weight of a graph in ``folder`` is another.
    """
    ours = our_positions(quantization)
    for path in find_graphs(folder):
        vendor = vendor_positions(path)
        found = differences(ours, vendor)
        if found:
            first = found[0]
            raise VerificationError(
                f"{path}: {len(found)} of {len(ours)} fix points are not ours, first the "
                f"{first.tensor} of {first.node}: {_shown(first.vendor)}, ours "
                f"{_shown(first.ours)}; `python -m quantize verify` lists them. A kernel made of "
                "it would not compute what was evaluated: quantize with --method min-mse, or "
                "compile our graphs (ROUTE=ours)"
            )
        if path.name == DEPLOY_NAME:  # an evaluation graph holds floats
            _check_integers(quantization, path)


def _check_integers(quantization: Quantization, path: Path) -> None:
    vendor = {layer.name: layer for layer in integers_of(path)}
    for layer in quantization.network.layers:
        if not isinstance(layer, Conv):
            continue
        for what in ("weights", "bias"):
            ours, theirs = getattr(layer, what), getattr(vendor[layer.name], what)
            if not np.array_equal(ours, theirs):
                raise VerificationError(
                    f"{path}: the {what} of {layer.name} are other integers than ours (the float "
                    "network was folded otherwise); compile our graphs (ROUTE=ours)"
                )


def differences(ours: Positions, vendor: Positions) -> list[Difference]:
    """Tensors whose fix points are not the same, in our layers' order, then the vendor's own."""
    keys = [*ours, *(key for key in vendor if key not in ours)]
    return [
        Difference(*key, ours.get(key), vendor.get(key))
        for key in keys
        if ours.get(key) != vendor.get(key)
    ]


def _of_deploy(nodes: dict[str, Any]) -> Iterator[tuple[tuple[str, str], int]]:
    for name, node in nodes.items():
        if node.op not in ("Placeholder", *_PRODUCTS, *_POOLS, "Add", "ConcatV2"):
            continue
        for key, tensor in _LIST_KEYS.items():
            if key in node.attr:
                yield (name, tensor), _position(node, key)
        if "opos" in node.attr:
            yield (name, "output"), _position(node, "opos")


def _position(node: Any, key: str) -> int:
    """Return the fix point of an attribute [bit width, fix point]."""
    values = list(node.attr[key].list.i)
    if len(values) != 2 or values[0] != 8:
        raise GraphError(f"node {node.name}: {key} is {values}, not [8, fix point]")
    return int(values[1])


def _of_evaluation(nodes: dict[str, Any]) -> Iterator[tuple[tuple[str, str], int]]:
    readers: dict[str, list[Any]] = {}
    for node in nodes.values():
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for name, node in nodes.items():
        if node.op not in ("Placeholder", *_PRODUCTS, *_POOLS, "Add", "AddV2", "ConcatV2"):
            continue
        if node.op in ("Add", "AddV2") and _bias_of(node, nodes) is not None:
            continue
        if node.op in _PRODUCTS:
            weights = _fixed(nodes, node.input[1])
            if weights is not None:
                yield (name, "weights"), weights
        output, bias = _behind(node, readers, nodes)
        if bias is not None:
            yield (name, "bias"), bias
        if output is not None:
            yield (name, "output"), output


def _fixed(nodes: dict[str, Any], name: str) -> int | None:
    """Return the fix point of a FixNeuron, through views."""
    node = nodes.get(name)
    while node is not None and node.op in _VIEWS:
        node = nodes.get(node.input[0])
    return int(node.attr["quantize_pos"].i) if node is not None and node.op == "FixNeuron" else None


def _bias_of(node: Any, nodes: dict[str, Any]) -> int | None:
    """Return the fix point of what a BiasAdd, or an addition of a constant, adds."""
    if node.op not in ("BiasAdd", "Add", "AddV2"):
        return None
    added = nodes.get(node.input[1])
    constant = added is not None and added.op == "FixNeuron" and nodes[added.input[0]].op == "Const"
    return _fixed(nodes, node.input[1]) if constant else None


def _behind(
    node: Any, readers: dict[str, list[Any]], nodes: dict[str, Any]
) -> tuple[int | None, int | None]:
    """Follow a layer to the FixNeuron at its end; its position, and that of a bias on the way."""
    bias = None
    while True:
        following = readers.get(node.name, [])
        fixed = [each for each in following if each.op == "FixNeuron"]
        if fixed:
            return int(fixed[0].attr["quantize_pos"].i), bias
        if len(following) != 1 or following[0].op in (*_PRODUCTS, *_POOLS):
            return None, bias
        node = following[0]
        found = _bias_of(node, nodes)
        bias = bias if found is None else found
