"""Float networks made once for all tests of this folder, and images for them."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.files import sha256_of
from quantize.__main__ import main
from tests.conftest import draw_character
from tests.quantize.source_graphs import SourceNetwork, discriminator

Cli = Callable[..., tuple[int, str, str]]
DIGITS = ("--alphabet", "01234")

VARIANTS: dict[str, dict[str, Any]] = {
    "batch norm": {},
    "bias": {"batch_norm": False},
    "mean without dims": {"keep_dims": False},
    "squeeze": {"squeeze": True},
}


@pytest.fixture(scope="session")
def sources() -> dict[str, SourceNetwork]:
    """The discriminator in its variants, in TensorFlow."""
    return {name: discriminator(i, **options) for i, (name, options) in enumerate(VARIANTS.items())}


@pytest.fixture(scope="session")
def models(
    sources: dict[str, SourceNetwork], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """Files of the variants, by name and suffix."""
    root = tmp_path_factory.mktemp("models")
    found = {}
    for i, (name, source) in enumerate(sources.items()):
        (root / str(i)).mkdir()
        found[name, ".pb"] = source.write_pb(root / str(i) / "frozen_model.pb")
        found[name, ".onnx"] = source.write_onnx(root / str(i) / "model.onnx")
    return found


@pytest.fixture(scope="session")
def onnx_model(models: dict[tuple[str, str], Path]) -> Path:
    """The network of five classes as ONNX."""
    return models["batch norm", ".onnx"]


@pytest.fixture(scope="session")
def images() -> Any:
    """Float32 [40, 32, 32, 1] at steps of 1/128, as preprocessing gives them."""
    rng = np.random.default_rng(11)
    smooth = rng.normal(0, 60, (40, 8, 8, 1)).repeat(4, 1).repeat(4, 2)
    return (np.clip(smooth, -128, 127).round() / 128).astype(np.float32)


@pytest.fixture(scope="session")
def npz(images: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "inputs.npz"
    np.savez(path, inputs=images)
    return path


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five digits, ten images each: six to train, two to validate, two to test."""
    root = tmp_path_factory.mktemp("characters")
    rows = []
    for symbol in "01234":
        for i in range(10):
            path = root / f"{symbol}-{i}.png"
            draw_character(symbol, 20 + 2 * i, 10 * i, i % 3).save(path)
            split = "train" if i < 6 else "validation" if i < 8 else "test"
            rows.append((path.name, symbol, "font", split, sha256_of(path)))
    return write_manifest(root / "manifest.csv", rows)


def write_manifest(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "label", "source", "split", "sha256"))
        writer.writerows(rows)
    return path


def rows_of(manifest: Path) -> list[tuple[str, ...]]:
    lines = manifest.read_text().splitlines()[1:]
    return [tuple(line.split(",")) for line in lines]


def tamper(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.fixture(scope="session")
def quantized(onnx_model: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `run` leaves it, with the float model and a bundle in it."""
    folder = tmp_path_factory.mktemp("quantized")
    shutil.copy(onnx_model, folder / "model.onnx")
    arguments = ["run", folder / "model.onnx", "--calibration", manifest, "--output", folder]
    arguments += ["--preset", "tiny", "--method", "min-mse", *DIGITS]
    assert main([str(a) for a in arguments]) == 0
    compiled = ["compile", "--quantized", folder, "--output", folder / "digits.egb"]
    assert main([str(a) for a in compiled]) == 0
    return folder


@pytest.fixture
def copy(quantized: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(quantized, tmp_path / "copy"))
