"""The board's lines against the host's, as text, and the table that a deployment ends with."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from deployment.package import Package, Sample
from edge_runtime.errors import VerificationError
from edge_runtime.metrics import Metric, wilson


@dataclass(frozen=True)
class Answers:
    """What one run of the program on the board gave.

    lines : one JSON line per image
    times : the line of ``--times``: images, threads, seconds, images_per_second, median_us, p99_us
    """

    lines: list[str]
    times: dict[str, float]

    @classmethod
    def parse(cls, out: bytes, err: bytes) -> "Answers":
        """Read standard output and standard error of ``edge_classify --json --times``."""
        said = err.decode(errors="replace").splitlines()
        times = next((line for line in reversed(said) if line.startswith('{"images":')), None)
        if times is None:
            raise VerificationError("the board's program printed no times; is it an older one?")
        return cls(out.decode("utf-8", "surrogateescape").splitlines(), json.loads(times))


@dataclass(frozen=True)
class Comparison:
    """A version on the board against the same version on the host.

    one_by_one, all_threads : runs with one thread (latency) and with all processors (throughput)
    differences : what each image that was answered differently is, for people
    accuracy, host_accuracy : None without labels
    """

    one_by_one: Answers
    all_threads: Answers
    differences: list[str]
    agreement: Metric
    accuracy: Metric | None
    host_accuracy: Metric | None

    @classmethod
    def of(cls, package: Package, one_by_one: Answers, all_threads: Answers) -> "Comparison":
        """Compare line by line, and measure accuracy where there are labels."""
        samples, expected = package.samples, package.expected
        differences = [
            difference
            for run in (one_by_one, all_threads)
            for difference in _differences(samples, expected, run.lines)
        ]
        same = sum(a == b for a, b in zip(expected, one_by_one.lines, strict=False))
        return cls(
            one_by_one,
            all_threads,
            list(dict.fromkeys(differences)),
            wilson(same, len(expected)),
            _accuracy(samples, one_by_one.lines),
            _accuracy(samples, expected),
        )

    def check(self, where: str) -> None:
        """Raise `VerificationError` where there is a difference."""
        if self.differences:
            raise VerificationError(
                f"the board's answers differ from this computer's in {len(self.differences)} of "
                f"{self.agreement.n}; first {self.differences[0]}; all are in {where}"
            )

    def table(self) -> str:
        """Return the table for people."""
        one, many = self.one_by_one.times, self.all_threads.times
        n = self.agreement.n
        rows = []
        if self.accuracy and self.host_accuracy:
            shown = f"{self.accuracy.percent} (95 %: {self.accuracy.interval})"
            rows.append(["accuracy on the board", shown])
            rows.append(["accuracy on this computer", self.host_accuracy.percent])
        rows += [
            ["latency, median", f"{one['median_us'] / 1000:.3f} ms"],
            ["latency, 99th percentile", f"{one['p99_us'] / 1000:.3f} ms"],
            ["throughput, 1 thread", f"{one['images_per_second']:.1f} images/s"],
        ]
        if many["threads"] > 1:
            title = f"throughput, {many['threads']:.0f} threads"
            rows.append([title, f"{many['images_per_second']:.1f} images/s"])
        rows.append(
            ["agreement", f"{round(self.agreement.value * n)} of {n} lines are the same text"]
        )
        return tabulate(rows, tablefmt="plain", disable_numparse=True)

    def as_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "n": self.agreement.n,
            "accuracy": self.accuracy and self.accuracy.as_json(),
            "host_accuracy": self.host_accuracy and self.host_accuracy.as_json(),
            "agreement": self.agreement.as_json(),
            "one_thread": self.one_by_one.times,
            "all_threads": self.all_threads.times,
        }


def _differences(
    samples: Sequence[Sample], expected: Sequence[str], found: Sequence[str]
) -> list[str]:
    differences = []
    for i, (sample, ours) in enumerate(zip(samples, expected, strict=True)):
        theirs = found[i] if i < len(found) else ""
        if theirs != ours:
            told = _difference(ours, theirs)
            differences.append(f"{sample.name} ({sample.source}): {told}")
    if len(found) > len(expected):
        differences.append(f"{len(found) - len(expected)} lines too many")
    return differences


def _difference(ours: str, theirs: str) -> str:
    """First thing in which two lines differ, in words."""
    if not theirs:
        return "no line from the board"
    try:
        here, there = json.loads(ours), json.loads(theirs)
        key = next(k for k in here if here[k] != there.get(k))
    except (ValueError, StopIteration, AttributeError):
        return f"the board's line is {theirs!r}"
    ours_at, theirs_at = here[key], there.get(key)
    if isinstance(ours_at, list) and isinstance(theirs_at, list):
        longest = itertools.zip_longest(ours_at, theirs_at)
        place, (ours_at, theirs_at) = next((i, p) for i, p in enumerate(longest) if p[0] != p[1])
        key = f"{key}[{place}]"
    return f"{key} is {theirs_at!r} on the board, {ours_at!r} here"


def _accuracy(samples: Sequence[Sample], lines: Sequence[str]) -> Metric | None:
    """Share of right labels; None without labels. A line that cannot be read is a wrong answer."""
    if any(sample.label is None for sample in samples):
        return None
    right = 0
    for sample, line in zip(samples, lines, strict=False):
        try:
            right += json.loads(line).get("label") == sample.label
        except (ValueError, AttributeError):
            continue
    return wilson(right, len(samples))
