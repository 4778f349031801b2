"""What came out of a race, as JSON and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

from edge_runtime.bench.engine import MOST_BATCH
from edge_runtime.bench.race import Entry, Task
from edge_runtime.formats.format import Load, versions
from edge_runtime.metrics import Metric

SCHEMA = 1


@dataclass(frozen=True)
class Summary:
    """Microseconds an image over the rounds.

    ratio : median over the rounds of this engine's time by ours in the same round
    of_peak : median of the time by what the multiply-adds take at the processor's peak
    p99 : of all single calls;  cpu : processors that were busy, the rounds' median
    """

    median: float
    low: float
    high: float
    least: float
    ratio: float | None
    of_peak: float | None
    p99: float | None = None
    cpu: float | None = None

    def as_json(self) -> dict[str, float]:
        """Figures with their units; those that are not known are left out."""
        found = {
            "median_us": self.median,
            "quartile1_us": self.low,
            "quartile3_us": self.high,
            "minimum_us": self.least,
            "times_ours": self.ratio,
            "times_peak": self.of_peak,
            "p99_us": self.p99,
            "cpu": self.cpu,
            "images_per_second": 1e6 / self.median,
        }
        return {key: round(value, 4) for key, value in found.items() if value is not None}


def summarize(
    ns: Sequence[float],
    ours: Sequence[float] | None,
    peaks: Sequence[float],
    work: int,
    calls: Sequence[float] = (),
    cpu: Sequence[float] = (),
) -> Summary:
    """Reduce an engine's rounds of one task.

    Parameters
    ----------
    ns : nanoseconds an image, a figure a round
    ours : the same of our engine
    peaks : multiply-adds a nanosecond, a figure a round; may be empty
    work : multiply-adds of an image
    calls : nanoseconds an image of every call;  cpu : processors busy, a figure a round
    """
    times = np.array(ns) / 1e3
    low, median, high = np.percentile(times, (25, 50, 75))
    ratio = float(np.median(np.array(ns) / np.array(ours))) if ours else None
    of_peak = float(np.median(np.array(ns) * np.array(peaks) / work)) if peaks else None
    p99 = float(np.percentile(calls, 99)) / 1e3 if calls else None
    busy = float(np.median(cpu)) if cpu else None
    least = float(times.min())
    return Summary(float(median), float(low), float(high), least, ratio, of_peak, p99, busy)


@dataclass(frozen=True)
class Report:
    """A race with everything that it belongs to.

    about : machine, network, images and settings, as they are in the JSON
    """

    about: dict[str, Any]
    entries: Sequence[Entry]
    tasks: Sequence[Task]
    peaks: Sequence[float]
    work: int

    def summary(self, entry: Entry, task: Task) -> Summary | None:
        """Of an engine and task; None where it was not timed."""
        ns = entry.ns.get(task)
        if not ns:
            return None
        mine = [e.ns[task] for e in self.entries if e.engine.ours and e.ns.get(task)]
        peaks = self.peaks if task.what == "network" and task.load.threads == 1 else ()
        calls, cpu = entry.calls.get(task, ()), entry.cpu.get(task, ())
        return summarize(ns, mine[0] if mine else None, peaks, self.work, calls, cpu)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single rounds."""
        peak = float(np.median(self.peaks)) if self.peaks else None
        return {
            "schema": SCHEMA,
            **self.about,
            "multiply_adds": self.work,
            "vpdpbusd_multiply_adds_per_ns": peak and round(peak, 2),
            "engines": [self._entry_json(entry) for entry in self.entries],
        }

    def _entry_json(self, entry: Entry) -> dict[str, Any]:
        engine = entry.engine
        figures = [
            {"what": task.what, "batch": task.load.batch, "threads": task.load.threads}
            | summary.as_json()
            for task in self.tasks
            if (summary := self.summary(entry, task))
        ]
        return {
            "engine": engine.name,
            "form": engine.form,
            "call": engine.call,
            "packages": versions(engine.packages),
            "absent": entry.absent,
            "accuracy": _metric(entry.accuracy),
            "agreement": _metric(entry.agreement),
            "size_bytes": entry.size_bytes or None,
            **(entry.footprint.as_json() if entry.footprint else {}),
            "measurements": figures,
        }

    def table(self, form: str = "simple") -> str:
        """Tables of the network alone, of whole images, of costs; and what was left out."""
        parts = [self._times("network", form), self._times("image", form), self._costs(form)]
        absent = [(e.engine.title, e.absent) for e in self.entries if e.absent]
        if absent:
            parts.append(tabulate(absent, ("not raced", "why"), tablefmt=form))
        return "\n\n".join(part for part in parts if part)

    def _times(self, what: str, form: str) -> str:
        chosen = [task for task in self.tasks if task.what == what]
        rows = []
        for entry in self.entries:
            found = [self.summary(entry, task) for task in chosen]
            if not any(found):
                continue
            row = [entry.engine.title, *(_cell(summary) for summary in found)]
            if what == "network":
                shares = (entry.accuracy, entry.agreement)
                row += [share.percent if share else "" for share in shares]
            rows.append(row)
        if not rows:
            return ""
        first = "network alone, µs an image" if what == "network" else "from the file, µs an image"
        titles = [task.title.split(", ", 1)[1] for task in chosen]
        last = ["accuracy", "as float"] if what == "network" else []
        return tabulate(rows, (first, *titles, *last), tablefmt=form, disable_numparse=True)

    def _costs(self, form: str) -> str:
        """Size, loading, memory; and of the network alone what is worth knowing beside medians."""
        threads = max(task.load.threads for task in self.tasks)
        one, many = Task("network", Load(1, 1)), Task("network", Load(MOST_BATCH, 1))
        wide = Task("network", Load(MOST_BATCH, threads))
        rows = []
        for entry in self.entries:
            if not entry.ns:
                continue
            single, batch, busy = (self.summary(entry, task) for task in (one, many, wide))
            rows.append(
                [
                    entry.engine.title,
                    _number(entry.size_bytes / 1e3 or None, 0),
                    _number(entry.footprint.load_ms if entry.footprint else None),
                    _number(entry.footprint.added_bytes / 2**20 if entry.footprint else None),
                    _number(single.p99 if single else None),
                    _number(batch.p99 if batch else None),
                    _number(1e6 / batch.median if batch else None, 0),
                    _number(busy.cpu if busy else None, 2),
                ]
            )
        headers = ["costs", "kB", "load ms", "memory MiB", "99 % µs, batch 1"]
        headers += [f"99 % µs, batch {MOST_BATCH}", f"images/s, batch {MOST_BATCH}"]
        headers += [f"CPUs busy of {threads}"]
        return tabulate(rows, headers, tablefmt=form, disable_numparse=True) if rows else ""


def _number(value: float | None, decimals: int = 1) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return ""
    text = f"{summary.median:.1f} ({summary.low:.1f} to {summary.high:.1f})"
    return text if summary.ratio is None else f"{text} ×{summary.ratio:.2f}"


def _metric(metric: Metric | None) -> dict[str, Any] | None:
    return None if metric is None else metric.as_json()
