"""Accuracy under corruptions: float and integers, on the same corrupted images."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import ImageError, InputError
from edge_runtime.evaluation.corruptions import CORRUPTIONS, SEVERITIES, to_working_size
from edge_runtime.evaluation.processes import map_in_order
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.ladder.rungs import Rung
from edge_runtime.metrics import Metric, Z, mcnemar, paired_difference, rank, wilson
from edge_runtime.preprocess import preprocess
from edge_runtime.runners import Runner, open_runner
from edge_runtime.sources import find_source_images

SCHEMA: Final = 1
_SEED: Final = 20160610
_PART: Final = 16  # images that a process takes at a time
Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Robustness:
    """Which answers were right: bool [images, networks, 1 + 15 · 5], clean ones first.

    rungs : the networks;  images : in the order of ``right``;  skipped : why others are missing
    """

    rungs: tuple[Rung, ...]
    images: list[LabeledImage]
    right: Right
    skipped: list[str]

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.right)

    def clean(self, network: int) -> Metric:
        """Accuracy on the images as they are, at the working size."""
        return _share(self.right[:, network, 0])

    def accuracy(self, network: int, corruption: int, severity: int) -> Metric:
        """Accuracy of one corruption, counted from 0, at a severity of 1 to 5."""
        return _share(self.right[:, network, _column(corruption, severity)])

    def mean(self, network: int, corruption: int | None = None) -> Metric:
        """Mean over severities, of one corruption or of all; the interval is over images."""
        first, last = (1, None) if corruption is None else (_column(corruption, 1),) * 2
        columns = slice(first, None if last is None else last + len(SEVERITIES))
        return _mean(self.right[:, network, columns].mean(axis=1))

    def relative_loss(self, network: int, corruption: int | None = None) -> float:
        """Share of the clean accuracy that is lost."""
        clean = self.clean(network).value
        return 1 - self.mean(network, corruption).value / clean if clean else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return all figures by network and corruption."""
        networks = range(len(self.rungs))
        return {
            "schema": SCHEMA,
            "n": self.n,
            "skipped": self.skipped,
            "networks": {rung.name: rung.title for rung in self.rungs},
            "clean": self._each(lambda k: self.clean(k).as_json()),
            "mean": self._each(lambda k: self.mean(k).as_json()),
            "relative_loss": self._each(lambda k: round(self.relative_loss(k), 6)),
            "float_to_int8": self._drop() if len(networks) == 2 else None,
            "corruptions": {
                c.name: {
                    "parameter": c.parameter,
                    "values": list(c.values),
                    "mean": self._each(lambda k, i=i: self.mean(k, i).as_json()),
                    "relative_loss": self._each(lambda k, i=i: round(self.relative_loss(k, i), 6)),
                    "accuracy": self._each(
                        lambda k, i=i: [self.accuracy(k, i, s).as_json() for s in SEVERITIES]
                    ),
                }
                for i, c in enumerate(CORRUPTIONS)
            },
        }

    def table(self) -> str:
        """A row per corruption: mean accuracy and relative loss of each network."""
        rows = [
            [
                c.name,
                *(
                    text
                    for k in range(len(self.rungs))
                    for text in (self.mean(k, i).percent, f"{100 * self.relative_loss(k, i):.1f} %")
                ),
            ]
            for i, c in enumerate(CORRUPTIONS)
        ]
        every = [
            text
            for k in range(len(self.rungs))
            for text in (self.mean(k).percent, f"{100 * self.relative_loss(k):.1f} %")
        ]
        clean = [text for k in range(len(self.rungs)) for text in (self.clean(k).percent, "")]
        rows = [["none", *clean], *rows, ["mean", *every]]
        headers = ["corruption", *(t for rung in self.rungs for t in (rung.title, "lost"))]
        align = ("left", *["right"] * (len(headers) - 1))
        return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)

    def _each(self, figure: Any) -> dict[str, Any]:
        return {rung.name: figure(k) for k, rung in enumerate(self.rungs)}

    def _drop(self) -> dict[str, Any]:
        """First network against second over all corrupted images together."""
        first, second = (self.right[:, k, 1:].ravel() for k in range(2))
        points = paired_difference(first, second)
        return {"points": points.as_json(), "mcnemar": mcnemar(first, second).as_json()}


