"""The on-board program, built once for the tests that need it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import read_bundle
from edge_runtime.errors import MissingDependencyError
from edge_runtime.formats import FORMATS, command
from edge_runtime.formats.format import Source
from edge_runtime.formats.images import find_images, read_inputs, read_measured
from edge_runtime.formats.verify import Reference, Verified, answer
from tests.networks import hard_inputs

ROOT = Path(__file__).resolve().parents[2]


# A board of each family: emulator, folder of the C library, e_machine of its ELF files.
FAMILIES = {
    "zedboard": ("qemu-arm", "/usr/arm-linux-gnueabihf", 40),
    "kv260": ("qemu-aarch64", "/usr/aarch64-linux-gnu", 183),
}


def build_runtime(board: str, *options: str) -> Path:
    """Build for a board where `make runtime` does; return the folder."""
    script = ROOT / "scripts/build_runtime.py"
    done = subprocess.run(
        [sys.executable, script, board, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # this checkout, whichever is installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ROOT / "edge_runtime/cpp/build" / board


def emulated(board: str, cpu: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a board's edge_classify on an emulated processor."""
    pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")
    emulator, libraries, _ = FAMILIES[board]
    if not shutil.which(emulator):
        pytest.skip(f"no {emulator} on this machine (Debian: qemu-user)")
    command = [emulator, "-L", libraries, "-cpu", cpu, build_runtime(board) / "edge_classify"]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [*command, *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def native_build() -> Path:
    """Folder with the host's program and libraries."""
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    return build_runtime("host")


@pytest.fixture(scope="session")
def supported_isas(native_build: Path) -> list[str]:
    """Instruction sets that this processor has, as the program says, the fastest first."""
    line = [native_build / "edge_classify", "--version"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return done.stdout.split(" of ")[1].strip().split(", ")


@dataclass(frozen=True)
class Conversions:
    """The shipped network in any format, made when first asked for.

    source, reference : what they are made from and verified by
    """

    source: Source
    reference: Reference
    folder: Path
    made: dict[str, Verified] = field(default_factory=dict)

    def get(self, name: str) -> Path:
        """Folder of a format; skips the test where its engine is not installed."""
        if name not in self.made:
            try:
                self.made[name] = command.convert(
                    FORMATS[name], self.source, self.reference, self.folder / name
                )
            except MissingDependencyError as error:
                pytest.skip(str(error))
        return self.folder / name


@pytest.fixture(scope="session")
def conversions(class_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Conversions:
    """Of scene62, calibrated and verified on drawn digits."""
    path = ROOT / "models/scene62/scene62.egb"
    bundle = read_bundle(path)
    found = find_images(class_folders, bundle.alphabet)
    inputs = np.concatenate([read_inputs(found.calibrating, "images"), hard_inputs(0)])
    source = Source(bundle, path, inputs)
    reference = answer(source, read_measured(found, bundle.alphabet))
    return Conversions(source, reference, tmp_path_factory.mktemp("converted"))


@pytest.fixture
def classify_native(native_build):
    """Run edge_classify; return exit code, stdout and stderr as text."""

    def run(*arguments: object, **options: object) -> tuple[int, str, str]:
        done = subprocess.run(
            [native_build / "edge_classify", *map(str, arguments)],
            capture_output=True,
            check=False,
            **options,
        )
        out = done.stdout.decode("utf-8", "surrogateescape")
        return done.returncode, out, done.stderr.decode()

    return run
