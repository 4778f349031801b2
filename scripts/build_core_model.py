"""Build the core's Verilator model: ``python scripts/build_core_model.py core128``.

The output is edge_runtime/rtl/build/TARGET/libcore_model.so (interface: rtl/model/core_model.h),
which `edge_classify --backend core-sim` and the tests load. What is up to date is left alone.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from edge_runtime.errors import EdgeGlyphError, MissingDependencyError
from quantize.core.target import TARGETS, CoreTarget, find_target

ROOT = Path(__file__).resolve().parent.parent
RTL = ROOT / "edge_runtime/rtl"
LIBRARY = "libcore_model.so"
# "unique": what is unknown in the Verilog, such as all registers at power-up, gets random bits.
VERILATE = ["--cc", "--top-module", "eg_core", "-O3", "--x-assign", "unique"]
VERILATE += ["--x-initial", "unique"]
COMPILE = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-DVL_TIME_CONTEXT"]


def parameters(target: CoreTarget) -> dict[str, int]:
    """Verilog parameters of `eg_core` for a target."""
    return {
        "LANES": target.lanes,
        "PAIR": target.pair,
        "WEIGHT_DEPTH": target.weight_depth,
        "WEIGHT_BITS": (target.weight_depth - 1).bit_length(),
        "ACTIVATION_DEPTH": target.activation_depth,
        "ACTIVATION_BITS": (target.activation_depth - 1).bit_length(),
    }


def build(target: CoreTarget, output: Path, rtl: Path = RTL, optimize: str = "-O2") -> Path:
    """Build the model of a target from the Verilog in ``rtl``; return the library's path.

    Raises
    ------
    MissingDependencyError
        When Verilator or g++ is missing.
    EdgeGlyphError
        When one of them fails; the message has what it said.
    """
    for tool in ("verilator", "g++"):
        if not shutil.which(tool):
            raise MissingDependencyError(f"{tool} is not installed: apt-get install {tool}")
    library, flags = output / LIBRARY, [f"-G{k}={v}" for k, v in parameters(target).items()]
    harness = [RTL / "model/core_model.cpp", RTL / "model/core_model.h"]
    sources = [*rtl.glob("eg_*.v"), *rtl.glob("*.vlt"), *harness, Path(__file__)]
    stamp = output / "flags"
    if library.is_file() and stamp.is_file() and stamp.read_text() == " ".join(flags):
        newest = max(source.stat().st_mtime for source in sources)
        if library.stat().st_mtime > newest:
            return library
    output.mkdir(parents=True, exist_ok=True)
    generated = output / "verilated"
    shutil.rmtree(generated, ignore_errors=True)
    waivers = [str(path) for path in rtl.glob("*.vlt")]
    _run(
        [
            "verilator",
            *VERILATE,
            *flags,
            "-Mdir",
            str(generated),
            *waivers,
            "-y",
            str(rtl),
            str(rtl / "eg_core.v"),
        ]
    )
    root = subprocess.run(
        ["verilator", "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=True
    )
    include = Path(root.stdout.strip()) / "include"
    runtime = [str(include / name) for name in ("verilated.cpp", "verilated_threads.cpp")]
    new = library.with_suffix(".new")
    _run(
        ["g++", *COMPILE, optimize, "-shared", "-pthread", f"-I{generated}", f"-isystem{include}"]
        + [str(path) for path in sorted(generated.glob("*.cpp"))]
        + [str(harness[0]), *runtime, "-o", str(new)]
    )
    shutil.rmtree(generated)
    new.replace(library)
    stamp.write_text(" ".join(flags))
    return library


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeGlyphError(f"{command[0]} failed:\n{done.stderr or done.stdout}")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    options = parser.parse_args()
    try:
        print(build(find_target(options.target), RTL / "build" / options.target))
    except EdgeGlyphError as error:
        print(f"build_core_model: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
