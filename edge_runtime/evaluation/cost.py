"""What a rung costs: start-up, latency, throughput, CPU time, memory, size on disk.

Each rung is measured in a process of its own, so that one's libraries are not in the other's
memory. Latency is of the network alone, on one preprocessed image; the program for boards measures
itself (``edge_classify --bench``). `python -m edge_runtime.evaluation.cost` is that process.
"""

import json
import os
import pickle
import platform
import resource
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.errors import VerificationError
from edge_runtime.evaluation.chunks import CHUNK
from edge_runtime.files import content_bytes
from edge_runtime.ladder.engines import Batch, open_engine
from edge_runtime.ladder.rungs import Rung
from edge_runtime.memory import peak_bytes
from edge_runtime.preprocess import SIDE
from edge_runtime.programs import Program

_WARM_UP: Final = 20  # runs
_SECONDS: Final = 1.0  # of single images, and again of batches
_FEWEST, _MOST = 30, 5000  # runs
_BATCH: Final = 64
_FROM_BUNDLE: Final = ("int8", "native", "core-sim")  # back ends that read the bundle's integers


@dataclass(frozen=True)
class Cost:
    """What one rung costs on this machine.

    start_s : from starting a process to its first answer
    median_ms, p99_ms : of one image, over ``runs`` runs after the warm-up
    images_per_s : in batches of 64; of a program, files to lines with its start
    cpu_ms : user and system time for an image of these
    peak_bytes : largest resident memory;  size_bytes : of the files that it needs
    """

    start_s: float
    median_ms: float
    p99_ms: float
    runs: int
    images_per_s: float
    cpu_ms: float
    peak_bytes: int
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return all figures, with four significant digits."""
        exact = ("runs", "peak_bytes", "size_bytes")
        return {
            name: value if name in exact else float(f"{value:.4g}")
            for name, value in self.__dict__.items()
        }


def measure_costs(rungs: Sequence[Rung]) -> dict[str, Cost]:
    """Measure all rungs but emulated ones, whose times tell of no processor, one by one."""
    real = [rung for rung in rungs if not rung.program or rung.program.processor == "native"]
    bar = tqdm(real, desc="measure cost", unit="network", disable=None, leave=False)
    return {rung.name: measure_cost(rung) for rung in bar}


def measure_cost(rung: Rung) -> Cost:
    """Measure one rung."""
    size = content_bytes(rung.bundle) if rung.program or rung.name in _FROM_BUNDLE else 0
    size += sum(content_bytes(file) for file in rung.files)
    with tempfile.TemporaryDirectory(prefix="edgeglyph-") as folder:
        if rung.program is not None:
            return _measure_program(rung, rung.program, Path(folder), size)
        spec = b64encode(pickle.dumps((rung, folder, size, time.time()))).decode()
        command = [sys.executable, "-m", "edge_runtime.evaluation.cost", spec]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise VerificationError(f"rung {rung.name}: its cost cannot be measured ({last})")
    return Cost(**json.loads(done.stdout))


def machine() -> dict[str, Any]:
    """The computer that costs are of; a load above its cores makes times worthless."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def cost_table(costs: dict[str, Cost]) -> str:
    """A row per rung."""
    rows = [
        [
            name,
            f"{c.median_ms:.3g}",
            f"{c.p99_ms:.3g}",
            f"{c.images_per_s:,.0f}",
            f"{c.cpu_ms:.3g}",
            f"{c.peak_bytes / 2**20:,.1f}",
            f"{c.size_bytes / 2**20:,.2f}",
            f"{c.start_s:.3g}",
        ]
        for name, c in costs.items()
    ]
    headers = ["network", "median ms", "99 % ms", "images/s", "CPU ms", "memory MiB"]
    headers += ["size MiB", "start s"]
    align = ("left", *["right"] * 7)
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align)


def _measure_here(rung: Rung, folder: Path, size: int, started: float) -> Cost:
    """Measure a back end in this process, which was started for it at ``started``."""
    engine = open_engine(rung, folder)
    rng = np.random.default_rng(0)
    inputs = rng.integers(-128, 128, (_BATCH, SIDE, SIDE, 1)).astype(np.int8)
    one, many = Batch([Path("-")], inputs[:1]), Batch([Path("-")] * _BATCH, inputs)
    engine.answer(one)
    start = time.time() - started
    for _ in range(_WARM_UP):
        engine.answer(one)
    times = _timed(lambda: engine.answer(one))
    engine.answer(many)
    cpu = time.process_time()
    batches = _timed(lambda: engine.answer(many))
    cpu = time.process_time() - cpu
    images = _BATCH * len(batches)
    return Cost(
        start,
        1e3 * float(np.median(times)),
        1e3 * float(np.percentile(times, 99)),
        len(times),
        images / sum(batches),
        1e3 * cpu / images,
        peak_bytes(),
        size,
    )


def _timed(run: Any) -> list[float]:
    times: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(times) < _FEWEST or (time.perf_counter() < until and len(times) < _MOST):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return times


def _measure_program(rung: Rung, program: Program, folder: Path, size: int) -> Cost:
    image = folder / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40), np.uint8)
    Image.fromarray(pixels).save(image)
    bench = program.run(rung.bundle, "--bench", "--json", str(image))
    if bench.returncode:
        raise VerificationError(f"{program.path}: {bench.stderr.strip()}")
    figures = json.loads(bench.stdout)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    program.classify(rung.bundle, [image] * CHUNK, 1)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    network = figures["network"]
    return Cost(
        figures["first_answer_us"] / 1e6,
        network["median_us"] / 1e3,
        network["p99_us"] / 1e3,
        network["runs"],
        CHUNK / seconds,
        1e3 * cpu / CHUNK,
        1024 * figures["peak_kb"],
        size,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _main() -> None:
    rung, folder, size, started = pickle.loads(b64decode(sys.argv[1]))
    print(json.dumps(_measure_here(rung, Path(folder), size, started).__dict__))


if __name__ == "__main__":
    _main()
