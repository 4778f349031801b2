"""Read the project's sample crops with a bundle, and show how that went: ``make``'s first step.

A table on standard output, and a picture. The samples are drawn (scripts/draw_samples.py), one of
each class, named by what they show; two show no single character.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from edge_runtime.annotate import Cell, thumbnail, write_sheet
from edge_runtime.console import run_command
from edge_runtime.errors import ImageError
from edge_runtime.lines import percent
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import Prediction

SAMPLES = Path(__file__).resolve().parents[1] / "edge_runtime/samples"
_ROWS = 16
# What became of a sample: mark in the table, color on the sheet.
_MARKS = {
    "right": ("✓", "good"),
    "look-alike": ("≈", "doubtful"),
    "wrong": ("✗", "bad"),
    "other": (" ", "plain"),
}


@dataclass(frozen=True)
class Reading:
    """A sample, what it shows ("" if no character of the alphabet), and what was read."""

    path: Path
    shown: str
    read: Prediction

    @property
    def outcome(self) -> str:
        """``right``, ``look-alike`` (or another case), ``wrong``; ``other`` if no character."""
        if not self.shown:
            return "other"
        if self.read.label == self.shown:
            return "right"
        alike = self.shown in (symbol for symbol, _ in self.read.alike)
        case = self.shown.casefold() == self.read.label.casefold()
        return "look-alike" if alike or case else "wrong"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="first_look", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT.png")
    return run_command(_run, parser, arguments)


def _run(options: argparse.Namespace) -> int:
    recognizer = Recognizer.open(options.bundle)
    started = time.perf_counter()
    readings = read_samples(recognizer)
    took = time.perf_counter() - started
    name = recognizer.bundle.name
    right, alike, wrong = (
        sum(r.outcome == outcome for r in readings) for outcome in ("right", "look-alike", "wrong")
    )
    summary = f"{right} of {right + alike + wrong} right, {alike} look-alikes, {wrong} wrong"
    write_sheet(options.output, [_cell(r) for r in readings], 11, f"{name}, int8: {summary}")
    print(f"{name} reads {len(readings)} sample crops with the integers that a board computes:\n")
    print(table(readings))
    print(f"\n{summary}, in {took:.1f} s (≈ is a look-alike or the other case).")
    print(f"The crops with their answers: {options.output}")
    return 0


def read_samples(recognizer: Recognizer) -> list[Reading]:
    """Read all samples: 0-9, A-Z, a-z, then those that show no single character."""
    alphabet = recognizer.bundle.alphabet
    readings = []
    for path, answer in recognizer.classify_files(sorted(SAMPLES.glob("*.png"))):
        if isinstance(answer, ImageError):
            raise answer
        kind, _, shown = path.stem.partition("_")
        readings.append(Reading(path, "" if kind == "other" else shown, answer))
    known = {symbol: number for number, symbol in enumerate(alphabet.symbols)}
    return sorted(readings, key=lambda r: known.get(r.shown, len(known)))


def table(readings: list[Reading]) -> str:
    """Columns of sixteen: what is shown, what was read, how probable."""
    rows: list[list[str]] = [[] for _ in range(_ROWS)]
    for number, r in enumerate(readings):
        said = f"{r.shown or '–'} → {r.read.label}"
        rows[number % _ROWS] += [said, percent(r.read.confidence), _MARKS[r.outcome][0]]
    headers = ["shown", "", ""] * (len(rows[0]) // 3)
    align = ("left", "right", "left") * (len(headers) // 3)
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)


def _cell(r: Reading) -> Cell:
    note = {
        "right": "right",
        "look-alike": f"shows {r.shown}",
        "wrong": f"shows {r.shown}",
        "other": f"p_real {percent(r.read.p_real)}",
    }[r.outcome]
    tone = _MARKS[r.outcome][1]
    return Cell(thumbnail(r.path), r.read.label, percent(r.read.confidence), note, tone)


if __name__ == "__main__":
    sys.exit(main())
