"""The C99 file, compiled for this processor."""

import ctypes
from pathlib import Path

from edge_runtime.bench.engine import Engine, InPython, Network
from edge_runtime.formats import c99
from edge_runtime.formats.format import Load


def _open(network: Network, load: Load) -> InPython:
    def make(to: Path) -> None:
        file = to.with_suffix(".c")
        c99.C.make(network.source, file)
        c99.compile_library(file, to)

    path = network.converted(network.path, "network.so", (), make)
    compiled = c99.Compiled(network.source, ctypes.CDLL(str(path)))
    return InPython(compiled.run, network, load, path.stat().st_size)


_CALL = "NAME_logits by ctypes, image by image; cc -O3 -march=native"
FILE = Engine("C file", "int8", _CALL, (), _open, most_threads=1)
