"""Verilator models of the core, built once; a small one for most tests."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from edge_runtime.core_model import CoreModel
from quantize.core.target import CoreTarget

ROOT = Path(__file__).resolve().parents[2]
SMALL = CoreTarget("test-small", 32, pair=2, weight_depth=256, activation_depth=512)
SINGLE = CoreTarget("test-single", 64, pair=1, weight_depth=512, activation_depth=256)


def load_script(name: str):
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_model(target: CoreTarget, output: Path | None = None, **options: object) -> Path:
    """Build a target's model, by default where `make core-model` does; return the library."""
    for tool in ("verilator", "g++"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")
    output = output or ROOT / "edge_runtime/rtl/build" / target.name
    return load_script("build_core_model").build(target, output, **options)


@pytest.fixture(scope="session")
def small_library() -> Path:
    """The model of `SMALL`."""
    return build_model(SMALL)


@pytest.fixture
def small(small_library) -> CoreModel:
    """A core of `SMALL`, just reset."""
    return CoreModel(small_library)
