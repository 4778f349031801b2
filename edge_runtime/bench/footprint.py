"""What an engine costs before its first answer: time to load, and memory.

Each is measured in a process of its own, so that one's libraries are not in the other's memory, and
nothing is there that conversion needed. `python -m edge_runtime.bench.footprint` is that process.
"""

import json
import pickle
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from edge_runtime.bench.engine import Network
from edge_runtime.errors import VerificationError
from edge_runtime.formats.format import Load
from edge_runtime.memory import forget_peak, peak_bytes
from edge_runtime.native import LIBRARY


@dataclass(frozen=True)
class Footprint:
    """What an engine costs.

    load_ms : from nothing of the engine loaded, its library included, to the first answer
    peak_bytes : largest resident memory of the process, having run single images
    base_bytes : what that was before the engine, for Python, NumPy and the images; 0 of a program
    """

    load_ms: float
    peak_bytes: int
    base_bytes: int

    @property
    def added_bytes(self) -> int:
        """What the engine added to the process."""
        return self.peak_bytes - self.base_bytes

    def as_json(self) -> dict[str, Any]:
        """Return the figures, with their units."""
        return {
            "load_ms": float(f"{self.load_ms:.4g}"),
            "peak_bytes": self.peak_bytes,
            "peak_bytes_over_python": self.peak_bytes - self.base_bytes
            if self.base_bytes
            else None,
        }


def measure_footprint(title: str, network: Network) -> Footprint:
    """Measure an engine of `ENGINES`, whose converted model is there already."""
    spec = b64encode(pickle.dumps((title, network)))
    command = [sys.executable, "-m", "edge_runtime.bench.footprint"]
    done = subprocess.run(command, input=spec, capture_output=True, check=False)
    if done.returncode:
        last = (done.stderr.decode().strip().splitlines() or ["no reason given"])[-1]
        raise VerificationError(f"{title}: its memory cannot be measured ({last})")
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def measure_program(network: Network) -> Footprint:
    """Measure the on-board program, which tells of itself."""
    program = LIBRARY.with_name("edge_classify")
    command = [program, "--bundle", network.path, "--bench", "--json", network.image]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerificationError(f"{program}: {done.stderr.strip()}")
    figures = json.loads(done.stdout)
    return Footprint(figures["first_answer_us"] / 1e3, 1024 * figures["peak_kb"], 0)


def _measure_here(title: str, network: Network) -> Footprint:
    from edge_runtime.bench.engines import ENGINES

    engine = next(one for one in ENGINES if one.title == title)
    forget_peak()
    base, start = peak_bytes(), time.perf_counter()
    opened = engine.open(network, Load(1, 1))
    opened.logits(network.inputs[:1])
    load = time.perf_counter() - start
    opened.logits(network.inputs)
    return Footprint(1e3 * load, peak_bytes(), base)


if __name__ == "__main__":
    print(json.dumps(_measure_here(*pickle.loads(b64decode(sys.stdin.buffer.read()))).__dict__))
