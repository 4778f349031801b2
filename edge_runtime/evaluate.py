"""Accuracy of one bundle on labeled images, on one or more back ends side by side."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.alphabet import classes_of
from edge_runtime.errors import ImageError, InputError, VerificationError
from edge_runtime.files import sha256_of
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.metrics import Metric, agreement, measure, rank, wilson
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.sources import find_source_images

SCHEMA = 1
_TITLES = {
    "tf-saved-model": "float TensorFlow",
    "tf": "frozen graph",
    "onnx": "ONNX",
    "int8": "int8 (reference)",
    "onnx-int8": "int8 (ONNX Runtime)",
}
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Result:
    """One back end's answers on a set of images.

    classes : int [N];  seconds_per_image : median over batches, the network and scores alone
    """

    backend: str
    integer: bool
    classes: npt.NDArray[np.integer]
    logits: npt.NDArray[np.generic]
    metrics: dict[str, Metric]
    sources: dict[str, Metric]
    seconds_per_image: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Results of several back ends on the same images."""

    bundle: Path
    images: list[LabeledImage]
    results: list[Result]
    skipped: list[str]

    def table(self) -> str:
        """Return the table that `make` ends with."""
        float_one = next((r for r in self.results if not r.integer), None)
        rows = []
        for r in self.results:
            same = agreement(r.classes, float_one.classes) if float_one and r.integer else None
            rows.append(
                [
                    _TITLES.get(r.backend, r.backend),
                    percent(r.metrics["top1_62"]),
                    interval(r.metrics["top1_62"]),
                    percent(r.metrics["top1_36"]),
                    percent(same) if same else "",
                    f"{1e3 * r.seconds_per_image:.2f} ms",
                ]
            )
        headers = [
            "network",
            "accuracy",
            "95 % interval",
            "ignoring case",
            "agrees with float",
            "per image",
        ]
        table = tabulate(
            rows,
            headers=headers,
            tablefmt="simple",
            disable_numparse=True,
            colalign=("left", *["right"] * 5),
        )
        return f"{table}\n\n{self._by_source()}"

    def _by_source(self) -> str:
        n = len(self.images)
        line = f"n = {n:,} images"
        r = next((r for r in self.results if r.integer), self.results[0])
        if len(r.sources) > 1:
            parts = [f"{name} {percent(m)} of {m.n:,}" for name, m in r.sources.items()]
            line += f"; {_TITLES.get(r.backend, r.backend)} by source: {', '.join(parts)}"
        return line

    def as_json(self) -> dict[str, Any]:
        """One back end: its object; several: one object each under "backends", and agreements."""
        common = {
            "schema": SCHEMA,
            "bundle_sha256": sha256_of(self.bundle),
            "n": len(self.images),
            "splits": sorted({image.split for image in self.images} - {""}),
            "skipped": self.skipped,
        }
        objects = {r.backend: _as_json(r) for r in self.results}
        if len(self.results) == 1:
            return common | objects[self.results[0].backend]
        pairs = {
            f"{a.backend} = {b.backend}": agreement(a.classes, b.classes).as_json()
            for i, a in enumerate(self.results)
            for b in self.results[i + 1 :]
        }
        return common | {"backends": objects, "agreement": pairs}


def percent(metric: Metric) -> str:
    """``85.3 %``."""
    return f"{100 * metric.value:.1f} %"


def interval(metric: Metric) -> str:
    """``84.1 to 86.4 %``."""
    return f"{100 * metric.low:.1f} to {100 * metric.high:.1f} %"


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "backend": result.backend,
        "n": len(result.classes),
        "metrics": {name: metric.as_json() for name, metric in result.metrics.items()},
        "top1_by_source": {name: metric.as_json() for name, metric in result.sources.items()},
        "milliseconds_per_image": round(1e3 * result.seconds_per_image, 4),
    }


