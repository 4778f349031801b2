"""Held-out images read by the start, by a network trained from nothing and by the adapted one."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.labeled_images import LabeledImage, read_manifest, select_split
from edge_runtime.metrics import McNemar, mcnemar, rank, wilson
from edge_runtime.recognizer import Recognizer
from semi_supervised.data import read_alphabet
from semi_supervised.splits import DRAWN
from semi_supervised.training.answers import Inputs, in_batches, logits_of
from semi_supervised.training.checkpoints import load_best
from semi_supervised.training.images import load_evaluation
from semi_supervised.training.start import Start, read_start

SIGNIFICANT = 0.05  # of p: below it a difference is called one

Record = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What one network says of every held-out image.

    answers : a symbol each;  correct : bool [N]
    test : of the adapted network against it, where that is worth telling
    """

    key: str
    name: str
    answers: list[str]
    correct: npt.NDArray[np.bool_]
    test: McNemar | None = None

    def as_json(self) -> Record:
        """Return the figures."""
        found = wilson(int(self.correct.sum()), len(self.correct)).as_json()
        return {"name": self.name, "accuracy": found} | (
            {"mcnemar_adapted_against_it": self.test.as_json()} if self.test else {}
        )


@dataclass(frozen=True)
class Gain:
    """Every network's reading of the held-out images.

    images : with their labels, all of the split "validation"
    known : the symbols that the start knows
    readings : "start"; "start_own", the start with its answers limited to the user's symbols, where
        it knows two of them; "nothing", the network trained from random weights, if one was;
        "adapted"; "int8", the adapted network's bundle
    record : hashes of what was read
    """

    images: list[LabeledImage]
    alphabet: Alphabet
    start_name: str
    known: tuple[str, ...]
    readings: dict[str, Reading]
    record: Record

    @property
    def adapted(self) -> Reading:
        """The adapted float network's reading."""
        return self.readings["adapted"]

    @property
    def start(self) -> Reading:
        """The start's reading, limited to the user's symbols where it knows two of them."""
        return self.readings.get("start_own") or self.readings["start"]

    @property
    def is_drawn(self) -> bool:
        """Whether no crop was held out, so that characters drawn from fonts measure."""
        return all(image.source == DRAWN for image in self.images)

    def table(self) -> str:
        """The table and the sentences that the stage prints."""
        rows = []
        for reading in self.readings.values():
            accuracy = wilson(int(reading.correct.sum()), len(reading.correct))
            p = f"{reading.test.p:.2g}" if reading.test else ""
            rows.append([reading.name, accuracy.percent, accuracy.interval, p])
        what = "drawn" if self.is_drawn else "held-out"
        headers = [f"{len(self.images):,} {what} characters", "accuracy", "95 % interval", "p"]
        table = tabulate(
            rows,
            headers=headers,
            tablefmt="simple",
            disable_numparse=True,
            colalign=("left", "right", "right", "right"),
        )
        return "\n".join([table, "", *self.sentences()])

    def sentences(self) -> list[str]:
        """What the figures mean, in words."""
        found = []
        if self.is_drawn:
            found.append(
                "No labeled crop was held out: these characters are drawn from fonts and say "
                "little about your crops. Label two or more of each symbol to measure on them."
            )
        found.append(_verdict(self.start))
        if "nothing" in self.readings:
            found.append(_verdict(self.readings["nothing"]))
        new = [s for s in self.alphabet.symbols if s not in self.known]
        if new:
            found.append(
                f"{self.start_name} does not know {len(new)} of the {len(self.alphabet)} symbols: "
                f"{_listed(new)}."
            )
        there = {image.label for image in self.images}
        without = [s for s in self.alphabet.symbols if s not in there]
        if without:
            found.append(f"Not measured, for want of a second labeled crop: {_listed(without)}.")
        return [*found, _loss(self.adapted, self.readings["int8"])]

    def as_json(self) -> Record:
        """All that adapt.json holds."""
        there = Counter(image.label for image in self.images)
        return self.record | {
            "alphabet": list(self.alphabet.symbols),
            "start": self.start_name,
            "known_to_the_start": list(self.known),
            "held_out": {
                "n": len(self.images),
                "drawn": self.is_drawn,
                "per_class": {s: there[s] for s in self.alphabet.symbols},
            },
            "networks": {key: reading.as_json() for key, reading in self.readings.items()},
            "in_words": self.sentences(),
        }


