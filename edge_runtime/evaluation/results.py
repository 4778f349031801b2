"""What an evaluation found, as the tables that are printed and as JSON."""

import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from edge_runtime import gate
from edge_runtime.bundle import read_bundle
from edge_runtime.evaluation.details import Details
from edge_runtime.files import sha256_of
from edge_runtime.gate import GateReport
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.ladder.compare import TOLERANCE
from edge_runtime.ladder.rungs import SILICON, Rung
from edge_runtime.metrics import McNemar, Metric, agreement, mcnemar, paired_difference
from edge_runtime.per_class import Confusion, PerClass

SCHEMA = 2
CONFUSIONS: Final = 10  # that are listed


@dataclass(frozen=True)
class Result:
    """One rung's answers on a set of images.

    classes : int [N];  correct : bool [N];  ties : share of the images with two largest logits
    confusions : the most frequent mistakes;  gate : where non-characters were given
    seconds_per_image : median over chunks, as it ran here, beside the other rungs
    """

    rung: Rung
    classes: npt.NDArray[np.integer]
    correct: npt.NDArray[np.bool_]
    ties: Metric
    metrics: dict[str, Metric]
    sources: dict[str, Metric]
    per_class: dict[str, PerClass]
    confusions: list[Confusion]
    gate: GateReport | None
    seconds_per_image: float

    @property
    def name(self) -> str:
        """The rung's name."""
        return self.rung.name

    @property
    def integer(self) -> bool:
        """Whether it computes the exact integers."""
        return self.rung.integer

    @property
    def title(self) -> str:
        """What the tables call the rung."""
        return self.rung.title

    def of(self, rung: Rung, seconds_per_image: float) -> "Result":
        """The same answers, of a rung that was proved to give them."""
        return replace(self, rung=rung, seconds_per_image=seconds_per_image)

    def as_json(self) -> dict[str, Any]:
        """Return all figures of this rung."""
        found = {
            "backend": self.name,
            "n": len(self.classes),
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "ties": self.ties.as_json(),
            "top1_by_source": {name: metric.as_json() for name, metric in self.sources.items()},
            "per_class": {symbol: each.as_json() for symbol, each in self.per_class.items()},
            "confusions": [confusion.as_json() for confusion in self.confusions],
            "milliseconds_per_image": round(1e3 * self.seconds_per_image, 4),
        }
        return found if self.gate is None else found | {"gate": self.gate.as_json()}


@dataclass(frozen=True)
class Drop:
    """What the integers cost: float and int8 on the same images.

    points : accuracy of the float network minus that of the integers, in points
    """

    points: Metric
    test: McNemar
    agreement: Metric
    ties: Metric

    def as_json(self) -> dict[str, Any]:
        """Return all four."""
        return {
            "points": self.points.as_json(),
            "mcnemar": self.test.as_json(),
            "agreement": self.agreement.as_json(),
            "ties": self.ties.as_json(),
        }

    def line(self) -> str:
        """One line for people."""
        points = self.points
        return (
            f"float to int8: {points.value:+.2f} points lost (95 %: {points.low:+.2f} to "
            f"{points.high:+.2f}), {self.agreement.percent} agree, {self.ties.percent} ties; "
            f"McNemar's test p = {self.test.p:.3g} ({self.test.only_first:,} images right in float "
            f"alone, {self.test.only_second:,} in int8 alone)"
        )


