"""What a conversion makes and how it is run; a file beside this one for each family of formats."""

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.layers import Int8
from edge_runtime.runners import Logits, check_recorded

BYTES, LOGITS = "input_bytes", "logits"  # what inputs and outputs of converted models are called

# From int8 inputs [batch, 32, 32, 1] to logits [batch, classes], valid until the next call.
Run = Callable[[Int8], npt.NDArray[Any]]


@dataclass(frozen=True)
class Load:
    """How many images a call takes, and how many threads it may use."""

    batch: int
    threads: int


@dataclass(frozen=True)
class Source:
    """A trained network with what conversions need beside it.

    bundle, path : the bundle and its file; the float models are looked for beside it
    calibration : int8 inputs [N, 32, 32, 1] for formats that are quantized anew
    """

    bundle: Bundle
    path: Path
    calibration: Int8

    def model(self, name: str) -> Path:
        """Return the path of model.onnx or frozen_model.pb; `InputError` where it is missing."""
        path = self.path.parent / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; `make quantize` leaves it beside the bundle")
        check_recorded(self.bundle, self.path, path)
        return path

    @property
    def logit_unit(self) -> float:
        """What one step of the integer logits stands for."""
        scores = self.bundle.manifest.get("scores") or {}
        return 2.0**-self.bundle.network.logits_fix_point / float(scores.get("logit_scale", 1.0))


@dataclass(frozen=True)
class Session:
    """A converted model, loaded. Logits are ``(run(inputs) - zero_point) · scale``."""

    run: Run
    batch: int
    scale: float = 1.0
    zero_point: int = 0

    def logits(self, inputs: Int8) -> npt.NDArray[np.float64]:
        """Real logits float64 [N, classes] of any number of inputs."""
        raw = in_batches(self.run, self.batch, inputs)
        return (raw.astype(np.float64) - self.zero_point) * self.scale


def in_batches(run: Run, batch: int, inputs: Int8) -> Logits:
    """Run any number of inputs on what takes ``batch`` at a time."""
    found = []
    for i in range(0, len(inputs), batch):
        part = inputs[i : i + batch]
        full = np.zeros((batch, *part.shape[1:]), np.int8)  # loads are of one size
        full[: len(part)] = part
        found.append(run(full)[: len(part)].copy())
    return np.concatenate(found)


@dataclass(frozen=True)
class Format:
    """One format that the network can be converted to.

    name : as FORMAT= names it;  title : engine and kind of numbers
    suffix : of the file;  model : what it is made from, beside the bundle ("" is the bundle itself)
    packages : from PyPI, which make and run it; their releases are recorded
    make : writes the file, and others of its name beside it, where it is told
    open : loads the file to be run
    calibrated : whether calibration images decide about its numbers
    exact : its logits are the integer network's
    tolerance : largest difference from the float network's logits that a right conversion may have;
        None for formats that quantize
    check : further proof that a file is right, given the measured images and their inputs
    """

    name: str
    title: str
    suffix: str
    model: str
    packages: tuple[str, ...]
    make: Callable[[Source, Path], None] = field(repr=False)
    open: Callable[[Source, Path, Load], Session] = field(repr=False)
    calibrated: bool = False
    exact: bool = False
    tolerance: float | None = None
    check: Callable[[Source, Path, Sequence[Path], Int8], None] | None = field(
        default=None, repr=False
    )


def need(module: str, extra: str = "bench") -> Any:
    """Import a module of an extra; say in one line how to install it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"{package} is not installed: pip install 'edgeglyph[{extra}]'"
        ) from None


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Releases of the packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
