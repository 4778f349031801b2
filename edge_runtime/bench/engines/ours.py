"""Our own engine: the program edge_bench, and the library from Python."""

import json
import subprocess
from pathlib import Path
from typing import Any

from edge_runtime.bench.engine import Engine, InPython, Network, Turn
from edge_runtime.errors import InputError, VerificationError
from edge_runtime.formats.format import Load
from edge_runtime.layers import Int8
from edge_runtime.native import LIBRARY as SHARED_OBJECT
from edge_runtime.native import NativeRunner


class EdgeBench:
    """The program, which measures what it is asked for; ``about`` is its first line."""

    def __init__(self, network: Network, load: Load) -> None:
        program = SHARED_OBJECT.with_name("edge_bench")
        if not program.is_file():
            raise InputError(f"{program}: not built; `make runtime` builds it")
        self._load = load
        self.size_bytes = network.path.stat().st_size
        line: list[str | Path] = [program, "--bundle", network.path, "--image", network.image]
        line += ["--cpu", str(network.cpu), "--isa", network.isa or "auto", "--ask", "yes"]
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.about: dict[str, Any] = json.loads(self._read())

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.communicate()

    def logits(self, inputs: Int8) -> None:
        """Nothing: the library's are the same."""
        return

    def turn(self, what: str) -> Turn:
        """Take a turn in the program; it measures itself."""
        ns, cpu, *calls = self._ask(f"{what} {self._load.batch} {self._load.threads}")
        return Turn(ns, tuple(calls), cpu)

    def peak(self) -> float:
        """Multiply-adds a nanosecond of a vpdpbusd loop; 0 where the processor has none."""
        return self._ask("peak")[0]

    def _ask(self, question: str) -> list[float]:
        assert self._process.stdin
        try:
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words follow
        return list(map(float, self._read().split()))

    def _read(self) -> str:
        assert self._process.stdout
        assert self._process.stderr
        line = self._process.stdout.readline()
        if not line:
            raise InputError(self._process.stderr.read().strip() or "edge_bench ended")
        return line


def _open_library(network: Network, load: Load) -> InPython:
    integers = network.bundle.network.int32_logits
    runner = NativeRunner(network.path, integers, load.threads, network.isa)
    opened = InPython(runner.run, network, load, network.path.stat().st_size)
    golden = network.bundle.golden
    found = opened.logits(golden.inputs)
    if found.tolist() != golden.logits.tolist():
        raise VerificationError(f"{network.path}: the library's integers are not the reference's")
    return opened


PROGRAM = Engine(
    "EdgeGlyph", "int8", "C++, edge_bench", (), EdgeBench, ours=True, splits_images=False
)
LIBRARY = Engine(
    "EdgeGlyph, Python", "int8", "NativeRunner.run", (), _open_library, ours=True,
    splits_images=False,
)  # fmt: skip
