"""Command line ``python -m edge_runtime evaluate``."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.evaluation.cost import cost_table, machine, measure_costs
from edge_runtime.evaluation.evaluate import Request, evaluate
from edge_runtime.evaluation.provenance import command_line, provenance
from edge_runtime.evaluation.results import Evaluation
from edge_runtime.files import write_json
from edge_runtime.ladder.rungs import GROUPS, Found, Rung, backend_rung, choose, find_rungs
from edge_runtime.runners import BACKENDS, default_backend

SPLITS = ("train", "validation", "test")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    add_images(parser)
    parser.add_argument(
        "--rungs",
        metavar="LIST",
        help="networks to run, with commas; names (--rungs ? lists them) or groups: "
        f"{', '.join(GROUPS)} (default: native where built, else int8)",
    )
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKENDS,
        default=[],
        help="one of them; may be given several times",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model of a single float or onnx --backend (default: beside the bundle)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE.egb",
        help="a second bundle to compare with on the same images and networks",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to a file")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes; 0 takes as many as there are cores (default: 1)",
    )
    parser.add_argument(
        "--cost", action="store_true", help="also measure times, memory and sizes of each network"
    )
    parser.add_argument(
        "--ladder",
        nargs="?",
        choices=("too", "only"),
        const="too",
        help="end with a line for each rung that holds, or print nothing else",
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """Declare options that say which images."""
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="class folders, a .csv, a list file, a manifest, an archive, or ICDAR 2003",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where archives are unpacked (default: the user's cache folder)",
    )
    parser.add_argument("--split", choices=SPLITS, help="use only this split of a manifest")
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="CSV",
        help="non-characters (`make data` writes negatives.csv) to measure the gate on",
    )
    parser.add_argument(
        "--negatives-split",
        choices=SPLITS,
        default="test",
        help="which of the non-characters (default: test, the one with kinds never trained on)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="count and leave out unreadable images instead of stopping",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate, print tables, write the figures; return the exit code."""
    rungs, found = _chosen(options)
    against: tuple[Rung, ...] = ()
    if options.against is not None:
        against = tuple(_same_rung(rung, options.against) for rung in rungs)
    request = Request(
        tuple(rungs),
        options.images,
        options.split,
        against,
        options.negatives,
        options.negatives_split,
        options.skip_unreadable,
        options.cache,
        options.json and options.json.with_name(f".{options.json.name}.parts"),
        options.jobs or os.cpu_count() or 1,
    )
    evaluation = dataclasses.replace(evaluate(request), absent=found.absent if found else {})
    for line in evaluation.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    costs = measure_costs(rungs) if options.cost else {}
    if options.json:
        figures = evaluation.as_json()
        figures["provenance"] = provenance(command_line(), rungs, options.images)
        if costs:
            figures["cost"] = {
                "machine": machine(),
                "rungs": {name: cost.as_json() for name, cost in costs.items()},
            }
        write_json(options.json, figures)
    _print(evaluation, cost_table(costs) if costs else "", options.ladder)
    return 0


def _print(evaluation: Evaluation, costs: str, ladder: str | None) -> None:
    table = "" if ladder == "only" else evaluation.table()
    parts = [table, costs, evaluation.ladder_text() if ladder else ""]
    print("\n\n".join(part for part in parts if part))


def _chosen(options: argparse.Namespace) -> tuple[list[Rung], Found | None]:
    """Rungs that were asked for, and what there is, if that was looked for."""
    names = [name.strip() for name in (options.rungs or "").split(",") if name.strip()]
    if len(set(options.backend)) != len(options.backend):
        raise InputError("name each back end once")
    if options.model is not None and (len(options.backend) != 1 or names):
        raise InputError("--model goes with a single --backend")
    if not names:
        chosen = options.backend or [default_backend()]
        return [backend_rung(name, options.bundle, options.model) for name in chosen], None
    found = find_rungs(options.bundle)
    if names == ["?"]:
        lines = [f"{rung.name}: {rung.title}" for rung in found.rungs]
        lines += [f"{name}: absent, {why}" for name, why in found.absent.items()]
        raise InputError("rungs here: " + "; ".join(lines))
    # A group names what is there; what is asked for by name and absent is an error.
    every = any(name in GROUPS for name in names)
    rungs = choose([*names, *options.backend], found)
    return rungs, found if every else None


def _same_rung(rung: Rung, bundle: Path) -> Rung:
    if rung.program is not None:
        return dataclasses.replace(rung, bundle=bundle)
    return backend_rung(rung.name, bundle)
