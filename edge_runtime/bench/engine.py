"""What a race asks of an engine; `engines` has a file for each."""

import hashlib
import importlib
import importlib.metadata
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.bench.decode import decode
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.files import replacing_folder, sha256_of
from edge_runtime.layers import Int8
from edge_runtime.runners import Logits, check_recorded

TURN_NS = 2_000_000  # what a turn takes at least; edge_bench has the same
MOST_BATCH = 64

# From int8 inputs [batch, 32, 32, 1] to logits [batch, classes], valid until the next call.
Run = Callable[[Int8], npt.NDArray[Any]]


@dataclass(frozen=True)
class Load:
    """How many images a call takes, and how many threads it may use."""

    batch: int
    threads: int


@dataclass(frozen=True)
class Network:
    """The trained network that all engines run, and what it runs on.

    bundle, path : the bundle and its file; the float models are looked for beside it
    calibration : int8 inputs [N, 32, 32, 1] for engines that quantize by themselves
    inputs : int8 inputs [64, 32, 32, 1] to be timed on
    image : an encoded image, for the whole way
    models : folder where converted models are kept
    cpu : the first processor to run on
    isa : instruction set of our own engine; None takes the fastest
    """

    bundle: Bundle
    path: Path
    calibration: Int8
    inputs: Int8
    image: Path
    models: Path
    cpu: int = 0
    isa: str | None = None

    def model(self, name: str) -> Path:
        """Return the path of model.onnx or frozen_model.pb; `InputError` where it is missing."""
        path = self.path.parent / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; `make quantize` leaves it beside the bundle")
        check_recorded(self.bundle, self.path, path)
        return path

    def converted(
        self, source: Path, name: str, packages: str, make: Callable[[Path], Any]
    ) -> Path:
        """Return a converted model's path; ``make`` writes it unless it is there already.

        Its folder is named by all that it depends on: the source, the calibration inputs and the
        releases of the packages (separated by blanks) that convert it.
        """
        key = hashlib.sha256(self.calibration.tobytes())
        key.update(f"{sha256_of(source)} {versions(packages.split())}".encode())
        folder = self.models / f"{name}-{key.hexdigest()[:16]}"
        if not folder.is_dir():
            with replacing_folder(folder) as new:
                make(new / name)
        return folder / name


class Opened(Protocol):
    """An engine with the network loaded for one load."""

    def logits(self, inputs: Int8) -> Logits | None:
        """Logits of any number of inputs; None where it only measures."""
        ...

    def turn(self, what: str) -> float:
        """Nanoseconds an image, over a turn: of the ``network`` alone or of a whole ``image``."""
        ...


@dataclass(frozen=True)
class Engine:
    """One line of the race.

    name, form : of the engine, and of the network's numbers in it, for example "int8, static"
    call : what a time holds beside the network: how the engine is called
    packages : what it needs from PyPI; their releases are recorded
    open : loads the network; `EdgeGlyphError` where that cannot be
    ours : not a peer
    """

    name: str
    form: str
    call: str
    packages: tuple[str, ...]
    open: Callable[[Network, Load], Opened] = field(repr=False)
    ours: bool = False

    @property
    def title(self) -> str:
        """Name and form."""
        return f"{self.name}, {self.form}"

    @property
    def is_float(self) -> bool:
        """Whether it computes the network as it was trained."""
        return self.form.startswith("fp32")


class InPython:
    """An engine that is called from Python."""

    def __init__(self, run: Run, network: Network, load: Load) -> None:
        self._run, self._batch = run, load.batch
        inputs = network.inputs
        self._inputs = [inputs[i : i + load.batch] for i in range(0, len(inputs), load.batch)]
        self._files = [[network.image.read_bytes()] * load.batch] * len(self._inputs)

    def logits(self, inputs: Int8) -> Logits:
        """Logits [N, classes] of N inputs."""
        found = []
        for i in range(0, len(inputs), self._batch):
            part = inputs[i : i + self._batch]
            full = np.zeros((self._batch, *part.shape[1:]), np.int8)  # loads are of one size
            full[: len(part)] = part
            found.append(self._run(full)[: len(part)].copy())
        return np.concatenate(found)

    def turn(self, what: str) -> float:
        """Nanoseconds an image."""
        if what == "network":
            return self._timed(self._run, self._inputs)
        return self._timed(self._whole, self._files)

    def _whole(self, files: Sequence[bytes]) -> None:
        self._run(decode(files))

    def _timed(self, call: Callable[[Any], object], batches: Sequence[Any]) -> float:
        call(batches[0])  # with what others left in the caches
        passes, elapsed = 0, 0
        start = time.perf_counter_ns()
        while elapsed < TURN_NS:
            for batch in batches:
                call(batch)
            passes += 1
            elapsed = time.perf_counter_ns() - start
        return elapsed / (passes * len(batches) * self._batch)


def need(module: str) -> Any:
    """Import a module of the extra `bench`; say how to install it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError("pip install 'edgeglyph[bench]'") from None


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Releases of the packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
