"""quantization.html: one self-contained page that shows what quantization did, layer by layer."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from edge_runtime.layers import Conv
from quantize.analysis import Analysis, LayerAnalysis, WorstInput
from quantize.artifacts import Quantization
from quantize.info import LayerCost, cost

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; color: #222;
       padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td { white-space: nowrap; } tr.all td { font-weight: 600; border-top: 2px solid #999; }
th[colspan] { text-align: center; border-bottom: 1px solid #999; } .wide { overflow-x: auto; }
td.bad, .changed { color: #b3402a; font-weight: 600; }
.plots, .worst { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption { font-size: 13px; max-width: 16rem; overflow-wrap: anywhere; }
.worst img { width: 96px; height: 96px; image-rendering: pixelated; border: 1px solid #ccc; }
.float { fill: #9db7d5; } .int8 { fill: none; stroke: #b3402a; stroke-width: 1.5; }
"""
_WIDTH, _HEIGHT = 240, 90  # of a histogram, in pixels


def page(quantization: Quantization, analysis: Analysis) -> str:
    """Return the page's HTML."""
    title = f"{quantization.provenance['source']['file']} in int8"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        _facts(quantization),
        "<h2>Layers</h2>",
        f"<p>Measured on {analysis.count:,} inputs. A value is q · 2<sup>-p</sup>; p is its "
        "fix point. "
        "A second bias in brackets is the one that the integers have: where the rule's is finer "
        "than the sums. Saturated: integers clipped at an end of int8. SNR: power of the float "
        f"output over that of the error. Alone, on {analysis.alone_count:,} inputs: what happens "
        "when this layer is the only quantized one, the share of inputs that keep their class and "
        "the points of accuracy that are lost. Red is the layer that changes most.</p>",
        f'<div class="wide">{_layers(quantization, analysis)}</div>',
        "<h2>Outputs before and after</h2>",
        "<p>Filled: float network. Line: integer network, as values. Heights are logarithmic.</p>",
        '<div class="plots">',
        *(_histogram(layer) for layer in analysis.layers),
        "</div><h2>Inputs that changed most</h2>",
        '<div class="worst">',
        *(_worst(each, quantization) for each in analysis.worst),
        "</div></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _facts(quantization: Quantization) -> str:
    known = quantization.provenance
    rows = [
        ("method", known["method"]),
        ("calibration", f"{known['calibration']['count']:,} inputs"),
        ("logit scale", f"{quantization.logit_scale:.4g}"),
        ("last layer", "CPU, int32 logits" if quantization.network.int32_logits else "int8 logits"),
    ]
    rows += [(f"squared logit error, {k}", f"{v:.4g}") for k, v in known["logit_errors"].items()]
    accuracy = known["accuracy"]
    if accuracy is not None:
        where = f" (n = {accuracy['n']:,} {accuracy['split']})"
        for key in ("float", "int8", "agreement", "ties"):
            found = accuracy[key]
            interval = f"{100 * found['low']:.2f} to {100 * found['high']:.2f}"
            rows.append((f"{key}{where}", f"{found['value']:.2%} ({interval})"))
        limit = known["settings"]
        gate = "none" if limit["report_only"] else f"{limit['max_accuracy_loss']:g}"
        rows.append(("points lost, and the limit", f"{accuracy['loss_points']:.2f}, {gate}"))
    return _table(("", ""), rows)