@dataclass(frozen=True)
class ModelResults:
    """One bundle on the images, on one or more rungs.

    lacking : labels that its alphabet has not, each with its number of images, which count as wrong
    details : of each rung that was measured; those proved equal to it have the same
    differences : largest difference of a logit from the first float rung, by float rung
    """

    bundle: Path
    results: list[Result]
    lacking: dict[str, int]
    details: dict[str, Details]
    differences: dict[str, float]

    def chosen(self) -> Result:
        """The result to show in detail: the first of integers, else the first."""
        return next((r for r in self.results if r.integer), self.results[0])

    @property
    def drop(self) -> Drop | None:
        """Float against integers, where both were run."""
        float_one = next((r for r in self.results if not r.integer), None)
        integer = self.chosen()
        if float_one is None or not integer.integer:
            return None
        return Drop(
            paired_difference(float_one.correct, integer.correct),
            mcnemar(float_one.correct, integer.correct),
            agreement(float_one.classes, integer.classes),
            integer.ties,
        )

    def rows(self, prefix: str) -> list[list[str]]:
        """Rows of the main table."""
        float_one = next((r for r in self.results if not r.integer), None)
        rows = []
        for r in self.results:
            same = agreement(r.classes, float_one.classes) if float_one and r.integer else None
            rows.append(
                [
                    prefix + r.title,
                    r.metrics["top1_62"].percent,
                    r.metrics["top1_62"].interval,
                    r.metrics["top1_36"].percent,
                    same.percent if same else "",
                    f"{1e3 * r.seconds_per_image:.2f} ms",
                ]
            )
        return rows

    def ladder(self) -> list[dict[str, Any]]:
        """What each rung was compared with, and how; empty for a single rung."""
        rows = []
        for r in self.results:
            base = next(b for b in self.results if b.integer == r.integer)
            if base is r:
                continue
            row: dict[str, Any] = {"rung": r.name, "title": r.title, "equals": base.name}
            if r.integer:
                program = r.rung.program is not None
                parts = ["logits", "scores", "preprocessing"] if program else ["logits"]
                row |= {"exact": True, "compared": parts, "largest_difference": 0}
            else:
                difference = float(f"{self.differences[r.name]:.3g}")
                row |= {
                    "exact": False,
                    "compared": ["logits"],
                    "tolerance": TOLERANCE,
                    "largest_difference": difference,
                }
            rows.append(row | {"n": len(r.classes)})
        return rows

    def as_json(self) -> dict[str, Any]:
        """One rung: its object; several: one object each under "backends", and pairs."""
        head: dict[str, Any] = {
            "bundle_sha256": sha256_of(self.bundle),
            "alphabet": list(read_bundle(self.bundle).alphabet.symbols),
        }
        if self.lacking:
            head["labels_lacking"] = self.lacking
        head["details"] = {name: one.as_json() for name, one in self.details.items()}
        objects = {r.name: r.as_json() for r in self.results}
        if len(self.results) == 1:
            return head | objects[self.results[0].name]
        if self.drop is not None:
            head["float_to_int8"] = self.drop.as_json()
        return head | {
            "ladder": self.ladder(),
            "backends": objects,
            "agreement": {
                f"{a.name} = {b.name}": agreement(a.classes, b.classes).as_json()
                for a, b in self._pairs()
            },
            "mcnemar": {name: test.as_json() for name, test in self.tests().items()},
        }

    def _pairs(self) -> list[tuple[Result, Result]]:
        """Every rung with the first float one and with the first integer one."""
        firsts = {id(r) for r in (self.results[0], self.chosen())}
        pairs = itertools.combinations(self.results, 2)
        return [(a, b) for a, b in pairs if {id(a), id(b)} & firsts]

    def tests(self) -> dict[str, McNemar]:
        """McNemar's test of these pairs."""
        return {f"{a.name} / {b.name}": mcnemar(a.correct, b.correct) for a, b in self._pairs()}

    def least_p(self) -> str:
        """A line on the pair of rungs that differs most, empty for a single one."""
        tests = self.tests()
        if not tests:
            return ""
        name, test = min(tests.items(), key=lambda item: item[1].p)
        count = f"of {len(tests)} pairs of networks" if len(tests) > 1 else "of the two networks"
        return f"smallest p {count} (McNemar's test): {test.p:.3g}, {name}"


