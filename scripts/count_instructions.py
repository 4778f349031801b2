"""Count the instructions that an image takes on Arm: ``python scripts/count_instructions.py``.

From a 64×64 gray buffer to logits: preprocessing and the shipped network, decoding excluded. The
boards' edge_bench runs under QEMU's user emulation with a plugin that counts; one more image costs
what two take less what one takes, so that starting and ending do not count. The figures repeat
exactly; they belong to one compiler and one C library, which the record names.
"""

import argparse
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from build_runtime import CPP, ROOT, BuildError, build
from tabulate import tabulate

from edge_runtime.files import write_json

RECORD = ROOT / "tests/edge_runtime/instruction_counts.json"
BUNDLE = ROOT / "models/scene62/scene62.egb"
PLUGIN = ROOT / "scripts/count_instructions.c"
TOLERANCE = 0.03  # what may be worse than the record


@dataclass(frozen=True)
class Target:
    """A board's build on an emulated processor.

    most : instructions that an image may take at all
    """

    board: str
    emulator: str
    libraries: str
    cpu: str
    isa: str
    most: int

    @property
    def name(self) -> str:
        return f"{self.board} {self.cpu} {self.isa}"


TARGETS = (
    Target("zedboard", "qemu-arm", "/usr/arm-linux-gnueabihf", "cortex-a9", "neon", 3_200_000),
    Target("kv260", "qemu-aarch64", "/usr/aarch64-linux-gnu", "cortex-a53", "neon", 2_600_000),
    Target("kv260", "qemu-aarch64", "/usr/aarch64-linux-gnu", "cortex-a76", "neon-dot", 1_200_000),
)


class CountError(Exception):
    """What cannot be counted, and why, in one line."""


def build_plugin(output: Path) -> Path:
    """Compile the plugin for this machine."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise CountError("no C compiler for the plugin; install gcc")
    output.mkdir(parents=True, exist_ok=True)
    library = output / "count_instructions.so"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    done = subprocess.run(
        [compiler, *flags, "-fvisibility=hidden", PLUGIN, "-o", library],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CountError(done.stderr.strip())
    return library


def count(target: Target, program: Path, plugin: Path) -> int:
    """Instructions of one image more."""
    one, two = (_run(target, program, plugin, images) for images in (1, 2))
    return two - one


def _run(target: Target, program: Path, plugin: Path, images: int) -> int:
    emulator = shutil.which(target.emulator)
    if not emulator:
        raise CountError(f"no {target.emulator} on this machine (Debian: qemu-user)")
    line = [emulator, "-L", target.libraries, "-cpu", target.cpu, "-plugin", str(plugin)]
    line += [str(program), "--bundle", str(BUNDLE), "--isa", target.isa, "--repeat", str(images)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    found = re.search(r"^instructions (\d+)$", done.stderr, re.MULTILINE)
    if done.returncode or not found:
        raise CountError(f"{target.name}: {done.stderr.strip()}")
    return int(found[1])


def count_all() -> dict[str, int]:
    """Build what is missing and count every target."""
    plugin = build_plugin(CPP / "build/plugin")
    counts = {}
    for target in TARGETS:
        program = build(target.board, None, CPP / "build" / target.board)
        counts[target.name] = count(target, program.with_name("edge_bench"), plugin)
    return counts


def tools() -> dict[str, str]:
    """What the figures depend on beside the sources."""
    first = subprocess.run(["qemu-arm", "--version"], capture_output=True, text=True, check=True)
    qemu = re.search(r"version (\S+)", first.stdout)
    return {
        "zig": importlib.metadata.version("ziglang"),
        "qemu": qemu[1] if qemu else "unknown",
    }


def complaints(counts: dict[str, int], recorded: dict[str, int]) -> list[str]:
    """Lines for what is worse than recorded, or above the limit."""
    lines = []
    for target in TARGETS:
        found, before = counts[target.name], recorded.get(target.name)
        if found > target.most:
            lines.append(f"{target.name}: {found:,} instructions, over {target.most:,}")
        if before is None:
            lines.append(f"{target.name}: not in {RECORD.name}; `make count UPDATE=1` adds it")
        elif found > before * (1 + TOLERANCE):
            lines.append(
                f"{target.name}: {found:,} instructions, {found / before - 1:.1%} more than "
                f"recorded; make it faster, or accept it with `make count UPDATE=1`"
            )
    return lines


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="count_instructions", description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help=f"renew {RECORD.name}")
    options = parser.parse_args()
    try:
        counts, made_with = count_all(), tools()
    except (BuildError, CountError) as error:
        print(f"count_instructions: {error}", file=sys.stderr)
        return 2
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.is_file() else {}
    recorded = record.get("counts", {})
    rows = [(t.name, counts[t.name], recorded.get(t.name), t.most) for t in TARGETS]
    headers = ("board, processor, instructions", "found", "recorded", "at most")
    print(tabulate(rows, headers, intfmt=","))
    if options.update:
        write_json(RECORD, {"tools": made_with, "counts": counts})
        recorded = counts
    elif record.get("tools") != made_with:
        print(f"recorded with {record.get('tools')}, this is {made_with}", file=sys.stderr)
    worse = complaints(counts, recorded)
    for line in worse:
        print(f"count_instructions: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
