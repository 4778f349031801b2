"""Command line: ``python -m edge_runtime bench``."""

import argparse
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_runtime import __version__
from edge_runtime.bench.chart import draw_chart
from edge_runtime.bench.engine import MOST_BATCH, Engine, Network
from edge_runtime.bench.engines import ENGINES
from edge_runtime.bench.engines.ours import PROGRAM
from edge_runtime.bench.footprint import measure_footprint, measure_program
from edge_runtime.bench.machine import describe_machine
from edge_runtime.bench.race import Entry, Images, prepare, race, tasks
from edge_runtime.bench.report import Report
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.files import sha256_of, write_json, write_text
from edge_runtime.formats.images import find_images, read_inputs, read_measured
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage

_MEASURED = 2000  # images at most
_BUSY = 0.3  # load average above which others get in the way


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what ``bench`` takes beside the bundle."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="labeled images: a manifest, of which split train calibrates, or any source, of "
        "which every fourth image does",
    )
    parser.add_argument("--split", help="of a manifest, to measure accuracy on (default: test)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the results")
    parser.add_argument("--rounds", type=int, default=60, metavar="R", help="(default: 60)")
    parser.add_argument(
        "--cpu", type=int, default=0, metavar="K", help="the first processor (default: 0)"
    )
    parser.add_argument("--isa", metavar="I", help="instruction set of our engine")
    parser.add_argument(
        "--engine",
        action="append",
        metavar="NAME",
        help="race only engines whose name holds this; may be repeated (ours always run)",
    )


def run(options: argparse.Namespace) -> int:
    """Race and report; return the exit code."""
    processors = len(os.sched_getaffinity(0))
    if options.rounds < 1:
        raise InputError("--rounds must be at least 1")
    if options.cpu not in os.sched_getaffinity(0):
        raise InputError(f"--cpu {options.cpu}: no such processor, or not for this process")
    engines = _choose(options.engine)
    machine = describe_machine()
    bundle = read_bundle(options.bundle)
    found = find_images(options.images, bundle.alphabet, options.split, most=_MEASURED)
    images = read_measured(found, bundle.alphabet)
    network = Network(
        bundle,
        options.bundle,
        read_inputs(found.calibrating, "calibration images"),
        np.resize(images.inputs, (MOST_BATCH, *images.inputs.shape[1:])),
        _typical(found.measured),
        options.output / "models",
        options.cpu,
        options.isa,
    )
    wanted = tasks(processors)
    loads = list(dict.fromkeys(task.load for task in wanted))
    entries = prepare(engines, network, Images(images.inputs, images.labels), loads)
    _measure_footprints(entries, network)
    peaks = race(entries, network, wanted, options.rounds)
    about = {
        "edgeglyph": __version__,
        "machine": machine,
        "network": {"name": bundle.name, "sha256": sha256_of(options.bundle)},
        "images": {"measured": len(found.measured), "calibration": len(found.calibrating)},
        "image": _describe(network.image),
        "rounds": options.rounds,
        "cpu": options.cpu,
    }
    report = Report(about, entries, wanted, peaks, bundle.network.multiply_adds)
    _write(report, options.output)
    return 0


def _measure_footprints(entries: Sequence[Entry], network: Network) -> None:
    running = [entry for entry in entries if entry.absent is None]
    for entry in tqdm(running, desc="memory", unit="engine", disable=None, leave=False):
        if entry.engine is PROGRAM:
            entry.footprint = measure_program(network)
        else:
            entry.footprint = measure_footprint(entry.engine.title, network)


def _write(report: Report, folder: Path) -> None:
    write_json(folder / "bench.json", report.as_json())
    write_text(folder / "bench.md", report.table("github") + "\n")
    print(report.table())
    print()
    try:
        charts = draw_chart(report, folder)
    except MissingDependencyError as error:
        charts, reason = [], f"; no chart: {error}"
    else:
        reason = ""
    print("Wrote", ", ".join(map(str, [folder / "bench.json", *charts])) + reason)
    load = report.about["machine"]["load_average"]
    if load > _BUSY:
        print(f"Other work ran on this machine before (load {load}): times may be too long.")


def _choose(names: Sequence[str] | None) -> list[Engine]:
    chosen = [
        engine
        for engine in ENGINES
        if not names or engine.ours or any(n.lower() in engine.title.lower() for n in names)
    ]
    for name in names or ():
        if not any(name.lower() in engine.title.lower() for engine in ENGINES):
            titles = "; ".join(engine.title for engine in ENGINES)
            raise InputError(f"--engine {name}: there are {titles}")
    return chosen


def _typical(images: Sequence[LabeledImage]) -> Path:
    """Return the image whose file is of median size."""
    size = statistics.median_low(image.path.stat().st_size for image in images)
    return min(image.path for image in images if image.path.stat().st_size == size)


def _describe(image: Path) -> dict[str, Any]:
    height, width = read_gray(image).shape
    return {
        "format": image.suffix.lstrip(".").lower(),
        "bytes": image.stat().st_size,
        "width": width,
        "height": height,
    }
