"""``python -m semi_supervised ablation``: train what is missing, write the tables."""

import argparse
import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import EdgeGlyphError, InputError, SettingsError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--source",
        action="append",
        metavar="PATH|URL",
        help="labeled real crops, as `data` takes them; without it, those of the last time",
    )
    parser.add_argument(
        "--photographs",
        action="append",
        default=[],
        metavar="PATH",
        help="photographs with ICDAR 2003's word boxes, to cut background from; may be repeated",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where archives are unpacked")
    parser.add_argument("--alphabet", metavar="CHARACTERS", help="the classes (default: 0-9A-Za-z)")
    parser.add_argument(
        "--plan", type=Path, metavar="FILE.toml", help="which cells (default: our ablation.toml)"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="method=…,labels=…,seed=…,without=…",
        help="train these cells alone; may be repeated",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="cells at a time (default: as many as have the plan's threads for themselves)",
    )
    parser.add_argument(
        "--renew", action="store_true", help="train cells anew that other code than this trained"
    )
    parser.add_argument("--list", action="store_true", help="say which cells are done, do nothing")
    parser.add_argument("--report-only", action="store_true", help="write tables, train nothing")
    parser.add_argument(
        "--document",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.md",
        help="write the tables between its markers, too, and the plots into ablation/ beside it",
    )
    parser.add_argument("--output", type=Path, default=Path("build/ablation"), metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code, 2 where a cell failed."""
    from semi_supervised.ablation.budgets import make_budgets  # their imports cost seconds
    from semi_supervised.ablation.cells import make_jobs, states, unfinished
    from semi_supervised.ablation.document import write_documents
    from semi_supervised.ablation.plan import chosen, read_plan
    from semi_supervised.ablation.schedule import run_jobs

    plan = read_plan(options.plan)
    own = max(1, (os.cpu_count() or 1) // plan.threads)
    at_once = own if options.jobs is None else options.jobs
    if at_once < 1:
        raise SettingsError(f"--jobs must be 1 or more, not {options.jobs}")
    cells = chosen(plan.cells(), options.only)
    alphabet = parse_alphabet(options.alphabet) if options.alphabet else ALPHABET_62
    trains = not (options.list or options.report_only)  # while it does, others may look
    with _alone(options.output) if trains else contextlib.nullcontext():
        budgets = make_budgets(
            options.source,
            options.photographs,
            options.output / "data",
            alphabet,
            plan,
            options.cache,
        )
        jobs = make_jobs(plan, budgets, options.output)
        if options.list:
            print(states(cells, jobs))
            return 0
        failures = []
        if trains:
            waiting = unfinished((jobs[cell] for cell in cells), options.renew)
            failures = run_jobs(waiting, at_once, set(jobs.values()))
        print(write_documents(plan, jobs, budgets, options.output, options.document))
    if failures:
        raise EdgeGlyphError(
            f"{len(failures)} cell(s) failed, the first is {failures[0].job.cell.name}: "
            f"{failures[0].why}; the same command tries again and goes on where they were"
        )
    return 0


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Hold the folder for this process: two would train the same cells."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{output}: another ablation runs there; wait, or name an --output"
            ) from None
        yield
