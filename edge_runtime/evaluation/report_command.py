"""Command line ``python -m edge_runtime report``: what was measured, as report.json and a page."""

import argparse
from pathlib import Path
from typing import Final

from edge_runtime.errors import InputError
from edge_runtime.evaluation.report_data import Sources, collect
from edge_runtime.files import write_json, write_text
from edge_runtime.report.compare import compare
from edge_runtime.report.page import render_comparison, render_report

# Of the shipped network, in a checkout; the page says whose it is.
_PUBLISHED: Final = Path(__file__).parents[2] / "docs/bench/bench.json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.add_argument("--bundle", type=Path, metavar="FILE.egb", help="what the report is of")
    parser.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="put two side by side instead: report folders, report.json or evaluation.json",
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="JSON",
        help="(default: evaluation.json beside the bundle)",
    )
    parser.add_argument(
        "--robustness",
        type=Path,
        metavar="JSON",
        help="(default: robustness/robustness.json beside the bundle, if it is there)",
    )
    parser.add_argument(
        "--quantization",
        type=Path,
        metavar="JSON",
        help="(default: quantization.json beside the bundle, if it is there)",
    )
    parser.add_argument(
        "--bench",
        type=Path,
        metavar="JSON",
        help="(default: bench/bench.json beside the bundle, else the one of docs/, if it is there)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of report.json and index.html, or of compare.html (--compare prints tables, "
        "and needs none)",
    )


def run(options: argparse.Namespace) -> int:
    """Collect and write; return the exit code."""
    if options.compare:
        return _compare(options)
    if options.bundle is None or options.output is None:
        raise InputError("name --bundle FILE.egb and --output DIR, or --compare A B")
    folder = options.bundle.parent
    sources = Sources(
        options.bundle,
        options.evaluation or folder / "evaluation.json",
        options.robustness or _if_there(folder / "robustness/robustness.json"),
        options.quantization or _if_there(folder / "quantization.json"),
        options.bench or _if_there(folder / "bench/bench.json") or _if_there(_PUBLISHED),
    )
    report = collect(sources)
    write_json(options.output / "report.json", report)
    page = options.output / "index.html"
    write_text(page, render_report(report))
    print(f"wrote {page}, and report.json beside it")
    return 0


def _compare(options: argparse.Namespace) -> int:
    if options.bundle is not None:
        raise InputError("--compare A B takes no --bundle")
    found = compare(*options.compare)
    print(found.text())
    if options.output is not None:
        page = options.output / "compare.html"
        write_text(page, render_comparison(found))
        print(f"\nwrote {page}")
    return 0


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
