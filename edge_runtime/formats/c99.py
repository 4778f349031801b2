"""One C99 file without dependencies: the exact integers, for microcontrollers and any program."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.files import write_text
from edge_runtime.formats.arena import plan_arena
from edge_runtime.formats.c_source import c_source, identifier
from edge_runtime.formats.format import Format, Load, Session, Source
from edge_runtime.images import read_gray
from edge_runtime.layers import Int8
from edge_runtime.pixels import Gray
from edge_runtime.preprocess import SIDE

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
_OPTIMIZED = ("-O3", "-march=native", "-shared", "-fPIC")


def find_compiler() -> list[str]:
    """Return the C compiler's command: $CC, cc, gcc, clang, or zig from PyPI."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            return [path]
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise MissingDependencyError(
        "no C compiler, by which a C file is verified: apt-get install gcc, "
        "or pip install 'edgeglyph[runtime]'"
    )


def compile_library(file: Path, library: Path) -> None:
    """Compile a converted file for this machine, all warnings being errors."""
    line = [*find_compiler(), *FLAGS, *_OPTIMIZED]
    done = subprocess.run(
        [*line, str(file), "-o", str(library)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise VerificationError(f"{file}: {shlex.join(line)} fails: {reason}")


def load_c(path: Path) -> ctypes.CDLL:
    """Compile a converted file, and load it."""
    return _load(path, path.read_bytes())


@functools.lru_cache(maxsize=4)  # compiling takes longer than all that is done with it
def _load(path: Path, text: bytes) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="edgeglyph-") as folder:
        library = Path(folder) / "network.so"
        compile_library(path, library)
        return ctypes.CDLL(str(library))


class Compiled:
    """A converted file, compiled and loaded; one image at a time, on one thread."""

    def __init__(self, source: Source, library: ctypes.CDLL) -> None:
        name = identifier(source.bundle.name)
        self._logits = getattr(library, f"{name}_logits")
        self._preprocess = getattr(library, f"{name}_preprocess")
        address = ctypes.c_void_p
        self._logits.argtypes, self._logits.restype = (address, address, address), None
        size = ctypes.c_uint32
        self._preprocess.argtypes = (address, size, size, ctypes.c_size_t, address)
        self._classes = source.bundle.network.classes
        self._arena = np.empty(max(1, plan_arena(source.bundle.network)[1]), np.int8)

    def run(self, inputs: Int8) -> Any:
        """Integer logits int32 [N, classes]."""
        given = np.ascontiguousarray(inputs)
        found = np.empty((len(given), self._classes), np.int32)
        arena, at, into = self._arena.ctypes.data, given.ctypes.data, found.ctypes.data
        for i in range(len(given)):
            self._logits(at + i * SIDE * SIDE, arena, into + 4 * i * self._classes)
        return found

    def preprocess(self, gray: Gray) -> Int8:
        """Input int8 [32, 32, 1] of gray pixels."""
        found = np.empty((SIDE, SIDE, 1), np.int8)
        pixels = np.ascontiguousarray(gray)
        height, width = pixels.shape
        code = self._preprocess(pixels.ctypes.data, width, height, width, found.ctypes.data)
        if code:
            raise VerificationError(f"preprocessing refuses {width}×{height} pixels")
        return found


def _open(source: Source, path: Path, load: Load) -> Session:
    return Session(Compiled(source, load_c(path)).run, load.batch, source.logit_unit)


def _make(source: Source, to: Path) -> None:
    write_text(to, c_source(source.bundle, source.path))


def check_preprocessing(source: Source, path: Path, images: Sequence[Path], inputs: Int8) -> None:
    """Refuse a file whose bytes are not those of the one preprocessing."""
    compiled = Compiled(source, load_c(path))
    for image, wanted in zip(images, inputs, strict=True):
        if not np.array_equal(compiled.preprocess(read_gray(image)), wanted):
            raise VerificationError(f"{path}: preprocesses {image} to other bytes")


C = Format("c", "C99", ".c", "", (), _make, _open, exact=True, check=check_preprocessing)
