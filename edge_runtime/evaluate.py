"""Measure one bundle, or two, on labeled images, on one or more back ends side by side."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.errors import ImageError, InputError, VerificationError
from edge_runtime.evaluation import Evaluation, ModelResults, Result
from edge_runtime.files import sha256_of
from edge_runtime.gate import GateReport, measure_gate
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.layers import Int8
from edge_runtime.metrics import measure, rank, wilson
from edge_runtime.negatives import Negative, kinds_never_trained, read_negatives
from edge_runtime.per_class import confusions, per_class
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import Logits
from edge_runtime.scores import Millionths
from edge_runtime.sources import find_source_images

_BATCH = 64
_CONFUSIONS = 10

_Image = TypeVar("_Image", LabeledImage, Negative)


@dataclass(frozen=True)
class _Characters:
    """Images with labels, ready for any model: int8 inputs [N, 32, 32, 1]."""

    inputs: Int8
    images: list[LabeledImage]


@dataclass(frozen=True)
class _Others:
    """Non-characters: int8 inputs [n, 32, 32, 1] of each kind, and the kinds never trained on."""

    inputs: dict[str, Int8]
    unseen: frozenset[str]
    record: dict[str, Any]


def evaluate(
    bundle: Path,
    backends: Sequence[str],
    source: Path,
    split: str | None = None,
    model: Path | None = None,
    skip_unreadable: bool = False,
    cache: Path | None = None,
    *,
    isa: str | None = None,
    against: Path | None = None,
    negatives: Path | None = None,
    negatives_split: str = "test",
) -> Evaluation:
    """Run back ends over every labeled image of a source.

    Parameters
    ----------
    bundle : path of the .egb
    backends : names of `edge_runtime.runners.BACKENDS`, each once
    source : any labeled images; a manifest's ``split`` where one is named
    model : of ``bundle`` for a back end that needs one, where it is not beside it
    cache : where archives are unpacked, by default the user's cache folder
    skip_unreadable : count and leave out images that cannot be read, instead of stopping
    against : a second bundle to compare with on the same images and back ends; its alphabet may be
        another: labels then are symbols of either (folders SampleNNN count in the first's), and
        an image whose label a model lacks counts as wrong there
    negatives : a ``negatives.csv``, of which ``negatives_split`` measures the gate

    Raises
    ------
    InputError
        Anything that cannot be read; a back end named twice.
    VerificationError
        Two integer back ends of a bundle differ in a logit: the message names the first image and
        class.
    """
    if len(set(backends)) != len(backends):
        raise InputError("name each back end once")
    if isa and "native" not in backends:
        raise InputError(f"--isa {isa}: only back end native has instruction sets")
    if against is not None and against.resolve() == bundle.resolve():
        raise InputError(f"{against}: is the same bundle; name another to compare with")
    isas = [isa if name == "native" else None for name in backends]
    opened = {
        path: [
            Recognizer.open(path, name, given, chosen)
            for name, chosen in zip(backends, isas, strict=True)
        ]
        for path, given in ((bundle, model), (against, None))
        if path is not None
    }
    alphabets = [recognizers[0].bundle.alphabet for recognizers in opened.values()]
    found = find_source_images(source, _together(alphabets[0], alphabets[-1]), split, cache)
    inputs, images, skipped = _preprocess(found, skip_unreadable)
    others = None
    if negatives is not None:
        others, unreadable = _read_others(negatives, negatives_split, skip_unreadable)
        skipped += unreadable
    characters = _Characters(inputs, images)
    models = [
        _measure_model(path, dict(zip(backends, recognizers, strict=True)), characters, others)
        for path, recognizers in opened.items()
    ]
    second = models[1] if len(models) > 1 else None
    return Evaluation(models[0], second, images, skipped, others.record if others else None)


def _together(first: Alphabet, second: Alphabet) -> Alphabet:
    """All symbols of both, those of the first in front."""
    return Alphabet((*first.symbols, *(s for s in second.symbols if s not in first)))


def _preprocess(
    found: Sequence[_Image], skip_unreadable: bool
) -> tuple[Int8, list[_Image], list[str]]:
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


def _read_others(path: Path, split: str, skip_unreadable: bool) -> tuple[_Others, list[str]]:
    listed = read_negatives(path)
    chosen = [negative for negative in listed if negative.split == split]
    if not chosen:
        raise InputError(f"{path}: lists no image of split {split!r}")
    inputs, images, skipped = _preprocess(chosen, skip_unreadable)
    kinds = np.array([image.kind for image in images])
    of_kind = {kind: inputs[kinds == kind] for kind in dict.fromkeys(kinds.tolist())}
    record = {"sha256": sha256_of(path), "split": split, "n": len(images)}
    return _Others(of_kind, kinds_never_trained(listed), record), skipped


def _measure_model(
    path: Path,
    recognizers: dict[str, Recognizer],
    characters: _Characters,
    others: _Others | None,
) -> ModelResults:
    own = next(iter(recognizers.values())).bundle.alphabet
    symbols = [image.label for image in characters.images]
    lacking = Counter(sorted(symbol for symbol in symbols if symbol not in own))
    # Symbols that this model does not know follow its own, as classes that it never names.
    alphabet = Alphabet((*own.symbols, *lacking))
    labels = np.array(classes_of(symbols, alphabet))
    results = [
        _run(name, recognizer, characters, labels, alphabet, others)
        for name, recognizer in recognizers.items()
    ]
    _compare_integers(results, characters.images, own.symbols)
    return ModelResults(path, results, dict(lacking))


def _run(
    name: str,
    recognizer: Recognizer,
    characters: _Characters,
    labels: npt.NDArray[np.int64],
    alphabet: Alphabet,
    others: _Others | None,
) -> Result:
    recognizer.scores(characters.inputs[:_BATCH])  # warm-up: the first batch is like the others
    logits, probabilities, p_real, seconds = _answers(recognizer, characters.inputs, name)
    ranked = rank(logits, 3)
    best = ranked[:, 0]
    correct = best == labels
    of_source = np.array([image.source for image in characters.images])
    sources = {}
    for source in sorted(set(of_source.tolist())):
        members = correct[of_source == source]
        sources[source] = wilson(int(members.sum()), len(members))
    return Result(
        name,
        recognizer.integer,
        best,
        correct,
        logits,
        measure(probabilities, ranked, labels, alphabet),
        sources,
        per_class(best, labels, alphabet),
        confusions(best, labels, alphabet, _CONFUSIONS),
        None if others is None else _measure_gate(recognizer, p_real, others, name),
        seconds,
    )


def _answers(
    recognizer: Recognizer, inputs: Int8, name: str
) -> tuple[Logits, Millionths, Millionths, float]:
    """Logits, probabilities and p_real of all inputs, and the median seconds for one."""
    answers, times = [], []
    starts = range(0, len(inputs), _BATCH)
    for k in tqdm(starts, desc=name, unit="batch", disable=None, leave=False):
        batch = inputs[k : k + _BATCH]
        started = time.perf_counter()
        answers.append(recognizer.scores(batch))
        times.append((time.perf_counter() - started) / len(batch))
    logits, probabilities, p_real = (np.concatenate(part) for part in zip(*answers, strict=True))
    return logits, probabilities, p_real, float(np.median(times))


def _measure_gate(
    recognizer: Recognizer, characters: Millionths, others: _Others, name: str
) -> GateReport:
    p_real = {
        kind: _answers(recognizer, inputs, f"{name}, {kind}")[2]
        for kind, inputs in others.inputs.items()
    }
    return measure_gate(characters, p_real, recognizer.bundle.threshold, others.unseen)


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
