"""Run a rung on a batch of images, whatever it is: a back end here, or a program on files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.errors import VerificationError
from edge_runtime.ladder.peek import preprocessing_bundle, trace_by_peeks
from edge_runtime.ladder.rungs import Rung
from edge_runtime.layers import Int8
from edge_runtime.native import NativeRunner
from edge_runtime.preprocess import SIDE
from edge_runtime.programs import Program
from edge_runtime.runners import Logits, Runner, open_runner
from edge_runtime.scores import MILLION
from edge_runtime.trace import Trace, Traced

_AT_ONCE = 64  # images that a back end takes, so that memory does not grow with a batch
_ALL_PROBABILITIES = 256  # up to so many classes a program is asked for all of them, else for three


@dataclass(frozen=True)
class Batch:
    """Images as files, and as what Python's preprocessing makes of them, int8 [N, 32, 32, 1]."""

    paths: list[Path]
    inputs: Int8


@dataclass(frozen=True)
class Line:
    """What a program printed of one image; probabilities in millionths, top in its order."""

    label: str
    confidence: int
    p_real: int
    top: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Answers:
    """A rung's answers.

    logits : [N, classes];  inputs : its own preprocessed bytes, where it preprocesses
    lines : what it printed, where it is a program
    """

    logits: Logits
    inputs: Int8 | None = None
    lines: list[Line] | None = None


class Engine(Protocol):
    """A rung ready to run."""

    bundle: Bundle

    def answer(self, batch: Batch) -> Answers:
        """Run all images of a batch."""
        ...

    def trace(self, batch: Batch, base: Trace) -> Trace:
        """Layers' outputs of ONE image, as far as they are needed to find what differs.

        ``base`` is what they should be; empty where this rung cannot tell.
        """
        ...


class BackendEngine:
    """A back end of `edge_runtime.runners`; ``folder`` as for `ProgramEngine`."""

    def __init__(self, rung: Rung, folder: Path, threads: int = 0) -> None:
        self.bundle = read_bundle(rung.bundle)
        self._name, self._peek = rung.name, folder / f"peek-{rung.name}.egb"
        self._runner: Runner = open_runner(
            rung.name, self.bundle, rung.bundle, rung.model, golden=False, threads=threads
        )

    def answer(self, batch: Batch) -> Answers:
        """Run the network on the preprocessed images."""
        rows = batch.inputs
        parts = [self._runner.run(rows[k : k + _AT_ONCE]) for k in range(0, len(rows), _AT_ONCE)]
        return Answers(np.concatenate(parts))

    def trace(self, batch: Batch, base: Trace) -> Trace:
        """Outputs of all layers that the back end can tell."""
        if isinstance(self._runner, Traced):
            return self._runner.trace(batch.inputs)
        if self._name != "native":
            return {}
        return trace_by_peeks(
            self.bundle.network,
            base,
            self._peek,
            lambda bundle: NativeRunner(bundle, False).run(batch.inputs[:1])[0],
        )


class ProgramEngine:
    """edge_classify; ``folder`` takes the bundles by which one looks inside."""

    def __init__(self, rung: Rung, program: Program, folder: Path) -> None:
        self.bundle = read_bundle(rung.bundle)
        self._path, self._program = rung.bundle, program
        self._probe = folder / f"preprocessing-{rung.name}.egb"
        self._peek = folder / f"peek-{rung.name}.egb"
        preprocessing_bundle(self._probe)
        classes = len(self.bundle.alphabet)
        self.top_k = classes if classes <= _ALL_PROBABILITIES else 3

    def answer(self, batch: Batch) -> Answers:
        """Run the program on the files, twice: its preprocessing, and its answers."""
        inputs = self._run(self._probe, batch.paths, 1)[0].astype(np.int8)
        logits, lines = self._run(self._path, batch.paths, self.top_k)
        dtype = np.int32 if self.bundle.network.int32_logits else np.int8
        return Answers(logits.astype(dtype), inputs.reshape(-1, SIDE, SIDE, 1), lines)

    def trace(self, batch: Batch, base: Trace) -> Trace:
        """Layers' outputs up to the first that is not as in ``base``."""
        return trace_by_peeks(
            self.bundle.network,
            base,
            self._peek,
            lambda bundle: self._run(bundle, batch.paths[:1], 1)[0][0],
        )

    def _run(
        self, bundle: Path, paths: Sequence[Path], top_k: int
    ) -> tuple[npt.NDArray[np.int64], list[Line]]:
        rows = self._program.classify(bundle, paths, top_k)
        for path, row in zip(paths, rows, strict=True):
            if "error" in row:
                raise VerificationError(
                    f"rung {self._program.name}: {row['error']}, and Python reads {path}"
                )
        return np.array([row["logits"] for row in rows], np.int64), [_line(row) for row in rows]


def _line(row: dict[str, Any]) -> Line:
    top = tuple((label, _millionths(value)) for label, value in row["top"])
    return Line(row["label"], _millionths(row["confidence"]), _millionths(row["p_real"]), top)


def _millionths(probability: float) -> int:
    """A printed probability, which has six decimals."""
    return round(probability * MILLION)


def open_engine(rung: Rung, folder: Path, threads: int = 0) -> Engine:
    """Make a rung ready; ``folder`` is for files that it needs while it runs."""
    if rung.program is not None:
        return ProgramEngine(rung, rung.program, folder)
    return BackendEngine(rung, folder, threads)
