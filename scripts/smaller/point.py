"""One point of the curve: a network pruned, trained on, frozen, quantized, compiled; in a folder.

A point's folder is a build like any other. ``point.json`` in it says what it was made of; one that
was made of the same is not made again, and a training that was cut off goes on.
"""

import contextlib
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime import __version__
from edge_runtime.errors import EdgeGlyphError
from edge_runtime.files import read_memory, sha256_of, write_json
from quantize.__main__ import main as quantize
from quantize.settings import load_settings as quantize_settings
from semi_supervised.__main__ import main as semi_supervised
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.settings import load_settings

log = logging.getLogger(__name__)

# From random weights a short training wants larger steps: the preset quick's.
NOTHING = ("train.learning_rate=3e-3",)
_PRUNED, _POINT = "pruned.npz", "point.json"


@dataclass(frozen=True)
class Source:
    """The build that the curve starts from, and how smaller networks are trained.

    build : has manifest.csv and training/best.npz
    name : of the bundles;  preset, settings : of training and quantization
    workers : that prepare batches; None for one a core
    """

    build: Path
    name: str
    preset: str
    settings: tuple[str, ...] = ()
    workers: int | None = None

    @property
    def weights(self) -> Path:
        """The trained network."""
        return self.build / "training/best.npz"

    @property
    def manifest(self) -> Path:
        """Its images."""
        return self.build / "manifest.csv"

    def identity(self, *more: str) -> dict[str, Any]:
        """All that a trained point depends on beside its size."""
        trained = load_settings(self.preset, [*self.settings, *more]).as_dict()
        del trained["data"]
        negatives = self.manifest.with_name(NEGATIVES_FILE)
        return {
            "edgeglyph": __version__,
            "weights": sha256_of(self.weights),
            "data": [sha256_of(path) for path in (self.manifest, negatives) if path.exists()],
            "train": trained,
            "quantize": quantize_settings(self.preset).as_json(),
        }


@dataclass(frozen=True)
class Point:
    """A finished network of the curve.

    share : of the whole network's multiply-adds that was asked for
    folder : its build;  bundle : in it
    """

    share: float
    folder: Path
    bundle: Path
    from_nothing: bool = False

    @property
    def title(self) -> str:
        """As tables name it."""
        if self.from_nothing:
            return f"{100 * self.share:g} %, from nothing"
        return "as trained" if self.share == 1 else f"{100 * self.share:g} %"


def make_whole(source: Source, output: Path) -> Point:
    """The network as it was trained, frozen and quantized as the others are."""
    point = _point(source, output, 1.0)
    key = _key(source.identity(), "whole")
    if not _is_made(point, key):
        _finish(source, point, source.weights, key)
    return point


def make_pruned(source: Source, output: Path, share: float) -> Point:
    """Prune to a share of the multiply-adds and train on."""
    point = _point(source, output, share)
    key = _key(source.identity(), f"{share:g}")
    if not _is_made(point, key):
        log.info("== %s of the multiply-adds", point.title)
        pruned = point.folder / _PRUNED
        _stage(semi_supervised, "prune", *_pruning(source, share, pruned))
        _train(source, point.folder, _channels(pruned), "--start", pruned)
        _finish(source, point, point.folder / "training/best.npz", key)
    return point


def make_from_nothing(source: Source, output: Path, share: float) -> Point:
    """Train the same shape as often from random weights, at the rate that suits those."""
    point = _point(source, output, share, from_nothing=True)
    key = _key(source.identity(*NOTHING), f"{share:g} from nothing")
    if not _is_made(point, key):
        log.info("== %s", point.title)
        pruned = point.folder / _PRUNED  # of which the shape is taken alone
        _stage(semi_supervised, "prune", *_pruning(source, share, pruned))
        _train(source, point.folder, _channels(pruned), *_sets(NOTHING))
        _finish(source, point, point.folder / "training/best.npz", key)
    return point


def _point(source: Source, output: Path, share: float, from_nothing: bool = False) -> Point:
    folder = output / (f"{100 * share:g}" + ("-from-nothing" if from_nothing else ""))
    return Point(share, folder, folder / f"{source.name}.egb", from_nothing)


def _pruning(source: Source, share: float, pruned: Path) -> list[str | Path]:
    return ["--checkpoint", source.weights, "--keep", str(share), "--output", pruned]


def _channels(pruned: Path) -> str:
    channels = json.loads(pruned.with_suffix(".json").read_text("utf-8"))["channels"]
    return ",".join(map(str, channels))


def _train(source: Source, folder: Path, channels: str, *options: str | Path) -> None:
    _stage(
        semi_supervised,
        *("train", "--manifest", source.manifest, "--output", folder),
        *("--preset", source.preset, *_sets(source.settings), *options),
        *("--set", f"train.channels={channels}", "--teacher", source.weights),
        *(() if source.workers is None else ("--workers", str(source.workers))),
        "--allow-leakage",  # the training of the build has judged that
    )


def _finish(source: Source, point: Point, weights: Path, key: str) -> None:
    """Freeze, quantize, compile, prove; then the point counts as made."""
    folder = point.folder
    _stage(
        semi_supervised,
        *("freeze", "--weights", weights, "--manifest", source.manifest, "--output", folder),
    )
    _stage(
        quantize,
        *("run", folder / "frozen_model.pb", "--calibration", source.manifest),
        *("--output", folder, "--preset", source.preset),
    )
    _stage(
        quantize,
        *("compile", "--quantized", folder, "--output", point.bundle, "--name", source.name),
    )
    _stage(quantize, "verify", folder, "--bundle", point.bundle)
    write_json(folder / _POINT, {"schema": 1, "key": key, "bundle": sha256_of(point.bundle)})


def _sets(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def _stage(main: Callable[[Sequence[str]], int], *arguments: str | Path) -> None:
    """Run a stage's command; its results go to stderr, with its progress."""
    with contextlib.redirect_stdout(sys.stderr):
        code = main([str(argument) for argument in arguments])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        raise EdgeGlyphError(f"stopped in the stage {arguments[0]}, for the reason above")


def _key(identity: dict[str, Any], size: str) -> str:
    return hashlib.sha256(json.dumps([identity, size]).encode()).hexdigest()


def _is_made(point: Point, key: str) -> bool:
    made = read_memory(point.folder / _POINT)
    return (
        made.get("key") == key
        and point.bundle.is_file()
        and made.get("bundle") == sha256_of(point.bundle)
    )