def measure_gain(
    manifest: Path, adapted: Path, bundle: Path, start: Path, nothing: Path | None = None
) -> Gain:
    """Let every network read the manifest's split "validation".

    Parameters
    ----------
    adapted, nothing : folders of trainings, of which ``nothing`` started from random weights
    bundle : of the adapted network
    start : model folder or weights that the adapted training began with

    Raises
    ------
    InputError
        Something is missing, damaged, or not made from these weights.
    """
    alphabet = read_alphabet(manifest)
    images = select_split(manifest, read_manifest(manifest, alphabet), "validation")
    inputs = load_evaluation(manifest, alphabet, "validation").inputs
    first, labels = read_start(start), [image.label for image in images]
    readings = [*_read_start(first, inputs, labels, alphabet)]
    sources = {"manifest": manifest, "start": first.path, "bundle": bundle}
    trained = {"nothing": nothing, "adapted": adapted}
    for key, folder in trained.items():
        if folder is not None:
            weights = folder / "best.npz"
            network, own, _ = load_best(weights)
            if own != alphabet:
                raise InputError(f"{weights}: has another alphabet than {manifest}")
            name = "one trained from nothing" if key == "nothing" else "adapted"
            logits = logits_of(network, inputs)
            readings.append(_reading(key, name, logits, alphabet.symbols, labels))
            sources[key] = weights
    recognizer = Recognizer.open(bundle, "int8")
    if recognizer.bundle.alphabet != alphabet:
        raise InputError(f"{bundle}: has another alphabet than {manifest}")
    logits = np.concatenate([recognizer.scores(part)[0] for part in in_batches(inputs)])
    readings.append(_reading("int8", "adapted, int8", logits, alphabet.symbols, labels))
    record = {"schema": 1} | {f"{key}_sha256": sha256_of(path) for key, path in sources.items()}
    return Gain(images, alphabet, first.name, first.shared(alphabet), _tested(readings), record)


def _read_start(
    start: Start, inputs: Inputs, labels: list[str], alphabet: Alphabet
) -> list[Reading]:
    """The start as it is, and with its answers limited to the symbols that both know."""
    logits = logits_of(start.network, inputs)
    readings = [_reading("start", f"{start.name} as it is", logits, start.alphabet.symbols, labels)]
    shared = start.shared(alphabet)
    if len(shared) > 1:
        limited = logits[:, classes_of(shared, start.alphabet)]
        name = f"{start.name} limited to your symbols"
        readings.append(_reading("start_own", name, limited, shared, labels))
    return readings


def _reading(
    key: str,
    name: str,
    logits: npt.NDArray[Any],
    symbols: tuple[str, ...],
    labels: list[str],
) -> Reading:
    answers = [symbols[c] for c in rank(logits, 1)[:, 0]]
    correct = np.array([answer == label for answer, label in zip(answers, labels, strict=True)])
    return Reading(key, name, answers, correct)


def _tested(readings: list[Reading]) -> dict[str, Reading]:
    """Readings by key, those of float networks with the test of the adapted one against them."""
    adapted = next(r for r in readings if r.key == "adapted")
    found = {}
    for r in readings:
        test = None if r.key == "adapted" else mcnemar(adapted.correct, r.correct)
        found[r.key] = Reading(r.key, r.name, r.answers, r.correct, test)
    return found


def _verdict(other: Reading) -> str:
    """One sentence on the adapted network against another one."""
    assert other.test is not None
    test = other.test
    more = test.only_first - test.only_second
    if not more:
        return f"Adapted reads as many of the {test.n:,} as {other.name}: no gain was measured."
    told = (
        f"Adapted reads {abs(more):,} {'more' if more > 0 else 'fewer'} of the {test.n:,} than "
        f"{other.name}"
    )
    p = f"p = {test.p:.2g}, McNemar's test"
    if test.p >= SIGNIFICANT:
        return f"{told}; that may be chance ({p}): more held-out labels would tell."
    return f"{told} ({p})." + ("" if more > 0 else " Better keep the other.")


def _loss(adapted: Reading, int8: Reading) -> str:
    pairs = list(zip(adapted.answers, int8.answers, strict=True))
    same = wilson(sum(a == b for a, b in pairs), len(pairs))
    lost = int(adapted.correct.sum()) - int(int8.correct.sum())
    what = f"loses {lost:,}" if lost > 0 else f"gains {-lost:,}" if lost else "loses none"
    return f"int8 {what} of the {same.n:,} and agrees with float on {same.percent}."


def _listed(symbols: list[str], shown: int = 40) -> str:
    return " ".join(symbols[:shown]) + (" …" if len(symbols) > shown else "")


def changes(gain: Gain, output: Path) -> list[Record]:
    """Images that adapting mended or broke, and those that are wrong still, a row for each."""
    rows = []
    for k, image in enumerate(gain.images):
        before, after = gain.start.answers[k], gain.adapted.answers[k]
        if before == after and gain.adapted.correct[k]:
            continue
        kind = "wrong"
        if gain.adapted.correct[k]:
            kind = "mended"
        elif gain.start.correct[k]:
            kind = "broken"
        rows.append(
            {
                "file": Path(os.path.relpath(image.path, output)).as_posix(),
                "label": image.label,
                "start": before,
                "adapted": after,
                "kind": kind,
            }
        )
    return rows
