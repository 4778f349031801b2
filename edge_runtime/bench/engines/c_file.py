"""The C99 file, compiled for this processor."""

from edge_runtime.bench.engine import of_format
from edge_runtime.formats import c99

FILE = of_format(c99.C, "C file", "int8", "cc -O3 -march=native; by ctypes, image by image")