@dataclass(frozen=True)
class Evaluation:
    """One model, or two, on the same images.

    negatives : of the non-characters that measured the gate: file's hash, split, number
    absent : rungs that could not run here, with the reason
    digest : SHA-256 of what the networks were given, and of the labels, in order
    """

    model: ModelResults
    against: ModelResults | None
    images: list[LabeledImage]
    skipped: list[str]
    negatives: dict[str, Any] | None = None
    absent: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    def table(self) -> str:
        """Return the tables that `make` ends with."""
        parts = [self._main_table(), self._notes(), *self._gate_tables()]
        return "\n\n".join(part for part in parts if part)

    def tests(self) -> dict[str, McNemar]:
        """McNemar's test of the two models, by back end; empty for a single model."""
        if self.against is None:
            return {}
        pairs = zip(self.model.results, self.against.results, strict=True)
        return {a.name: mcnemar(a.correct, b.correct) for a, b in pairs}

    def as_json(self) -> dict[str, Any]:
        """Return all figures: the first model's own at the top, the other's under "against"."""
        found = {
            "schema": SCHEMA,
            "n": len(self.images),
            "splits": sorted({image.split for image in self.images} - {""}),
            "skipped": self.skipped,
            "images_sha256": self.digest,
        }
        if self.negatives:
            found["negatives"] = self.negatives
        found |= self.model.as_json()
        found["not_verified"] = self.absent | {SILICON: "no board was reached"}
        if self.against is not None:
            tests = {backend: test.as_json() for backend, test in self.tests().items()}
            found["against"] = self.against.as_json() | {"mcnemar_of_models": tests}
        return found

    def _models(self) -> dict[str, ModelResults]:
        """Models by the name that tells them apart; a single one needs none."""
        if self.against is None:
            return {"": self.model}
        first, second = self.model.bundle, self.against.bundle
        names = (first.name, second.name) if first.name != second.name else (first, second)
        return {f"{names[0]}": self.model, f"{names[1]}": self.against}

    def ladder_text(self) -> str:
        """One line for each rung that holds, and what was not verified."""
        rows = self.model.ladder()
        lines = [f"exactness ladder, {len(self.images):,} images:"] if rows else []
        compared = {row["equals"] for row in rows}
        for r in self.model.results:
            row = next((row for row in rows if row["rung"] == r.name), None)
            if row is None:
                others = "the others are compared with it" if r.name in compared else "alone"
                lines.append(f"  \u2713 {r.title}: ran; {others}")
                continue
            how = (
                f"identical {', '.join(row['compared'])}"
                if row["exact"]
                else f"within {row['largest_difference']:.1e} (allowed {row['tolerance']:.0e})"
            )
            lines.append(f"  \u2713 {row['title']} = {row['equals']}: {how}")
        lines += [f"not verified here: {name} ({why})" for name, why in self.absent.items()]
        return "\n".join([*lines, f"not verified here: {SILICON}"])

    def _main_table(self) -> str:
        rows = [
            row
            for name, model in self._models().items()
            for row in model.rows(f"{name}: " if name else "")
        ]
        headers = [
            "network",
            "accuracy",
            "95 % interval",
            "ignoring case",
            "agrees with float",
            "per image",
        ]
        return tabulate(
            rows,
            headers=headers,
            tablefmt="simple",
            disable_numparse=True,
            colalign=("left", *["right"] * 5),
        )

    def _notes(self) -> str:
        drop = self.model.drop
        lines = [self._by_source(), drop.line() if drop else self.model.least_p()]
        if self.against is not None:
            first, second = self._models()
            for backend, test in self.tests().items():
                lines.append(
                    f"{backend}: {first} is right where {second} is wrong on "
                    f"{test.only_first:,} images, the other way on {test.only_second:,}; "
                    f"p = {test.p:.3g} (McNemar's test)"
                )
        for name, model in self._models().items():
            if model.lacking:
                lines.append(
                    f"{name}: {sum(model.lacking.values()):,} images count as wrong, because its "
                    f"alphabet lacks their labels: {' '.join(model.lacking)}"
                )
        return "\n".join(line for line in lines if line)

    def _by_source(self) -> str:
        line = f"n = {len(self.images):,} images"
        r = self.model.chosen()
        if len(r.sources) > 1:
            parts = [f"{name} {m.percent} of {m.n:,}" for name, m in r.sources.items()]
            line += f"; {r.title} by source: {', '.join(parts)}"
        return line

    def _gate_tables(self) -> list[str]:
        parts = []
        for name, model in self._models().items():
            reports = {r.title: r.gate for r in model.results if r.gate is not None}
            if reports:
                shown = model.chosen()
                report = reports[shown.title]
                of_model = f" of {name}" if name else ""
                parts.append(f"{gate.headline(report)}{of_model}:\n\n{gate.summary_table(reports)}")
                parts.append(f"{shown.title}{of_model}:\n\n{report.table()}")
        return parts
