"""What a race asks of an engine; `engines` has a file for each."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edge_runtime.bench.decode import decode
from edge_runtime.bundle import Bundle
from edge_runtime.files import content_bytes, replacing_folder, sha256_of
from edge_runtime.formats.format import Format, Load, Run, Source, in_batches, versions
from edge_runtime.layers import Int8
from edge_runtime.runners import Logits

TURN_NS = 2_000_000  # what a turn takes at least; edge_bench has the same
MOST_BATCH = 64

Make = Callable[[Path], Any]  # writes a converted model where it is told


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

    @property
    def source(self) -> Source:
        """What conversions start from."""
        return Source(self.bundle, self.path, self.calibration)

    def converted(self, source: Path, name: str, packages: Sequence[str], make: Make) -> Path:
        """Return a converted model's path; ``make`` writes it unless it is there already.

        Its folder is named by all that it depends on: the source, the calibration inputs and the
        releases of the packages that convert it.
        """
        key = hashlib.sha256(self.calibration.tobytes())
        key.update(f"{sha256_of(source)} {versions(packages)}".encode())
        folder = self.models / f"{name}-{key.hexdigest()[:16]}"
        if not folder.is_dir():
            with replacing_folder(folder) as new:
                make(new / name)
        return folder / name


@dataclass(frozen=True)
class Turn:
    """What one turn took.

    ns : nanoseconds an image;  calls : the same of each call, where they were timed one by one
    cpu : processor time by elapsed time; 2 are two processors all the time
    """

    ns: float
    calls: tuple[float, ...] = ()
    cpu: float = 0.0


class Opened(Protocol):
    """An engine with the network loaded for one load."""

    def logits(self, inputs: Int8) -> Logits | None:
        """Logits of any number of inputs; None where it only measures."""
        ...

    def turn(self, what: str) -> Turn:
        """Take a turn with the ``network`` alone or with a whole ``image``."""
        ...


@dataclass(frozen=True)
class Engine:
    """One line of the race.

    name, form : of the engine, and of the network's numbers in it, for example "int8, static"
    call : what a time holds beside the network: how the engine is called
    packages : what it needs from PyPI; their releases are recorded
    open : loads the network; `EdgeGlyphError` where that cannot be
    ours : not a peer
    most_threads : that a call may use; 0 for any number
    splits_images : whether threads may share an image; else each thread takes images of its own
    """

    name: str
    form: str
    call: str
    packages: tuple[str, ...]
    open: Callable[[Network, Load], Opened] = field(repr=False)
    ours: bool = False
    most_threads: int = 0
    splits_images: bool = True

    @property
    def title(self) -> str:
        """Name and form."""
        return f"{self.name}, {self.form}"

    @property
    def is_float(self) -> bool:
        """Whether it computes the network as it was trained."""
        return self.form.startswith("fp32")

    def takes(self, load: Load) -> bool:
        """Whether a load makes sense: no more threads than it uses."""
        if not self.splits_images and load.threads > load.batch:
            return False
        return not self.most_threads or load.threads <= self.most_threads


class InPython:
    """An engine that is called from Python.

    size_bytes : of the files that hold the network
    """

    def __init__(self, run: Run, network: Network, load: Load, size_bytes: int = 0) -> None:
        self._run, self._batch = run, load.batch
        self.size_bytes = size_bytes
        inputs = network.inputs
        self._inputs = [inputs[i : i + load.batch] for i in range(0, len(inputs), load.batch)]
        self._files = [[network.image.read_bytes()] * load.batch] * len(self._inputs)

    def logits(self, inputs: Int8) -> Logits:
        """Logits [N, classes] of N inputs."""
        return in_batches(self._run, self._batch, inputs)

    def turn(self, what: str) -> Turn:
        """Take a turn of 2 ms or more, each call timed by itself."""
        if what == "network":
            return self._timed(self._run, self._inputs)
        return self._timed(self._whole, self._files)

    def _whole(self, files: Sequence[bytes]) -> None:
        self._run(decode(files))

    def _timed(self, call: Callable[[Any], object], batches: Sequence[Any]) -> Turn:
        call(batches[0])  # with what others left in the caches
        ends = []
        cpu = time.process_time_ns()
        start = now = time.perf_counter_ns()
        while now - start < TURN_NS:
            for batch in batches:
                call(batch)
                now = time.perf_counter_ns()
                ends.append(now)
        cpu = time.process_time_ns() - cpu
        starts = [start, *ends[:-1]]
        calls = tuple((e - s) / self._batch for s, e in zip(starts, ends, strict=True))
        return Turn((now - start) / (len(ends) * self._batch), calls, cpu / (now - start))


def of_format(one: Format, name: str, form: str, call: str) -> Engine:
    """Return the engine that runs what `python -m edge_runtime convert` makes."""

    def load_network(network: Network, load: Load) -> InPython:
        made_of = network.source.model(one.model) if one.model else network.path
        path = network.converted(
            made_of,
            f"{one.name}{one.suffix}",
            one.packages,
            lambda to: one.make(network.source, to),
        )
        size = content_bytes(path.parent)
        return InPython(one.open(network.source, path, load).run, network, load, size)

    return Engine(name, form, call, one.packages, load_network)
