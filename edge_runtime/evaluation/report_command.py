"""Command line ``python -m edge_runtime report``: report.json of what was measured."""

import argparse
from pathlib import Path

from edge_runtime.evaluation.report_data import Sources, collect
from edge_runtime.files import write_json


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
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
        "--output", type=Path, required=True, metavar="DIR", help="folder of report.json"
    )


def run(options: argparse.Namespace) -> int:
    """Collect and write; return the exit code."""
    folder = options.bundle.parent
    sources = Sources(
        options.bundle,
        options.evaluation or folder / "evaluation.json",
        options.robustness or _if_there(folder / "robustness/robustness.json"),
        options.quantization or _if_there(folder / "quantization.json"),
    )
    path = options.output / "report.json"
    write_json(path, collect(sources))
    print(f"wrote {path}")
    return 0


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None
