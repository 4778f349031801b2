"""Compare a rung with the one that it must equal; name the first thing that differs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.errors import VerificationError
from edge_runtime.ladder.engines import Answers, Batch, Engine, Line
from edge_runtime.ladder.rungs import Rung
from edge_runtime.scores import Prediction, predictions
from edge_runtime.trace import Trace, first_difference

TOLERANCE: Final = 1e-4  # between float logits
# Between a layer's float values, as a share of its largest: rounding makes some 1e-6, and what is
# wrong with one channel of it may be little more by then.
_TOLERANCE_OF_LAYERS: Final = 1e-5

_PREPROCESSING, _SCORES, _LOGITS = "preprocessing", "scores", "logits"


@dataclass(frozen=True)
class Difference:
    """Where a rung first differs from the one that it must equal.

    layer : a layer's name, or "preprocessing", "logits", "scores"
    element : which of its values;  found, wanted : this rung's and the other's
    look_at : where to go on
    """

    rung: str
    base: str
    image: str
    layer: str
    element: str
    found: str
    wanted: str
    look_at: str

    def __str__(self) -> str:
        """One line of it all."""
        return (
            f"rung {self.rung} differs from {self.base} on {self.image}: layer {self.layer}, "
            f"{self.element}: {self.found}, not {self.wanted}; look at {self.look_at}"
        )


class LadderError(VerificationError):
    """A rung does not hold; ``difference`` says where."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference)
        self.difference = difference


@dataclass
class Ladder:
    """Compares rungs batch by batch.

    rungs, engines : in the ladder's order; the first float and the first integer rung are what the
        others of their kind must equal
    largest : largest difference of a logit so far, of each float rung
    seconds : for one image of the last batch, by rung
    """

    rungs: Sequence[Rung]
    engines: Sequence[Engine]
    largest: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, batch: Batch) -> dict[str, Answers]:
        """Answers of all rungs; raises `LadderError` where one does not hold."""
        bases: dict[bool, tuple[Rung, Engine, Answers]] = {}
        found = {}
        for rung, engine in zip(self.rungs, self.engines, strict=True):
            started = time.perf_counter()
            answers = engine.answer(batch)
            self.seconds[rung.name] = (time.perf_counter() - started) / len(batch.paths)
            own = rung, engine, answers
            base = bases.setdefault(rung.integer, own)
            if rung.integer:
                self._preprocessing(own, batch)
                self._integers(own, base, batch)
                _scores(own, batch)
            else:
                self._floats(own, base, batch)
            found[rung.name] = answers
        return found

    def _preprocessing(self, own: tuple[Rung, Engine, Answers], batch: Batch) -> None:
        rung, _, answers = own
        if answers.inputs is None:
            return
        at = first_difference(answers.inputs, batch.inputs)
        if at is not None:
            raise LadderError(
                Difference(
                    rung.name, "Python's preprocessing", str(batch.paths[at[0]]), _PREPROCESSING,
                    f"row {at[1]}, column {at[2]}",
                    *_values(answers.inputs, batch.inputs, at),
                    "docs/preprocessing.md (gray, area resize, contrast), edge_runtime/cpp/src/"
                    "preprocess.cpp, and whether the program is of this release",
                )
            )  # fmt: skip

    def _integers(
        self,
        own: tuple[Rung, Engine, Answers],
        base: tuple[Rung, Engine, Answers],
        batch: Batch,
    ) -> None:
        at = first_difference(own[2].logits, base[2].logits)
        if at is not None:
            self._locate(own, base, batch, at, 0.0)

    def _floats(
        self,
        own: tuple[Rung, Engine, Answers],
        base: tuple[Rung, Engine, Answers],
        batch: Batch,
    ) -> None:
        a, b = own[2].logits, base[2].logits
        at = first_difference(a, b, TOLERANCE)
        if at is not None:
            self._locate(own, base, batch, at, _TOLERANCE_OF_LAYERS)
        largest = float(np.abs(a.astype(np.float64) - b).max())
        self.largest[own[0].name] = max(self.largest.get(own[0].name, 0.0), largest)

    def _locate(
        self,
        own: tuple[Rung, Engine, Answers],
        base: tuple[Rung, Engine, Answers],
        batch: Batch,
        at: tuple[int, ...],
        tolerance: float,
    ) -> None:
        """Raise the error about logit ``at``, naming the first layer that differs."""
        rung, engine, answers = own
        one = Batch([batch.paths[at[0]]], batch.inputs[at[0] : at[0] + 1])
        wanted_trace = base[1].trace(one, {})
        layer = _first_layer(engine.trace(one, wanted_trace), wanted_trace, tolerance)
        symbols = engine.bundle.alphabet.symbols
        if layer is None:
            values = _values(answers.logits, base[2].logits, at)
            layer = (_LOGITS, f"of {symbols[at[1]]!r}", *values)
        raise LadderError(
            Difference(rung.name, base[0].name, str(one.paths[0]), *layer, _look_at(rung))
        )


