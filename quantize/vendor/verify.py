"""Prove that a network's integers are in what a vendor's compiler wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from edge_runtime.errors import InputError, VerificationError
from quantize.vendor.dnndk_elf import Kernel, Node
from quantize.vendor.find_integers import Area, Place, find_bias, find_weights
from quantize.vendor.info import kernels_in
from quantize.vendor.integers import LayerIntegers, integers_of
from quantize.vendor.xmodel import Xmodel

_SECTIONS = ("parameter", "weights", "bias")


@dataclass(frozen=True)
class Compared:
    """A layer's weights and bias in an artifact.

    problem : what differs, None where nothing does;  how : where they are
    """

    layer: str
    weights: Place | None
    bias: Place | None
    problem: str | None
    how: str

    def __str__(self) -> str:
        if self.problem is None:
            return f"found      {self.layer}: {self.how}"
        return f"NOT FOUND  {self.layer}: {self.problem}" + (f"; {self.how}" if self.how else "")


def compare_artifact(source: Path, artifact: Path) -> list[Compared]:
    """Search the weights and biases of each layer of ``source`` in an ELF file or an xmodel.

    Fix points are compared for nodes that have the layer's name. Where not one in the whole file
    agrees, the file states something else there, and they are left out.

    Raises
    ------
    InputError
        When one of the two cannot be read, or the artifact has no parameters.
    """
    layers = integers_of(source)
    found = kernels_in(artifact)
    areas, nodes = _of_xmodel(found) if isinstance(found, Xmodel) else _of_kernels(found)
    if not areas:
        raise InputError(f"{artifact}: has no section or attribute with parameters")
    points = [_fix_points(layer, nodes.get(_plain(layer.name))) for layer in layers]
    comparable = any(agree for agree, _ in points)
    bar = tqdm(layers, desc="searching", unit="layer", disable=None, leave=False)
    return [
        _compare(layer, areas, agree, differ if comparable else [])
        for layer, (agree, differ) in zip(bar, points, strict=True)
    ]


def check_found(compared: Sequence[Compared], artifact: Path) -> None:
    """Raise `VerificationError` where a layer was not found, saying how many were."""
    missing = sum(each.problem is not None for each in compared)
    if missing:
        raise VerificationError(
            f"{artifact}: {missing} of {len(compared)} layers were not found; it was compiled from "
            "other integers, or lays them out in a way that is not known"
        )


def _of_xmodel(xmodel: Xmodel) -> tuple[list[Area], dict[str, Node]]:
    areas = [
        Area(f"{subgraph.name}, {name}", data)
        for subgraph in xmodel.on_dpu() or xmodel.subgraphs
        for name, data in subgraph.blobs.items()
    ]
    return sorted(areas, key=lambda area: -len(area.data)), {}


def _of_kernels(kernels: Sequence[Kernel]) -> tuple[list[Area], dict[str, Node]]:
    areas: list[Area] = []
    for kernel in kernels:
        parallelism = kernel.parallelism[1:] if kernel.parallelism else None
        areas += [
            Area(f".deephi.{kind}.{kernel.name}", kernel.sections[kind], parallelism)
            for kind in _SECTIONS
            if kernel.sections.get(kind)
        ]
    return areas, {_plain(node.name): node for kernel in kernels for node in kernel.nodes}


def _plain(name: str) -> str:
    return name.replace("/", "_")


def _compare(
    layer: LayerIntegers, areas: list[Area], agree: list[str], differ: list[str]
) -> Compared:
    weights, bias = find_weights(layer.weights, areas), find_bias(layer.bias, areas)
    problems = []
    if weights is None:
        problems.append(f"its {layer.weights.size:,} weights stand nowhere in a known layout")
    if bias is None:
        problems.append("its bias stands nowhere")
    how = [f"{what} {place}" for what, place in (("weights", weights), ("bias", bias)) if place]
    if bias is not None and len(set(layer.bias.tolist())) < 2:
        how.append("all biases are alike, which says little")
    problems += differ
    how += agree
    return Compared(layer.name, weights, bias, "; ".join(problems) or None, "; ".join(how))


def _fix_points(layer: LayerIntegers, node: Node | None) -> tuple[list[str], list[str]]:
    """Compare fix points with those of the node of that name: what agrees, and what differs."""
    agree: list[str] = []
    differ: list[str] = []
    for parameter in node.parameters if node else ():
        is_bias = "bias" in parameter.name.lower()  # dnnc's names: the vendor's ddump tells so, too
        what, ours = ("weights", layer.weight_fix_point)
        if is_bias:
            what, ours = ("bias", layer.bias_fix_point)
        if parameter.fix_point == ours:
            agree.append(f"fix point of {what} {ours}")
        else:
            differ.append(f"fix point of {what} {parameter.fix_point} there, {ours} here")
    return agree, differ
