"""Where each cell of a plan is trained: a folder named by all that its result depends on."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.files import read_memory
from semi_supervised.ablation.budgets import Budgets
from semi_supervised.ablation.code import code_digest
from semi_supervised.ablation.plan import Cell, Plan
from semi_supervised.settings import Settings
from semi_supervised.synthesis import Synthesizer
from semi_supervised.training.identity import find_synthesizer, training_identity

MEASURED = "measured.json"


@dataclass(frozen=True)
class Job:
    """The training of a cell.

    cell : the method is what is trained: with every label given, consistency learns from nothing
    folder : another whenever another result would come out
    threads : of TensorFlow, and processes that prepare batches
    """

    cell: Cell
    settings: Settings
    manifest: Path
    folder: Path
    threads: int

    def measured(self) -> dict[str, Any] | None:
        """What was measured, or None as long as the cell is not done."""
        return read_memory(self.folder / MEASURED) or None

    @property
    def is_stale(self) -> bool:
        """Whether other code than today's trained it."""
        found = self.measured()
        return found is not None and found["code"] != code_digest()

    @property
    def epochs(self) -> int:
        """Epochs of the whole training, its teacher's too."""
        return self.settings.train.epochs + self.settings.teacher.epochs

    def epochs_done(self) -> int:
        """Epochs that a training has written down."""
        folders = (self.folder / "training", self.folder / "training-teacher")
        return sum(_lines(folder / "metrics.jsonl") for folder in folders)


def make_jobs(plan: Plan, budgets: Budgets, output: Path) -> dict[Cell, Job]:
    """Find the training of every cell; cells with equal settings and data share one."""
    jobs: dict[Cell, Job] = {}
    of_key: dict[str, Job] = {}
    drawing: dict[tuple[int, bool], Synthesizer | None] = {}  # finding fonts takes a second
    for cell in plan.cells():
        budget = budgets.of[cell.labels, cell.seed]
        settings = plan.settings_of(cell, unlabeled=budget.unlabeled > 0)
        what = (settings.train.seed, settings.train.batch_drawn > 0)
        if what not in drawing:
            drawing[what] = find_synthesizer(budget.manifest, settings)
        key = _key(budget.manifest, settings, drawing[what], plan.threads)
        if key not in of_key:
            trained = replace(cell, method=settings.train.method)
            folder = output / "cells" / f"{trained.name}-{key[:10]}"
            of_key[key] = Job(trained, settings, budget.manifest, folder, plan.threads)
        jobs[cell] = of_key[key]
    return jobs


def unfinished(jobs: Iterable[Job], renew: bool) -> list[Job]:
    """Each training that is to be run, once, in the order given."""
    return [
        job for job in dict.fromkeys(jobs) if job.measured() is None or (renew and job.is_stale)
    ]


def states(cells: Iterable[Cell], jobs: Mapping[Cell, Job]) -> str:
    """Tell how far each cell is, as a table to be printed."""
    rows = []
    for cell in cells:
        job, measured = jobs[cell], jobs[cell].measured()
        state = f"{job.epochs_done()} of {job.epochs} epochs"
        if measured:
            state = "done, by other code than this" if job.is_stale else "done"
        accuracy = f"{100 * measured['accuracy']['value']:.2f} %" if measured else ""
        rows.append([cell.name, state, accuracy, job.folder.name])
    headers = ["cell", "state", "test accuracy", "folder"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def _key(manifest: Path, settings: Settings, synthesizer: Synthesizer | None, threads: int) -> str:
    identity = training_identity(manifest, settings, synthesizer) | {"threads": threads}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0
