"""The on-board program, built once for the tests that need it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def native_build() -> Path:
    """Folder with the host's program and libraries."""
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    return build_runtime("host")


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
