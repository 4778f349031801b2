"""Run cells, some at a time, each in a process of its own.

A process apart, because TensorFlow's memory and threads are a process's, and because a cell that
dies, of whatever, takes no other with it. What a cell has learned is in its folder: killed at any
moment, it goes on from its last epoch.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from semi_supervised.ablation.cells import Job
from semi_supervised.preset_file import write_preset

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 10  # with a process that is to end
_wait = time.sleep


@dataclass(frozen=True)
class Failure:
    """A cell that ended without a result, and the last line that it said."""

    job: Job
    why: str


@dataclass
class _Running:
    job: Job
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]
    counted: int  # epochs that the bar knows of
    started: float


Command = Callable[[Job], list[str]]


def cell_command(job: Job) -> list[str]:
    """Command line of the process that trains and measures a cell."""
    options = ["--folder", job.folder, "--manifest", job.manifest, "--workers", job.threads]
    return [sys.executable, "-m", "semi_supervised.ablation.cell", *map(str, options)]


def run_jobs(
    jobs: Sequence[Job], at_once: int, every: Collection[Job], command: Command = cell_command
) -> list[Failure]:
    """Run all jobs in their order, ``at_once`` at a time; return those that failed.

    Shows a bar over the epochs of all of them. When this process ends, so do the cells'.

    Parameters
    ----------
    every : the trainings of the whole plan, to tell how many of them are done
    """
    waiting, running, failures = list(jobs), list[_Running](), list[Failure]()
    done = sum(job.measured() is not None for job in every if job not in jobs)
    epochs = [job.epochs_done() for job in jobs]
    with tqdm(
        total=sum(job.epochs for job in jobs),
        initial=sum(epochs),
        desc="ablation",
        unit="epoch",
        smoothing=0,  # time left is told from the mean of all, not from the last cell's
        disable=None,
    ) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(_start(waiting.pop(0), command))
                bar.set_postfix_str(", ".join(one.job.cell.name for one in running))
                _wait(_POLL_SECONDS)
                for one in [one for one in running if _has_ended(one, bar)]:
                    running.remove(one)
                    failures += (failure := _finish(one))
                    done += not failure
                    told = failure[0].why if failure else _result(one)
                    line = f"{one.job.cell.name}: {told}; {done} of {len(every)} trainings done"
                    bar.write(line, file=sys.stderr)
        finally:
            for one in running:
                _finish(one)
    return failures


def _start(job: Job, command: Command) -> _Running:
    job.folder.mkdir(parents=True, exist_ok=True)
    write_preset(job.folder / "settings.toml", job.settings, [f"Cell {job.cell.name}."])
    threads = {f"TF_NUM_{kind}OP_THREADS": str(job.threads) for kind in ("INTRA", "INTER")}
    log = (job.folder / "log.txt").open("ab")
    process = subprocess.Popen(
        command(job),
        stdin=subprocess.PIPE,  # never written to: it closes when this process ends, however
        stdout=log,
        stderr=log,
        env=os.environ | threads,
    )
    return _Running(job, process, log, job.epochs_done(), time.monotonic())


def _has_ended(one: _Running, bar: Any) -> bool:
    """Count a cell's new epochs; tell whether its process is over."""
    ended = one.process.poll() is not None  # asked first, so that no epoch is missed
    now = one.job.epochs_done()
    bar.update(now - one.counted)
    one.counted = now
    return ended


def _finish(one: _Running) -> list[Failure]:
    """End a cell's process if it still runs; a failure if it has left no result."""
    assert one.process.stdin is not None
    one.process.stdin.close()  # which the process watches
    try:
        one.process.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        one.process.kill()
        one.process.wait()
    one.log.close()
    code = one.process.returncode
    if code == 0 and one.job.measured() is not None:
        return []
    path: Path = one.job.folder / "log.txt"
    lines = path.read_text("utf-8", errors="replace").strip().splitlines()
    ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return [Failure(one.job, f"{ended}; {lines[-1] if lines else 'it said nothing'} ({path})")]


def _result(one: _Running) -> str:
    accuracy = (one.job.measured() or {})["accuracy"]
    minutes = (time.monotonic() - one.started) / 60
    return f"{100 * accuracy['value']:.2f} % of {accuracy['n']:,}, {minutes:.1f} min"