def evaluate(
    bundle: Path,
    backends: Sequence[str],
    source: Path,
    split: str | None = None,
    model: Path | None = None,
    skip_unreadable: bool = False,
    cache: Path | None = None,
    isa: str | None = None,
) -> Evaluation:
    """Run back ends over every labeled image of a source.

    Parameters
    ----------
    bundle : path of the .egb
    backends : names of `edge_runtime.runners.BACKENDS`, each once
    source : any labeled images; a manifest's ``split`` where one is named
    cache : where archives are unpacked, by default the user's cache folder
    skip_unreadable : count and leave out images that cannot be read, instead of stopping

    Raises
    ------
    InputError
        Anything that cannot be read; a back end named twice.
    VerificationError
        Two integer back ends differ in a logit: the message names the first image and class.
    """
    if len(set(backends)) != len(backends):
        raise InputError("name each back end once")
    if isa and "native" not in backends:
        raise InputError(f"--isa {isa}: only back end native has instruction sets")
    recognizers = [
        (name, Recognizer.open(bundle, name, model, isa if name == "native" else None))
        for name in backends
    ]
    alphabet = recognizers[0][1].bundle.alphabet
    found = find_source_images(source, alphabet, split, cache)
    inputs, images, skipped = _preprocess(found, skip_unreadable)
    labels = np.array(classes_of([i.label for i in images], alphabet))
    results = [_run(name, r, inputs, images, labels) for name, r in recognizers]
    _compare_integers(results, images, alphabet.symbols)
    return Evaluation(bundle, images, results, skipped)


def _preprocess(
    found: Sequence[LabeledImage], skip_unreadable: bool
) -> tuple[npt.NDArray[np.int8], list[LabeledImage], list[str]]:
    inputs, images, skipped = [], [], []
    for image in tqdm(found, desc="read", unit="image", disable=None, leave=False):
        try:
            inputs.append(preprocess(read_gray(image.path)))
            images.append(image)
        except ImageError as error:
            if not skip_unreadable:
                raise
            skipped.append(str(error))
    if not images:
        raise InputError("none of the images can be read")
    return np.stack(inputs), images, skipped


def _run(
    name: str,
    recognizer: Recognizer,
    inputs: npt.NDArray[np.int8],
    images: Sequence[LabeledImage],
    labels: npt.NDArray[np.int64],
) -> Result:
    alphabet = recognizer.bundle.alphabet
    recognizer.scores(inputs[:_BATCH])  # warm-up, so that the first batch is like the others
    logits, probabilities, times = [], [], []
    starts = range(0, len(inputs), _BATCH)
    for k in tqdm(starts, desc=name, unit="batch", disable=None, leave=False):
        batch = inputs[k : k + _BATCH]
        started = time.perf_counter()
        z, p, _ = recognizer.scores(batch)
        times.append((time.perf_counter() - started) / len(batch))
        logits.append(z)
        probabilities.append(p)
    all_logits = np.concatenate(logits)
    ranked = rank(all_logits, 3)
    correct = ranked[:, 0] == labels
    of_source = np.array([image.source for image in images])
    sources = {}
    for source in sorted(set(of_source.tolist())):
        members = correct[of_source == source]
        sources[source] = wilson(int(members.sum()), len(members))
    return Result(
        name,
        recognizer.integer,
        ranked[:, 0],
        all_logits,
        measure(np.concatenate(probabilities), ranked, labels, alphabet),
        sources,
        float(np.median(times)),
    )


def _compare_integers(
    results: Sequence[Result], images: Sequence[LabeledImage], symbols: Sequence[str]
) -> None:
    integer = [r for r in results if r.integer]
    for other in integer[1:]:
        differs = np.argwhere(integer[0].logits != other.logits)
        if len(differs):
            row, column = differs[0]
            raise VerificationError(
                f"{other.backend} and {integer[0].backend} differ on {images[row].path}, "
                f"logit of {symbols[column]!r}: {other.logits[row, column]} and "
                f"{integer[0].logits[row, column]}"
            )
