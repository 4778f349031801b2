"""A network's layers, fix points, shifts and cost as a table."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.core_section import CoreImage
from edge_runtime.dpu_kernel import DpuKernel
from edge_runtime.errors import InputError
from edge_runtime.layers import Activation, Add, AvgPool, Conv, IntegerNetwork, Layer, MaxPool
from edge_runtime.scores import decimal
from quantize import artifacts
from quantize.vendor.info import SUFFIXES, describe_artifact, facts_table


@dataclass(frozen=True)
class LayerCost:
    """Multiply-adds for one input, and bytes of weights and biases."""

    macs: int
    weight_bytes: int


def cost(layer: Layer, shape: tuple[int, int, int]) -> LayerCost:
    """Cost of a layer whose output has ``shape``; a pool's additions are not counted."""
    if not isinstance(layer, Conv):
        return LayerCost(0, 0)
    per_pixel = layer.weights.size
    return LayerCost(per_pixel * shape[0] * shape[1], per_pixel + layer.bias.size)


def describe(path: Path) -> str:
    """Describe a bundle, a quantization.json or its folder, or what a vendor's compiler wrote.

    Raises
    ------
    InputError
        When it is none of them, or damaged.
    """
    if path.suffix == ".egb":
        bundle = read_bundle(path)
        facts: dict[str, Any] = {
            "bundle": f"{bundle.name}, {path.stat().st_size:,} bytes",
            "alphabet": "".join(bundle.alphabet.symbols),
            "golden vectors": len(bundle.golden.inputs),
            **_scores(bundle),
            "DPU kernel": _kernel(bundle.dpu),
            "core program": _core(bundle.core),
        }
        keys = ("board", "method", "created_by")
        facts |= {key: bundle.manifest[key] for key in keys if key in bundle.manifest}
        return f"{facts_table(facts)}\n\n{_table(bundle.network)}"
    if path.suffix in SUFFIXES:
        return describe_artifact(path)
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.name != artifacts.JSON_NAME:
        raise InputError(
            f"{path}: expected a bundle .egb, a quantization.json or its folder, an ELF file .elf "
            "or .so of dnnc, or an .xmodel"
        )
    quantization = artifacts.read_quantization(folder)
    provenance, alphabet = quantization.provenance, quantization.alphabet
    errors = provenance["logit_errors"].items()
    facts = {
        "source": provenance["source"]["file"],
        "method": provenance["method"],
        "logit error": ", ".join(f"{name} {value:.3g}" for name, value in errors),
        "calibration": f"{provenance['calibration']['count']:,} inputs",
        "alphabet": "none" if alphabet is None else "".join(alphabet.symbols),
        **_accuracy(provenance["accuracy"]),
    }
    table = _table(quantization.network, provenance["analysis"])
    return f"{facts_table(facts)}\n\n{table}"


def _scores(bundle: Bundle) -> dict[str, str]:
    temperature = f"{bundle.temperature:g}"
    if bundle.threshold is None:
        return {"temperature": temperature, "threshold": "none: p_real is not calibrated"}
    accepted = bundle.manifest["scores"]["gate"]["acceptance"]
    threshold = (
        f"p_real >= {decimal(bundle.threshold)} accepts {100 * accepted:.0f} % of characters"
    )
    return {"temperature": temperature, "threshold": threshold}


def _accuracy(found: dict[str, Any] | None) -> dict[str, str]:
    if found is None:
        return {"accuracy": "not measured"}
    return {
        "accuracy": f"float {found['float']['value']:.2%}, int8 {found['int8']['value']:.2%}, "
        f"agreement {found['agreement']['value']:.2%} (n = {found['n']:,})"
    }


def _table(network: IntegerNetwork, analysis: dict[str, Any] | None = None) -> str:
    rows: list[list[Any]] = [
        ["input", _by(network.input_shape), "", "", network.input_fix_point, "", "", "", ""]
    ]
    total = LayerCost(0, 0)
    shapes = network.output_shapes()
    for layer, shape in zip(network.layers, shapes, strict=True):
        spent = cost(layer, shape)
        total = LayerCost(total.macs + spent.macs, total.weight_bytes + spent.weight_bytes)
        rows.append([layer.name, _by(shape), *_columns(layer), spent.macs, spent.weight_bytes])
        found = (analysis or {}).get(layer.name)
        if found is not None:
            shares = f"{found['saturated']:.2%}", f"{found['agreement_alone']:.2%}"
            rows[-1] += [shares[0], f"{found['snr_db']:.1f} dB", shares[1]]
    rows.append(["all", "", "", "", "", "", "", total.macs, total.weight_bytes])
    headers = [
        "layer",
        "output",
        "kernel",
        "activation",
        "fix point",
        "shift cut",
        "shift bias",
        "multiply-adds",
        "bytes",
    ]
    if analysis:
        headers += ["saturated", "SNR", "agreement alone"]
    return tabulate(rows, headers, tablefmt="simple", intfmt=",")


def _kernel(found: DpuKernel | None) -> str:
    if found is None:
        return "none"
    target = f"{found.target} {found.fingerprint}".rstrip()
    return (
        f"{found.kernel}, {found.kind} of {len(found.artifact):,} bytes for {target}: "
        f"{found.input_node} → {found.output_node}"
    )


def _core(found: CoreImage | None) -> str:
    if found is None:
        return "none"
    return (
        f"{found.target}, {len(found.program):,} bytes, {len(found.weights):,} of weights, "
        f"{found.cycles:,} cycles for an image"
    )


def _columns(layer: Layer) -> list[Any]:
    """Kernel, activation, fix point, shift cut and shift bias of a layer."""
    p = layer.fix_point
    if isinstance(layer, Conv):
        kind = "depthwise " if layer.depthwise else ""
        kernel = f"{kind}{_by(layer.weights.shape[1:3])} /{layer.stride[0]}"
        return [kernel, _activation(layer.activation), p, layer.shift_cut, layer.shift_bias]
    if isinstance(layer, AvgPool):
        bits = layer.shift - math.floor(math.log2(layer.multiplier))
        return [f"mean {_by(layer.kernel)} /{layer.stride[0]}", "", p, bits, ""]
    if isinstance(layer, MaxPool):
        return [f"max {_by(layer.kernel)} /{layer.stride[0]}", "", p, layer.shift, ""]
    if isinstance(layer, Add):
        return ["add", _activation(layer.activation), p, layer.shift, ""]
    return ["concat", "", p, "", ""]


def _activation(activation: Activation) -> str:
    return "" if activation is Activation.NONE else activation.value


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)
