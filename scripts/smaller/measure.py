"""What a point reaches and costs: accuracy on validation images, multiply-adds, time, cycles."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bench.engine import MOST_BATCH, Network
from edge_runtime.bench.engines.ours import PROGRAM
from edge_runtime.bench.race import Entry, Task, race
from edge_runtime.bench.report import Summary, summarize
from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.errors import GraphError, VerificationError
from edge_runtime.files import sha256_of
from edge_runtime.formats.format import Load
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.layers import Conv
from edge_runtime.metrics import McNemar, Metric, mcnemar, wilson
from edge_runtime.native import is_built
from edge_runtime.runners import default_backend, open_runner
from quantize.artifacts import read_quantization
from quantize.core.compiler import compile_core
from quantize.core.target import find_target
from semi_supervised.data import read_alphabet
from semi_supervised.training.images import Evaluation, load_evaluation
from smaller.point import Point

CORE = "core128"
_TASK = Task("network", Load(1, 1))


@dataclass(frozen=True)
class Measured:
    """A point with its figures.

    float_network, int8 : accuracy on the validation images;  correct : bool [N], of int8
    against : McNemar's test of the whole network against it, in int8
    time : microseconds an image; None where no native program is built
    cycles : that the open core takes for an image; None where it cannot run the network
    """

    point: Point
    channels: tuple[int, ...]
    multiply_adds: int
    float_network: Metric
    int8: Metric
    correct: npt.NDArray[np.bool_]
    cycles: int | None
    against: McNemar | None = None
    time: Summary | None = None

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        point = self.point
        return {
            "name": point.folder.name,
            "share": point.share,
            "from_nothing": point.from_nothing,
            "channels": list(self.channels),
            "multiply_adds": self.multiply_adds,
            "float": self.float_network.as_json(),
            "int8": self.int8.as_json(),
            "mcnemar_whole_against_it": self.against and self.against.as_json(),
            "time": self.time and self.time.as_json(),
            f"{CORE}_cycles": self.cycles,
            "bundle_bytes": point.bundle.stat().st_size,
            "bundle_sha256": sha256_of(point.bundle),
        }


def measure(points: Sequence[Point], manifest: Path, rounds: int) -> list[Measured]:
    """Measure all points; the first is the whole network.

    Raises
    ------
    VerificationError
        The integers of a bundle are not as accurate as when they were quantized.
    """
    images = load_evaluation(manifest, read_alphabet(manifest), "validation")
    found = [_accuracy(point, images) for point in points]
    whole = found[0]
    found = [whole] + [
        replace(each, against=mcnemar(whole.correct, each.correct)) for each in found[1:]
    ]
    if not is_built():
        return found
    times = _race(points, images, manifest, rounds)
    return [replace(each, time=time) for each, time in zip(found, times, strict=True)]


def _accuracy(point: Point, images: Evaluation) -> Measured:
    bundle = read_bundle(point.bundle)
    runner = open_runner(default_backend(), bundle, point.bundle, None)
    correct = np.asarray(runner.run(images.inputs).argmax(axis=1) == images.labels)
    reported = read_quantization(point.folder).provenance["accuracy"]
    int8 = wilson(int(correct.sum()), len(correct))
    if int8.as_json() != reported["int8"]:
        raise VerificationError(
            f"{point.bundle}: {int8.percent} of the validation images are right, not the "
            f"{100 * reported['int8']['value']:.1f} % that quantizing found; remove {point.folder}"
        )
    *channels, _ = (len(one.weights) for one in bundle.network.layers if isinstance(one, Conv))
    return Measured(
        point,
        tuple(channels),
        bundle.network.multiply_adds,
        Metric(**reported["float"]),
        int8,
        correct,
        _cycles(bundle),
    )


def _cycles(bundle: Bundle) -> int | None:
    try:
        return compile_core(bundle.network, find_target(CORE)).image().cycles
    except GraphError:
        return None


def _race(
    points: Sequence[Point], images: Evaluation, manifest: Path, rounds: int
) -> list[Summary]:
    """One thread, one image at a time: every network in turns, in rounds of changing order."""
    file = find_labeled_images(manifest, read_alphabet(manifest), "validation")[0].path
    cpu = min(os.sched_getaffinity(0))
    inputs = np.resize(images.inputs, (MOST_BATCH, *images.inputs.shape[1:]))
    networks = [
        Network(
            read_bundle(point.bundle), point.bundle, inputs[:0], inputs, file, point.folder, cpu
        )
        for point in points
    ]
    entries = [Entry(PROGRAM) for _ in points]
    for entry, network in zip(entries, networks, strict=True):
        entry.opened[_TASK.load] = PROGRAM.open(network, _TASK.load)
    race(entries, networks[0], [_TASK], rounds)
    return [
        summarize(entry.ns[_TASK], None, (), network.bundle.network.multiply_adds)
        for entry, network in zip(entries, networks, strict=True)
    ]
