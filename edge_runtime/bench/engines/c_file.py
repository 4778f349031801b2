"""The C99 file, compiled for this processor."""

from edge_runtime.bench.engine import of_format
from edge_runtime.formats import c99

_CALL = "NAME_logits by ctypes, image by image; cc -O3 -march=native"
FILE = of_format(c99.C, "C file", "int8", _CALL, most_threads=1)
