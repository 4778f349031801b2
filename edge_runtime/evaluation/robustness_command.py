"""Command line ``python -m edge_runtime robustness``."""

import argparse
import os
import sys
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.evaluation.command import add_images
from edge_runtime.evaluation.plots import contact_sheet, plot_rejection, plot_robustness
from edge_runtime.evaluation.provenance import command_line, provenance
from edge_runtime.evaluation.rejection import measure_rejection
from edge_runtime.evaluation.robustness import measure_robustness
from edge_runtime.files import write_json
from edge_runtime.images import read_gray
from edge_runtime.ladder.rungs import backend_rung
from edge_runtime.runners import BACKENDS, default_backend


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    add_images(parser)
    parser.add_argument(
        "--rungs",
        metavar="LIST",
        help=f"networks, with commas, of {', '.join(BACKENDS)} (default: onnx, and native where "
        "built, else int8)",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=500,
        metavar="N",
        help="images, drawn at random, always the same; 0 takes all (default: 500)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes; 0: one per core (default: 1)"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="where figures and plots go"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, write robustness.json and the plots; return the exit code."""
    names = (options.rungs or f"onnx,{default_backend()}").split(",")
    unknown = [name for name in names if name not in BACKENDS]
    if unknown:
        raise InputError(f"no network {unknown[0]!r}; there are {', '.join(BACKENDS)}")
    if options.count < 0 or options.jobs < 0:
        raise InputError("--count and --jobs are at least 0")
    rungs = [backend_rung(name, options.bundle) for name in names]
    found = measure_robustness(
        rungs, options.images, options.split, options.count, options.jobs or os.cpu_count() or 1,
        options.skip_unreadable, options.cache,
    )  # fmt: skip
    for line in found.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    figures = found.as_json()
    figures["provenance"] = provenance(command_line(), rungs, options.images)
    output = options.output
    if options.negatives is not None:
        figures["rejection"] = measure_rejection(
            rungs, found.images, options.negatives, options.negatives_split
        )
        shown = rungs[-1]
        plot_rejection(
            output / "rejection.png", figures["rejection"][shown.name], f"The gate, {shown.title}"
        )
    plot_robustness(output / "robustness.png", found)
    contact_sheet(output / "corruptions.png", read_gray(found.images[found.n // 2].path))
    write_json(output / "robustness.json", figures)
    print(found.table())
    print(f"\nn = {found.n:,} images in 75 corruptions; wrote {output / 'robustness.json'}")
    return 0