def _layers(quantization: Quantization, analysis: Analysis) -> str:
    network = quantization.network
    positions = quantization.fix_points()
    head = (
        "<tr><th rowspan=2>layer<th rowspan=2>output<th colspan=3>fix points<th colspan=2>shifts"
        "<th rowspan=2>saturated<th rowspan=2>SNR<th colspan=2>alone"
        "<th rowspan=2>multiply-adds<th rowspan=2>bytes</tr>"
        "<tr><th>weight<th>bias<th>activation<th>cut<th>bias<th>agreement<th>points lost</tr>"
    )
    rows: list[str] = []
    most = min(layer.agreement_alone for layer in analysis.layers)
    total = LayerCost(0, 0)
    everything = zip(
        network.layers, quantization.tensors, network.output_shapes(), analysis.layers, strict=True
    )
    for layer, names, shape, found in everything:
        spent = cost(layer, shape)
        total = LayerCost(total.macs + spent.macs, total.weight_bytes + spent.weight_bytes)
        conv = isinstance(layer, Conv)
        cells = (
            layer.name,
            "×".join(map(str, shape)),
            positions[str(names.weight)]["fix_point"] if conv else "",
            _bias(positions[str(names.bias)]) if conv else "",
            layer.fix_point,
            layer.shift_cut if isinstance(layer, Conv) else getattr(layer, "shift", ""),
            layer.shift_bias if isinstance(layer, Conv) else "",
            f"{found.saturated:.3%}",
            f"{found.snr_db:.1f} dB",
            f"{found.agreement_alone:.2%}",
            "" if found.cost_alone is None else f"{found.cost_alone:+.2f}",
            f"{spent.macs:,}",
            f"{spent.weight_bytes:,}",
        )
        row = _row(cells)
        if found.agreement_alone == most < 1:
            share = f"<td>{found.agreement_alone:.2%}"
            row = row.replace(share, share.replace("<td>", '<td class="bad">'))
        rows.append(row)
    sums = ("all", *[""] * 10, f"{total.macs:,}", f"{total.weight_bytes:,}")
    rows.append(_row(sums).replace("<tr>", '<tr class="all">'))
    return f"<table>{head}{''.join(rows)}</table>"


def _bias(entry: Mapping[str, Any]) -> str:
    finer = entry.get("integer_fix_point")
    return str(entry["fix_point"]) if finer is None else f"{entry['fix_point']} ({finer})"


def _row(cells: Iterable[Any]) -> str:
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = "".join(f"<th>{escape(each)}</th>" for each in head)
    return f"<table><tr>{cells}</tr>{''.join(_row(row) for row in rows)}</table>"


def _histogram(layer: LayerAnalysis) -> str:
    heights = [np.log1p(np.array(each, np.float64)) for each in (layer.before, layer.after)]
    top = max(float(h.max()) for h in heights) or 1.0
    step = _WIDTH / len(layer.before)
    bars = "".join(
        f'<rect class="float" x="{i * step:.1f}" y="{_HEIGHT * (1 - h / top):.1f}" '
        f'width="{step:.1f}" height="{_HEIGHT * h / top:.1f}"/>'
        for i, h in enumerate(heights[0])
    )
    points = " ".join(
        f"{(i + 0.5) * step:.1f},{_HEIGHT * (1 - h / top):.1f}" for i, h in enumerate(heights[1])
    )
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT}" role="img">{bars}'
        f'<polyline class="int8" points="{points}"/></svg>'
        f"<figcaption>{escape(layer.name)}<br>{layer.edges[0]:.3g} to {layer.edges[-1]:.3g}"
        "</figcaption></figure>"
    )


def _worst(worst: WorstInput, quantization: Quantization) -> str:
    alphabet = quantization.alphabet

    def name(c: int) -> str:
        return escape(str(c) if alphabet is None else alphabet.symbols[c])

    plane = worst.values.mean(axis=2)
    span = float(plane.max() - plane.min()) or 1.0
    pixels = ((plane - plane.min()) / span * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    label = "" if worst.label is None else f"is {name(worst.label)}, "
    int8 = f"int8 {name(worst.int8_class)}"
    if worst.int8_class != worst.float_class:
        int8 = f'<span class="changed">{int8}</span>'
    return (
        f'<figure><img alt="input" src="data:image/png;base64,{data}"><figcaption>'
        f"{label}float {name(worst.float_class)}, {int8}<br>probability moved {worst.moved:.1%}"
        "</figcaption></figure>"
    )
