"""Two evaluations side by side: what changed, and whether it may be chance."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from edge_runtime.errors import InputError
from edge_runtime.metrics import McNemar, Metric, mcnemar, paired_difference
from edge_runtime.report.views import Json

METRICS: Final = {
    "top1_62": "accuracy",
    "top1_36": "ignoring case",
    "top1_merged": "look-alikes as one",
    "top3": "among the first three",
    "macro": "mean of classes",
    "nll": "negative log-likelihood",
    "ece": "calibration error",
}
_AGAIN: Final = "`make evaluate` and `make report` write it anew"
_LISTED: Final = 20  # classes, and confusions, that changed most


@dataclass(frozen=True)
class Side:
    """One network's figures, whichever file they are from.

    correct : bool [N] in the order of the images, where the file has it
    images : hash of the images, where the file has it
    """

    name: str
    path: Path
    network: str
    alphabet: list[str]
    figures: Json
    confusion: dict[tuple[str, str], int]
    correct: npt.NDArray[np.bool_] | None
    images: str | None
    provenance: Json

    def metric(self, name: str) -> Metric:
        """One of its metrics."""
        return Metric(**self.figures["metrics"][name])


@dataclass(frozen=True)
class Comparison:
    """Two sides, and what differs.

    difference, test : of the same images; None where they are others
    classes : (symbol, recall of a, recall of b) that changed most
    confusions : (label, answer, count of a, count of b) that changed most
    """

    a: Side
    b: Side
    difference: Metric | None
    test: McNemar | None
    classes: list[tuple[str, Metric | None, Metric | None]]
    confusions: list[tuple[str, str, int, int]]

    @property
    def verdict(self) -> str:
        """One sentence on which is better."""
        if self.difference is None or self.test is None:
            return (
                "The images are not the same, so differences of images and of networks cannot be "
                "told apart: read the intervals."
            )
        d = self.difference
        if d.low <= 0 <= d.high:
            return f"No difference that {d.n:,} images can show."
        better = self.b.name if d.value > 0 else self.a.name
        return f"{better} is better by {abs(d.value):.2f} points."

    def text(self) -> str:
        """Tables for a terminal."""
        a, b = self.a, self.b
        parts = [
            f"A: {a.name}, {a.network} ({a.path})\nB: {b.name}, {b.network} ({b.path})",
            tabulate(
                [metric_row(title, a.metric(m), b.metric(m)) for m, title in METRICS.items()],
                ("", "A", "95 % interval", "n", "B", "95 % interval", "n", "B - A"),
                tablefmt="simple",
                disable_numparse=True,
                colalign=("left", *["right"] * 7),
            ),
            self._paired(),
        ]
        if self.confusions:
            rows = [(f"{x} as {y}", i, j, f"{j - i:+d}") for x, y, i, j in self.confusions]
            parts.append(
                tabulate(rows, ("confusion", "A", "B", "B - A"), tablefmt="simple", floatfmt="g")
            )
        return "\n\n".join(parts)

    def _paired(self) -> str:
        if self.difference is None or self.test is None:
            return self.verdict
        d, t = self.difference, self.test
        return (
            f"{self.verdict} The same {d.n:,} images: B - A {d.value:+.2f} points (95 %: "
            f"{d.low:+.2f} to {d.high:+.2f}); McNemar's test p = {t.p:.3g} ({t.only_first:,} right "
            f"in A alone, {t.only_second:,} in B alone)"
        )


def compare(first: Path, second: Path) -> Comparison:
    """Put two results side by side; each a report folder, report.json or evaluation.json.

    Raises
    ------
    InputError
        A file cannot be read, or the two have not the same alphabet.
    """
    a, b = read_side(first), read_side(second)
    if a.alphabet != b.alphabet:
        own = sorted(set(a.alphabet) ^ set(b.alphabet))
        why = f"one lacks {' '.join(own[:12])}" if own else "the order differs"
        raise InputError(f"{first} and {second}: cannot be compared, other alphabets ({why})")
    difference = test = None
    if a.images and a.images == b.images and a.correct is not None and b.correct is not None:
        difference, test = paired_difference(b.correct, a.correct), mcnemar(a.correct, b.correct)
    return Comparison(a, b, difference, test, _classes(a, b), _confusions(a, b))


def read_side(path: Path) -> Side:
    """Read a report folder, report.json or evaluation.json."""
    file = path / "report.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; {_AGAIN}") from None
    except (OSError, ValueError):
        raise InputError(f"{file}: cannot be read, or is no JSON; {_AGAIN}") from None
    try:
        return _of_report(found, file) if "networks" in found else _of_evaluation(found, file)
    except (LookupError, AttributeError, TypeError, ValueError):
        raise InputError(
            f"{file}: not a report or an evaluation of this program's form; {_AGAIN}"
        ) from None


def _of_report(report: Json, file: Path) -> Side:
    network = report["summary"]["network"]
    return _side(
        report["bundle"]["name"],
        file,
        report["bundle"]["alphabet"],
        report["networks"][network],
        report["details"][network],
        report["images_sha256"],
        report["provenance"]["evaluation"],
    )


def _of_evaluation(found: Json, file: Path) -> Side:
    """The network whose details are of integers, else the first."""
    networks = found.get("backends") or {found["backend"]: found}
    details = found["details"]
    exact = {row["equals"] for row in found.get("ladder", ()) if row["exact"]}
    network = next((n for n in details if n in exact), [*details][-1])
    bundles = [Path(name).stem for name in found["provenance"]["files"] if name.endswith(".egb")]
    return _side(
        bundles[0] if bundles else file.stem,
        file,
        found["alphabet"],
        networks[network],
        details[network],
        found.get("images_sha256"),
        found["provenance"],
    )


def _side(
    name: str,
    file: Path,
    alphabet: list[str],
    figures: Json,
    details: Json,
    images: str | None,
    provenance: Json,
) -> Side:
    bits = details.get("correct")
    correct = None
    if bits is not None:
        packed = np.frombuffer(base64.b64decode(bits, validate=True), np.uint8)
        correct = np.unpackbits(packed, count=figures["n"]).astype(bool)
    cells = {(row["label"], row["found"]): row["count"] for row in details["confusion"]}
    return Side(
        name, file, figures["backend"], alphabet, figures, cells, correct, images, provenance
    )


def _classes(a: Side, b: Side) -> list[tuple[str, Metric | None, Metric | None]]:
    rows = []
    for symbol in a.alphabet:
        pair = [_recall(side, symbol) for side in (a, b)]
        values = [0.0 if m is None else m.value for m in pair]
        if values[0] != values[1]:
            rows.append((abs(values[1] - values[0]), (symbol, pair[0], pair[1])))
    rows.sort(key=lambda row: -row[0])
    return [row for _, row in rows[:_LISTED]]


def _recall(side: Side, symbol: str) -> Metric | None:
    found: Any = side.figures["per_class"].get(symbol, {}).get("recall")
    return None if found is None else Metric(**found)


def _confusions(a: Side, b: Side) -> list[tuple[str, str, int, int]]:
    pairs = {pair for pair in (*a.confusion, *b.confusion) if pair[0] != pair[1]}
    rows = [(x, y, a.confusion.get((x, y), 0), b.confusion.get((x, y), 0)) for x, y in pairs]
    changed = [row for row in rows if row[2] != row[3]]
    return sorted(changed, key=lambda row: (-abs(row[3] - row[2]), row))[:_LISTED]


def metric_row(title: str, a: Metric, b: Metric) -> list[str]:
    if title == METRICS["nll"]:
        sides = [(f"{m.value:.3f}", f"{m.low:.3f} to {m.high:.3f}", f"{m.n:,}") for m in (a, b)]
        return [title, *sides[0], *sides[1], f"{b.value - a.value:+.3f}"]
    sides = [(m.percent, m.interval, f"{m.n:,}") for m in (a, b)]
    return [title, *sides[0], *sides[1], f"{100 * (b.value - a.value):+.2f}"]
