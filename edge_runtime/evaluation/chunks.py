"""Images go through the ladder in chunks, each of which leaves one small file.

A run that is killed at any moment goes on behind the last whole file; chunks may run in several
processes. What a file depends on is in the name of its folder, so nothing stale is ever read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime import __version__
from edge_runtime.bundle import Bundle
from edge_runtime.errors import ImageError, VerificationError
from edge_runtime.evaluation.processes import map_in_order
from edge_runtime.evaluation.records import Ints, Pictures, pack, picture_row, record
from edge_runtime.files import content_hash, replacing
from edge_runtime.images import read_gray
from edge_runtime.ladder.compare import Ladder, check_bundles
from edge_runtime.ladder.engines import Batch, open_engine
from edge_runtime.ladder.rungs import Rung
from edge_runtime.preprocess import preprocess

CHUNK = 256
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """What every chunk goes through.

    models : the rungs of each model;  folder : where the files are
    skip_unreadable : leave images out that cannot be read, instead of stopping
    threads : of a back end, 0 for all
    """

    models: tuple[tuple[Rung, ...], ...]
    folder: Path
    skip_unreadable: bool = False
    threads: int = 0

    def recorded(self, model: int) -> list[Rung]:
        """Rungs whose answers are kept: of the integer ones, which are proved equal, one."""
        rungs = self.models[model]
        integer = [rung for rung in rungs if rung.integer]
        return [rung for rung in rungs if not rung.integer] + integer[:1]


@dataclass(frozen=True)
class Chunk:
    """Consecutive images of a set; labels int [N] for each model, -1 for none."""

    set: str
    start: int
    paths: tuple[Path, ...]
    labels: tuple[Ints, ...]

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.set}-{self.start:08d}.npz"


@dataclass
class Worker:
    """Runs chunks, with all engines open."""

    plan: Plan
    _ladders: list[Ladder] = field(default_factory=list)

    def run(self, chunk: Chunk) -> int:
        """Run one chunk and write its file; return the number of its images."""
        if not self._ladders:
            self._ladders = [self._open(rungs) for rungs in self.plan.models]
        batch, pictures, skipped = self._read(chunk)
        arrays: Arrays = pack("pictures", pictures)
        arrays["skipped"] = np.array(json.dumps(skipped))
        arrays["digests"] = _digests(batch)
        if batch.paths:
            kept = pictures.index - chunk.start
            for number, ladder in enumerate(self._ladders):
                labels = chunk.labels[number][kept]
                arrays |= self._record(number, ladder, batch, labels)
        with replacing(self.plan.folder / chunk.name) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        return len(chunk.paths)

    def _open(self, rungs: Sequence[Rung]) -> Ladder:
        engines = [open_engine(rung, self._scratch(), self.plan.threads) for rung in rungs]
        bundles: dict[Path, Bundle] = {
            rung.bundle: engine.bundle for rung, engine in zip(rungs, engines, strict=True)
        }
        check_bundles(rungs, bundles)
        return Ladder(rungs, engines)

    def _scratch(self) -> Path:
        folder = self.plan.folder / f"scratch-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        return folder

    def _read(self, chunk: Chunk) -> tuple[Batch, Pictures, list[str]]:
        paths, inputs, rows, skipped = [], [], [], []
        for i, path in enumerate(chunk.paths):
            try:
                gray = read_gray(path)
            except ImageError as error:
                if not self.plan.skip_unreadable:
                    raise
                skipped.append(str(error))
                continue
            paths.append(path)
            inputs.append(preprocess(gray))
            rows.append((chunk.start + i, *picture_row(gray)))
        table = np.array(rows, np.int32).reshape(-1, 4)
        stacked = np.stack(inputs) if inputs else np.zeros((0, 32, 32, 1), np.int8)
        return Batch(paths, stacked), Pictures(*table.T), skipped

    def _record(self, number: int, ladder: Ladder, batch: Batch, labels: Ints) -> Arrays:
        answers = ladder.run(batch)
        bundle = ladder.engines[0].bundle
        arrays: Arrays = {}
        for rung in self.plan.recorded(number):
            logits = answers[rung.name].logits
            arrays |= pack(f"{number}/{rung.name}", record(bundle, logits, rung.integer, labels))
        for name, seconds in ladder.seconds.items():
            arrays[f"{number}/{name}/seconds"] = np.array([seconds])
        for name, largest in ladder.largest.items():
            arrays[f"{number}/{name}/largest"] = np.array([largest])
        return arrays


_worker: Worker | None = None


def _run_there(plan: Plan, chunk: Chunk) -> int:
    """Run a chunk in this process's worker."""
    global _worker
    if _worker is None:
        _worker = Worker(plan)
    return _worker.run(chunk)


def run_chunks(plan: Plan, chunks: Sequence[Chunk], jobs: int) -> list[Arrays]:
    """Run all chunks that have no file yet; return the arrays of all, in order.

    Raises
    ------
    LadderError
        A rung does not hold; of several chunks the first is told.
    ImageError
        An image that cannot be read, unless such are skipped.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    for left in plan.folder.glob("scratch-*"):
        shutil.rmtree(left, ignore_errors=True)
    missing = [chunk for chunk in chunks if not (plan.folder / chunk.name).is_file()]
    total = sum(len(chunk.paths) for chunk in chunks)
    done = total - sum(len(chunk.paths) for chunk in missing)
    rungs = sum(len(model) for model in plan.models)
    label = f"evaluate {rungs} networks" if rungs > 1 else "evaluate"
    bar = tqdm(desc=label, total=total, initial=done, unit="image", disable=None)
    with bar:
        for count in _run(plan, missing, jobs):
            bar.update(count)
    return [_load(plan.folder / chunk.name) for chunk in chunks]


def _run(plan: Plan, chunks: Sequence[Chunk], jobs: int) -> Iterator[int]:
    if jobs == 1 or len(chunks) < 2:
        worker = Worker(plan)
        yield from map(worker.run, chunks)
        return
    yield from map_in_order(_run_there, jobs, [plan] * len(chunks), chunks)


def _load(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError):
        raise VerificationError(f"{path}: damaged; remove its folder and start again") from None


def identity(plan: Plan, chunks: Sequence[Chunk]) -> str:
    """Hash of all that the chunks' files depend on: code, networks, programs, images, labels."""
    digest = hashlib.sha256(f"{__version__} {CHUNK} {plan.skip_unreadable}".encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    for rungs in plan.models:
        for rung in rungs:
            hashes = [content_hash(file) for file in (rung.bundle, *rung.files)]
            digest.update(json.dumps([rung.name, *hashes]).encode())
    for chunk in chunks:
        for path in chunk.paths:
            digest.update(f"{path}\0{_stamp(path)}\0".encode("utf-8", "surrogateescape"))
        for labels in chunk.labels:
            digest.update(labels.tobytes())
    return digest.hexdigest()


def _digests(batch: Batch) -> npt.NDArray[np.uint8]:
    """Half a SHA-256 of what the networks are given of each image, [N, 16]."""
    halves = [hashlib.sha256(image.tobytes()).digest()[:16] for image in batch.inputs]
    return np.frombuffer(b"".join(halves), np.uint8).reshape(-1, 16)


def _stamp(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_size} {state.st_mtime_ns}"
