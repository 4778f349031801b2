"""The pages themselves: data through templates, into one file that needs nothing but itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import MissingDependencyError
from edge_runtime.metrics import Metric
from edge_runtime.report.charts import percent
from edge_runtime.report.compare import METRICS, Comparison, metric_row
from edge_runtime.report.views import Cell, Json, view

if TYPE_CHECKING:
    from jinja2 import Environment

_MINUS = "\u2212"


def render_report(report: Json) -> str:
    """Write index.html of what report.json holds.

    Raises
    ------
    MissingDependencyError
        Jinja is not installed.
    """
    shown = view(report)
    wrong: list[Cell] = shown["matrix"].wrong
    page: str = (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            view=shown,
            cells=_examples(report, wrong),
            cell_number={(cell.label, cell.found): k for k, cell in enumerate(wrong)},
        )
    )
    return page


def render_comparison(found: Comparison) -> str:
    """Write the page of two results side by side; the same error as `render_report`."""
    rows = [metric_row(title, found.a.metric(m), found.b.metric(m)) for m, title in METRICS.items()]
    page: str = (
        environment()
        .get_template("compare.html.jinja")
        .render(found=found, metrics=rows, metric_of=Metric.as_json)
    )
    return page


def environment() -> "Environment":
    """Templates of this folder, with the pages' ways to write numbers."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingDependencyError(
            "the page needs Jinja: pip install 'edgeglyph[report]'"
        ) from None
    made = Environment(
        loader=PackageLoader("edge_runtime.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "interval": lambda m: f"{100 * m['low']:.1f} to {percent(m['high'])}",
        "share": lambda value: f"{100 * min(max(value, 0.0), 1.0):.2f}",
        "points": lambda value: f"{value:+.2f}".replace("-", _MINUS),
        "count": lambda value: f"{value:,}",
        "short": short,
        "tiny": lambda value: f"{value:.1e}" if value else "0",
        "mebibytes": lambda value: short(value / 2**20),
        "day": lambda date: date[:10],
        "tail": lambda path: "/".join(Path(path).parts[-2:]),
    }
    return made


def short(value: float) -> str:
    """Three significant digits, never with an exponent from a thousandth up: 0.0333, 154, 5,000."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if abs(value) >= 1000 else digits


def _examples(report: Json, wrong: list[Cell]) -> dict[str, Any]:
    """What the script shows of the matrix's cells: [image, probability of the answer] of each."""
    used = {example["image"] for cell in wrong for example in cell.examples}
    return {
        "images": {str(number): report["images"][number]["thumbnail"] for number in sorted(used)},
        "cells": [
            {
                "label": cell.label,
                "found": cell.found,
                "count": cell.count,
                "n": cell.n,
                "examples": [[e["image"], e["top"][0][1]] for e in cell.examples],
            }
            for cell in wrong
        ],
    }