def measure_robustness(
    rungs: Sequence[Rung],
    source: Path,
    split: str | None,
    count: int,
    jobs: int = 1,
    skip_unreadable: bool = False,
    cache: Path | None = None,
) -> Robustness:
    """Corrupt every image in 75 ways and run all networks on each.

    Parameters
    ----------
    rungs : back ends that take arrays (no programs), of one bundle
    count : at most so many images, drawn at random, always the same ones; 0 takes all
    jobs : processes
    """
    if any(rung.program is not None for rung in rungs):
        raise InputError("robustness runs back ends, and no programs; name others with --rungs")
    alphabet = read_bundle(rungs[0].bundle).alphabet
    found = find_source_images(source, alphabet, split, cache)
    if 0 < count < len(found):
        chosen = np.random.default_rng(_SEED).choice(len(found), count, replace=False)
        found = [found[i] for i in sorted(chosen)]
    parts = [found[i : i + _PART] for i in range(0, len(found), _PART)]
    right: list[Right] = []
    kept: list[LabeledImage] = []
    skipped: list[str] = []
    bar = tqdm(desc="corrupt", total=len(found), unit="image", disable=None)
    with bar:
        for part, (rows, good, problems) in zip(parts, _run(rungs, parts, jobs), strict=True):
            if problems and not skip_unreadable:
                raise ImageError(problems[0])
            right.append(rows)
            kept += [part[i] for i in good]
            skipped += problems
            bar.update(len(part))
    if not kept:
        raise InputError("none of the images can be read")
    return Robustness(tuple(rungs), kept, np.concatenate(right), skipped)


_Part = tuple[Right, list[int], list[str]]


def _run(rungs: Sequence[Rung], parts: Sequence[list[LabeledImage]], jobs: int) -> Iterator[_Part]:
    if jobs == 1 or len(parts) < 2:
        for part in parts:
            yield _run_part(tuple(rungs), part, 0)
        return
    yield from map_in_order(_run_part, jobs, [tuple(rungs)] * len(parts), parts, [1] * len(parts))


@functools.lru_cache(maxsize=1)  # the networks stay open for the next part
def _open(rungs: tuple[Rung, ...], threads: int) -> tuple[Alphabet, list[Runner]]:
    bundles = [read_bundle(rung.bundle) for rung in rungs]
    runners = [
        open_runner(rung.name, bundle, rung.bundle, rung.model, threads=threads)
        for rung, bundle in zip(rungs, bundles, strict=True)
    ]
    return bundles[0].alphabet, runners


def _run_part(rungs: tuple[Rung, ...], part: list[LabeledImage], threads: int) -> _Part:
    """Right answers of some images, which of them could be read, and why others could not."""
    alphabet, runners = _open(rungs, threads)
    rows, good, problems = [], [], []
    for i, image in enumerate(part):
        try:
            gray = to_working_size(read_gray(image.path))
        except ImageError as error:
            problems.append(str(error))
            continue
        every = [gray, *(c(gray, severity) for c in CORRUPTIONS for severity in SEVERITIES)]
        inputs = np.stack([preprocess(picture) for picture in every])
        label = alphabet.index(image.label)
        rows.append([rank(runner.run(inputs), 1)[:, 0] == label for runner in runners])
        good.append(i)
    shape = (len(good), len(rungs), 1 + len(CORRUPTIONS) * len(SEVERITIES))
    return np.array(rows, bool).reshape(shape), good, problems


def _column(corruption: int, severity: int) -> int:
    return 1 + corruption * len(SEVERITIES) + severity - 1


def _share(right: npt.NDArray[np.bool_]) -> Metric:
    return wilson(int(right.sum()), len(right))


def _mean(values: npt.NDArray[np.float64]) -> Metric:
    """Mean over images, which are independent; the corruptions of one are not."""
    n, value = len(values), float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return Metric(value, n, max(0.0, value - half), min(1.0, value + half))
