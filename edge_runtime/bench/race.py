"""The race: every engine checked first, then turns in rounds, each round in another order."""

import gc
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.bench.decode import has_opencv
from edge_runtime.bench.engine import MOST_BATCH, Engine, InPython, Network, Opened, Turn
from edge_runtime.bench.footprint import Footprint
from edge_runtime.errors import EdgeGlyphError, VerificationError
from edge_runtime.formats.format import Load
from edge_runtime.formats.verify import LEAST_AGREEMENT
from edge_runtime.layers import Int8
from edge_runtime.metrics import Metric, wilson

_WARM_UP_ROUNDS = 3
_SETTLE_S = 0.002  # threads of one engine go on spinning for a moment


@dataclass(frozen=True)
class Task:
    """One thing that is timed: the network alone or a whole image; batch and threads."""

    what: str
    load: Load

    @property
    def title(self) -> str:
        """As a table says it."""
        threads = f"{self.load.threads} thread{'s' if self.load.threads > 1 else ''}"
        return f"{self.what}, batch {self.load.batch}, {threads}"


def tasks(processors: int) -> list[Task]:
    """All that is timed on a machine with so many processors."""
    one, many = Load(1, 1), Load(MOST_BATCH, 1)
    found = [Task("network", one), Task("network", many)]
    if processors > 1:
        found += [Task("network", Load(batch, processors)) for batch in (1, MOST_BATCH)]
    return [*found, Task("image", one), Task("image", many)]


@dataclass
class Entry:
    """An engine in the race, or why it is not.

    agreement : share of the images that get the float network's class
    ns : nanoseconds an image, a figure a round, of each task
    calls : nanoseconds an image of every call of all rounds
    cpu : processors busy, a figure a round
    size_bytes : of the network's files
    """

    engine: Engine
    absent: str | None = None
    accuracy: Metric | None = None
    agreement: Metric | None = None
    opened: dict[Load, Opened] = field(default_factory=dict, repr=False)
    ns: dict[Task, list[float]] = field(default_factory=dict, repr=False)
    calls: dict[Task, list[float]] = field(default_factory=dict, repr=False)
    cpu: dict[Task, list[float]] = field(default_factory=dict, repr=False)
    size_bytes: int = 0
    footprint: Footprint | None = None


@dataclass(frozen=True)
class Images:
    """Labeled images to measure accuracy on: int8 inputs [N, 32, 32, 1] and classes [N]."""

    inputs: Int8
    labels: npt.NDArray[np.int64]


def prepare(
    engines: Sequence[Engine], network: Network, images: Images, loads: Sequence[Load]
) -> list[Entry]:
    """Load the network into every engine, and measure what it answers.

    An engine that is missing, or does not agree with the float network, stays out, and says why.
    """
    entries = [Entry(engine) for engine in engines]
    best = {}
    for entry in tqdm(entries, desc="load", unit="engine", disable=None, leave=False):
        try:
            # Engines look once, when they are loaded, how many processors there are; and their
            # threads may begin with the first call.
            with pinned(network.cpu, max(load.threads for load in loads)):
                for load in filter(entry.engine.takes, loads):
                    entry.opened[load] = entry.engine.open(network, load)
                last = list(entry.opened.values())[-1]
                logits = last.logits(images.inputs)
                entry.size_bytes = getattr(last, "size_bytes", 0)
        except VerificationError:
            raise
        except EdgeGlyphError as error:
            entry.absent, entry.opened = str(error), {}
            continue
        if logits is not None:
            best[entry.engine] = np.argmax(logits, axis=1)
            right = int((best[entry.engine] == images.labels).sum())
            entry.accuracy = wilson(right, len(images.labels))
    reference = next((b for engine, b in best.items() if engine.is_float), None)
    for entry in entries:
        if reference is None or entry.engine not in best:
            continue
        same = int((best[entry.engine] == reference).sum())
        entry.agreement = wilson(same, len(reference))
        if entry.agreement.value < LEAST_AGREEMENT:
            entry.absent = f"agrees with the float network on {entry.agreement.value:.1%} only"
    return entries


def race(
    entries: Sequence[Entry], network: Network, wanted: Sequence[Task], rounds: int
) -> list[float]:
    """Take turns; fills ``Entry.ns`` and returns the peak of each round, where there is one.

    Every round has each engine and task once, in a new order.
    """
    running = [entry for entry in entries if entry.absent is None]
    turns = [
        (entry, task)
        for entry in running
        for task in wanted
        if task.load in entry.opened
        and (task.what == "network" or has_opencv() or not isinstance(_of(entry, task), InPython))
    ]
    for entry, task in turns:
        entry.ns[task], entry.calls[task], entry.cpu[task] = [], [], []
    peaks: list[float] = []
    order = random.Random(0)
    numbers = range(-_WARM_UP_ROUNDS, rounds)
    for number in tqdm(numbers, desc="race", unit="round", disable=None, leave=False):
        order.shuffle(turns)
        peak = _peak(running)
        for entry, task in turns:
            turn = _turn(_of(entry, task), task, network.cpu)
            if number >= 0:
                entry.ns[task].append(turn.ns)
                entry.calls[task] += turn.calls
                entry.cpu[task].append(turn.cpu)
        if peak and number >= 0:
            peaks.append(peak)
    return peaks


def _of(entry: Entry, task: Task) -> Opened:
    return entry.opened[task.load]


def _turn(opened: Opened, task: Task, cpu: int) -> Turn:
    with pinned(cpu, task.load.threads):
        gc.disable()
        try:
            return opened.turn(task.what)
        finally:
            gc.enable()
            if task.load.threads > 1:
                time.sleep(_SETTLE_S)


def _peak(entries: Sequence[Entry]) -> float:
    """Of the first engine that knows the processor's limit."""
    for entry in entries:
        for opened in entry.opened.values():
            ask = getattr(opened, "peak", None)
            if ask is not None:
                return float(ask())
    return 0.0


@contextmanager
def pinned(first: int, count: int) -> Iterator[None]:
    """Run on ``count`` processors from ``first`` on, and with what threads are begun here."""
    before = os.sched_getaffinity(0)
    allowed = sorted(before)
    start = allowed.index(first)
    os.sched_setaffinity(0, {allowed[(start + i) % len(allowed)] for i in range(count)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
