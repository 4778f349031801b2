"""Measure one bundle, or two, on labeled images, and prove the exactness ladder on every image."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import InputError
from edge_runtime.evaluation.chunks import CHUNK, Arrays, Chunk, Plan, identity, run_chunks
from edge_runtime.evaluation.details import Details, describe
from edge_runtime.evaluation.records import Record, join_pictures, join_records
from edge_runtime.evaluation.results import CONFUSIONS, Evaluation, ModelResults, Result
from edge_runtime.evaluation.roc import curves
from edge_runtime.files import sha256_of
from edge_runtime.gate import GateReport, measure_gate
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.ladder.rungs import Rung
from edge_runtime.metrics import Metric, measure, wilson
from edge_runtime.negatives import Negative, kinds_never_trained, read_negatives
from edge_runtime.per_class import confusions, per_class
from edge_runtime.scores import Millionths
from edge_runtime.sources import find_source_images

_CHARACTERS, _OTHERS = "characters", "others"


@dataclass(frozen=True)
class Request:
    """What is evaluated.

    rungs : of the first model, in the ladder's order
    against : rungs of a second bundle to compare with on the same images; its alphabet may be
        another: labels then are symbols of either (folders SampleNNN count in the first's), and an
        image whose label a model lacks counts as wrong there
    source : any labeled images;  split : of a manifest
    negatives : a ``negatives.csv``, of which ``negatives_split`` measures the gate
    memory : folder that keeps what is done already, so that a killed run goes on; None keeps none
    jobs : processes;  cache : where archives are unpacked
    """

    rungs: tuple[Rung, ...]
    source: Path
    split: str | None = None
    against: tuple[Rung, ...] = ()
    negatives: Path | None = None
    negatives_split: str = "test"
    skip_unreadable: bool = False
    cache: Path | None = None
    memory: Path | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        if not self.rungs:
            raise InputError("name at least one rung")
        if self.jobs < 1:
            raise InputError(f"--jobs {self.jobs}: at least 1")
        first, second = self.rungs[0].bundle, self.against[0].bundle if self.against else None
        if second is not None and first.resolve() == second.resolve():
            raise InputError(f"{second}: is the same bundle; name another to compare with")

    @property
    def models(self) -> tuple[tuple[Rung, ...], ...]:
        """Rungs of the one model, or of both."""
        return (self.rungs, self.against) if self.against else (self.rungs,)


def evaluate(request: Request) -> Evaluation:
    """Run all rungs over every labeled image of a source.

    Raises
    ------
    InputError
        Anything that cannot be read.
    LadderError
        A rung does not hold: the message names the first image, layer and element.
    """
    alphabets = [read_bundle(rungs[0].bundle).alphabet for rungs in request.models]
    together = _together(alphabets[0], alphabets[-1])
    images = find_source_images(request.source, together, request.split, request.cache)
    listed = [] if request.negatives is None else read_negatives(request.negatives)
    others = [one for one in listed if one.split == request.negatives_split]
    if request.negatives is not None and not others:
        raise InputError(
            f"{request.negatives}: lists no image of split {request.negatives_split!r}"
        )
    known = [_with_lacking(alphabet, images) for alphabet in alphabets]
    labels = [
        np.array(classes_of([image.label for image in images], alphabet), np.int32)
        for alphabet, _ in known
    ]
    none = [np.full(len(others), -1, np.int32)] * len(alphabets)
    chunks = [
        *_chunks(_CHARACTERS, [image.path for image in images], labels),
        *_chunks(_OTHERS, [one.path for one in others], none),
    ]
    with _folder(request, chunks) as plan:
        files = run_chunks(plan, chunks, request.jobs)
    seen = [f for chunk, f in zip(chunks, files, strict=True) if chunk.set == _CHARACTERS]
    unseen = [f for chunk, f in zip(chunks, files, strict=True) if chunk.set == _OTHERS]
    gathered = _Gathered(plan, images, labels, seen, others, unseen, kinds_never_trained(listed))
    models = [
        gathered.model(number, rungs, alphabet, lacking)
        for number, (rungs, (alphabet, lacking)) in enumerate(
            zip(request.models, known, strict=True)
        )
    ]
    return Evaluation(
        models[0],
        models[1] if len(models) > 1 else None,
        gathered.kept,
        gathered.skipped,
        _negatives_record(request, gathered),
        digest=gathered.digest(),
    )


def _together(first: Alphabet, second: Alphabet) -> Alphabet:
    """All symbols of both, those of the first in front."""
    return Alphabet((*first.symbols, *(s for s in second.symbols if s not in first)))


def _with_lacking(own: Alphabet, images: Sequence[LabeledImage]) -> tuple[Alphabet, dict[str, int]]:
    """Symbols that a model does not know follow its own, as classes that it never names."""
    counts = Counter(image.label for image in images if image.label not in own)
    lacking = {symbol: counts[symbol] for symbol in sorted(counts)}
    return Alphabet((*own.symbols, *lacking)), lacking


def _chunks(name: str, paths: Sequence[Path], labels: Sequence[Any]) -> Iterator[Chunk]:
    for start in range(0, len(paths), CHUNK):
        part = slice(start, start + CHUNK)
        yield Chunk(name, start, tuple(paths[part]), tuple(each[part] for each in labels))


@contextlib.contextmanager
def _folder(request: Request, chunks: Sequence[Chunk]) -> Iterator[Plan]:
    """Yield the plan with a folder for its files, which goes when all is done."""
    threads = 0 if request.jobs == 1 else 1
    with tempfile.TemporaryDirectory(prefix="edgeglyph-") as temporary:
        plan = Plan(request.models, Path(temporary), request.skip_unreadable, threads)
        if request.memory is None:
            yield plan
            return
        folder = request.memory / identity(plan, chunks)[:16]
        yield Plan(request.models, folder, request.skip_unreadable, threads)
        shutil.rmtree(request.memory, ignore_errors=True)


@dataclass(frozen=True)
class _Gathered:
    """All chunks' files, and what the images are."""

    plan: Plan
    images: list[LabeledImage]
    labels: Sequence[Any]
    files: list[Arrays]
    others: list[Negative]
    other_files: list[Arrays]
    unseen: frozenset[str]

    @property
    def skipped(self) -> list[str]:
        """Why images were left out."""
        every = [*self.files, *self.other_files]
        return [line for file in every for line in json.loads(str(file["skipped"]))]

    @property
    def kept(self) -> list[LabeledImage]:
        """Images that could be read."""
        index = join_pictures("pictures", self.files).index
        return [self.images[i] for i in index]

    def digest(self) -> str:
        """SHA-256 of the preprocessed images and their labels: equal for the same images alone."""
        whole = hashlib.sha256(b"".join(file["digests"].tobytes() for file in self.files))
        whole.update(json.dumps([image.label for image in self.kept]).encode())
        return whole.hexdigest()

    def kept_others(self) -> list[Negative]:
        """Non-characters that could be read."""
        if not self.other_files:
            return []
        return [self.others[i] for i in join_pictures("pictures", self.other_files).index]

    def model(
        self, number: int, rungs: Sequence[Rung], alphabet: Alphabet, lacking: dict[str, int]
    ) -> ModelResults:
        """Results of one model: what is proved equal is measured once."""
        pictures = join_pictures("pictures", self.files)
        if not len(pictures.index):
            raise InputError("none of the images can be read")
        images, labels = self.kept, self.labels[number][pictures.index]
        filled = [file for file in self.files if len(file["pictures/index"])]
        measured: dict[str, Result] = {}
        details: dict[str, Details] = {}
        for rung in self.plan.recorded(number):
            answers = join_records(f"{number}/{rung.name}", filled)
            shown = describe(answers, labels, pictures, images, alphabet)
            p_real, others = answers.p_real.astype(np.int64), self._others(number, rung)
            gate = None
            if others:
                gate = measure_gate(p_real, others, read_bundle(rung.bundle).threshold, self.unseen)
                shown = replace(shown, rejection=curves(p_real, others))
            measured[rung.name] = _result(rung, answers, labels, images, alphabet, gate)
            details[rung.name] = shown
        integer = next((name for name, r in measured.items() if r.integer), None)
        results = []
        for rung in rungs:
            found = measured[rung.name if rung.name in measured else str(integer)]
            results.append(found.of(rung, self._seconds(number, rung, filled)))
        differences = {
            rung.name: self._largest(number, rung, filled) for rung in rungs if not rung.integer
        }
        return ModelResults(rungs[0].bundle, results, lacking, details, differences)

    def _others(self, number: int, rung: Rung) -> dict[str, Millionths]:
        """p_real of the non-characters by kind; empty where none were given."""
        filled = [file for file in self.other_files if len(file["pictures/index"])]
        if not filled:
            return {}
        p_real = join_records(f"{number}/{rung.name}", filled).p_real.astype(np.int64)
        kinds = np.array([one.kind for one in self.kept_others()])
        return {kind: p_real[kinds == kind] for kind in dict.fromkeys(kinds.tolist())}

    def _seconds(self, number: int, rung: Rung, files: Sequence[Arrays]) -> float:
        """Median over the chunks, without the first where there are others: it warms up."""
        values = np.concatenate([file[f"{number}/{rung.name}/seconds"] for file in files])
        return float(np.median(values[1:] if len(values) > 1 else values))

    def _largest(self, number: int, rung: Rung, files: Sequence[Arrays]) -> float:
        return max(float(file[f"{number}/{rung.name}/largest"][0]) for file in files)


def _result(
    rung: Rung,
    answers: Record,
    labels: Any,
    images: Sequence[LabeledImage],
    alphabet: Alphabet,
    gate: GateReport | None,
) -> Result:
    best = answers.best
    correct = best == labels
    of_source = np.array([image.source for image in images])
    sources: dict[str, Metric] = {}
    for source in sorted(set(of_source.tolist())):
        members = correct[of_source == source]
        sources[source] = wilson(int(members.sum()), len(members))
    return Result(
        rung,
        best,
        correct,
        wilson(int(answers.ties.sum()), len(labels)),
        measure(answers.ranked, answers.confidence, answers.own, labels, alphabet),
        sources,
        per_class(best, labels, alphabet),
        confusions(best, labels, alphabet, CONFUSIONS),
        gate,
        0.0,
    )


def _negatives_record(request: Request, gathered: _Gathered) -> dict[str, Any] | None:
    if request.negatives is None:
        return None
    return {
        "sha256": sha256_of(request.negatives),
        "split": request.negatives_split,
        "n": len(gathered.kept_others()),
    }
