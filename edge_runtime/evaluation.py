"""What an evaluation found, as the tables that are printed and as JSON."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from edge_runtime import gate
from edge_runtime.files import sha256_of
from edge_runtime.gate import GateReport
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.metrics import McNemar, Metric, agreement, mcnemar
from edge_runtime.per_class import Confusion, PerClass

SCHEMA = 1
_TITLES = {
    "tf-saved-model": "float TensorFlow",
    "tf": "frozen graph",
    "onnx": "ONNX",
    "int8": "int8 (reference)",
    "onnx-int8": "int8 (ONNX Runtime)",
}


@dataclass(frozen=True)
class Result:
    """One back end's answers on a set of images.

    classes : int [N];  correct : bool [N];  logits : [N, classes]
    confusions : the most frequent mistakes;  gate : where non-characters were given
    seconds_per_image : median over batches, the network and scores alone
    """

    backend: str
    integer: bool
    classes: npt.NDArray[np.integer]
    correct: npt.NDArray[np.bool_]
    logits: npt.NDArray[np.generic]
    metrics: dict[str, Metric]
    sources: dict[str, Metric]
    per_class: dict[str, PerClass]
    confusions: list[Confusion]
    gate: GateReport | None
    seconds_per_image: float

    @property
    def title(self) -> str:
        """What the tables call the back end."""
        return _TITLES.get(self.backend, self.backend)

    def as_json(self) -> dict[str, Any]:
        """Return all figures of this back end."""
        found = {
            "backend": self.backend,
            "n": len(self.classes),
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "top1_by_source": {name: metric.as_json() for name, metric in self.sources.items()},
            "per_class": {symbol: each.as_json() for symbol, each in self.per_class.items()},
            "confusions": [confusion.as_json() for confusion in self.confusions],
            "milliseconds_per_image": round(1e3 * self.seconds_per_image, 4),
        }
        return found if self.gate is None else found | {"gate": self.gate.as_json()}


@dataclass(frozen=True)
class ModelResults:
    """One bundle on the images, on one or more back ends.

    lacking : labels that its alphabet has not, each with its number of images, which count as wrong
    """

    bundle: Path
    results: list[Result]
    lacking: dict[str, int]

    def chosen(self) -> Result:
        """The result to show in detail: the first of integers, else the first."""
        return next((r for r in self.results if r.integer), self.results[0])

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

    def as_json(self) -> dict[str, Any]:
        """One back end: its object; several: one object each under "backends", and each pair."""
        head: dict[str, Any] = {"bundle_sha256": sha256_of(self.bundle)}
        if self.lacking:
            head["labels_lacking"] = self.lacking
        objects = {r.backend: r.as_json() for r in self.results}
        if len(self.results) == 1:
            return head | objects[self.results[0].backend]
        return head | {
            "backends": objects,
            "agreement": {
                f"{a.backend} = {b.backend}": agreement(a.classes, b.classes).as_json()
                for a, b in itertools.combinations(self.results, 2)
            },
            "mcnemar": {name: test.as_json() for name, test in self.tests().items()},
        }

    def tests(self) -> dict[str, McNemar]:
        """McNemar's test of every pair of back ends."""
        return {
            f"{a.backend} / {b.backend}": mcnemar(a.correct, b.correct)
            for a, b in itertools.combinations(self.results, 2)
        }

    def least_p(self) -> str:
        """A line on the pair of back ends that differs most, empty for a single one."""
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
    """

    model: ModelResults
    against: ModelResults | None
    images: list[LabeledImage]
    skipped: list[str]
    negatives: dict[str, Any] | None = None

    def table(self) -> str:
        """Return the tables that `make` ends with."""
        parts = [self._main_table(), self._notes(), *self._gate_tables()]
        return "\n\n".join(part for part in parts if part)

    def tests(self) -> dict[str, McNemar]:
        """McNemar's test of the two models, by back end; empty for a single model."""
        if self.against is None:
            return {}
        pairs = zip(self.model.results, self.against.results, strict=True)
        return {a.backend: mcnemar(a.correct, b.correct) for a, b in pairs}

    def as_json(self) -> dict[str, Any]:
        """Return all figures: the first model's own at the top, the other's under "against"."""
        found = {
            "schema": SCHEMA,
            "n": len(self.images),
            "splits": sorted({image.split for image in self.images} - {""}),
            "skipped": self.skipped,
        }
        if self.negatives:
            found["negatives"] = self.negatives
        found |= self.model.as_json()
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
        lines = [self._by_source(), self.model.least_p()]
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