def _first_layer(found: Trace, wanted: Trace, tolerance: float) -> tuple[str, str, str, str] | None:
    """Name, element and both values of the first layer in both that differs."""
    for name, values in found.items():
        if name not in wanted:
            continue
        target = wanted[name]
        if values.size == target.size:
            values = values.reshape(target.shape)
        scale = max(1.0, float(np.abs(target).max())) if tolerance else 1.0
        at = first_difference(values, target, tolerance * scale)
        if at is not None:
            return name, _element(at), *_values(values, target, at)
    return None


def _element(at: tuple[int, ...]) -> str:
    if len(at) == 4:
        return f"row {at[1]}, column {at[2]}, channel {at[3]}"
    return f"channel {at[-1]}"


def _values(
    found: npt.NDArray[Any], wanted: npt.NDArray[Any], at: tuple[int, ...]
) -> tuple[str, str]:
    if found.shape != wanted.shape:
        return f"{found.shape}", f"{wanted.shape}"
    return f"{found[at]:.6g}", f"{wanted[at]:.6g}"


def _scores(own: tuple[Rung, Engine, Answers], batch: Batch) -> None:
    """Compare what a program prints with the scores of its logits, which are right by now."""
    rung, engine, answers = own
    if answers.lines is None:
        return
    shown = len(answers.lines[0].top)
    bundle = engine.bundle
    probabilities, p_real = bundle.scores.probabilities(answers.logits)
    wanted = predictions(answers.logits, probabilities, p_real, bundle.alphabet, shown)
    for path, line, one in zip(batch.paths, answers.lines, wanted, strict=True):
        different = _first_score(line, one)
        if different is not None:
            raise LadderError(
                Difference(
                    rung.name, "the bundle's score table", str(path), _SCORES, *different,
                    "docs/bundle.md (scores) and edge_runtime/cpp/src/scores.cpp",
                )
            )  # fmt: skip


def _first_score(line: Line, one: Prediction) -> tuple[str, str, str] | None:
    pairs = [
        ("label", line.label, one.label),
        ("confidence", line.confidence, one.confidence),
        ("p_real", line.p_real, one.p_real),
    ]
    for rank, (found, wanted) in enumerate(zip(line.top, one.top, strict=True)):
        pairs.append((f"place {rank + 1}", found[0], wanted[0]))
        pairs.append((f"probability of {wanted[0]!r}", found[1], wanted[1]))
    return next(((name, f"{a}", f"{b}") for name, a, b in pairs if a != b), None)


def check_bundles(rungs: Sequence[Rung], bundles: dict[Path, Bundle]) -> None:
    """Compare the score tables and alphabets of the bundles that integer rungs read.

    Raises
    ------
    LadderError
        Naming the table's first entry that differs.
    """
    integer = [rung for rung in rungs if rung.integer]
    for rung in integer[1:]:
        first, own = bundles[integer[0].bundle], bundles[rung.bundle]
        if own.alphabet != first.alphabet:
            raise VerificationError(f"rung {rung.name}: {rung.bundle} has another alphabet")
        different = _first_entry(own.scores, first.scores)
        if different is not None:
            raise LadderError(
                Difference(
                    rung.name, integer[0].name, "any image", _SCORES, *different,
                    f"{rung.bundle}: it is not the bundle {integer[0].bundle}",
                )
            )  # fmt: skip


def _first_entry(found: Any, wanted: Any) -> tuple[str, str, str] | None:
    if type(found) is not type(wanted):
        return "kind of table", type(found).__name__, type(wanted).__name__
    for name in wanted.__dataclass_fields__:
        a, b = np.atleast_1d(getattr(found, name)), np.atleast_1d(getattr(wanted, name))
        for i in np.flatnonzero(a != b)[:1]:
            return f"{name}[{i}]", f"{a[i]}", f"{b[i]}"
    return None


def _look_at(rung: Rung) -> str:
    if rung.program is not None or rung.name == "native":
        return (
            f"this layer in edge_runtime/cpp/src, and whether {rung.bundle} is the bundle that was "
            "evaluated"
        )
    if rung.name == "core-sim":
        return f"{rung.files[0]}, and the core's program in {rung.bundle}: make them again"
    if rung.integer:
        return f"{rung.files[0]}: `python -m quantize verify` compares it with quantization.json"
    return f"the weights of this layer in {rung.files[0]}; `make freeze` writes it again"
