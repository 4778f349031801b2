"""The on-board program, edge_classify, as it was built: here, or on an emulated Arm processor.

Unlike back end ``native`` this is the program itself: it reads files, preprocesses, runs the
network and writes the JSON lines that a board writes.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import VerificationError

BUILDS: Final = Path(__file__).parent / "cpp/build"
# e_machine of the ELF header: the processor's name, its emulator, where Debian has its C library.
_PROCESSORS: Final = {
    40: ("armhf", "qemu-arm", "/usr/arm-linux-gnueabihf"),
    183: ("aarch64", "qemu-aarch64", "/usr/aarch64-linux-gnu"),
}
_HOST: Final = {"x86_64": 62, "aarch64": 183, "armv7l": 40}
_SECONDS = 3600


@dataclass(frozen=True)
class Program:
    """One build of edge_classify, on one instruction set.

    command : the program, with its emulator where it needs one
    processor : "native", or the emulated one: "armhf", "aarch64"
    isa : instruction set to ask for; None where the program has no such option
    """

    path: Path
    command: tuple[str, ...]
    processor: str
    isa: str | None

    @property
    def name(self) -> str:
        """What the ladder calls it: ``cpp-avx2``, ``armhf-neon``."""
        kind = "cpp" if self.processor == "native" else self.processor
        return f"{kind}-{self.isa}" if self.isa else kind

    @property
    def title(self) -> str:
        """What tables call it."""
        where = "" if self.processor == "native" else f", emulated {self.processor}"
        return f"int8 (C++ {self.isa or 'program'}{where})"

    def run(self, bundle: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it; logits and texts are on standard output, JSON lines in UTF-8."""
        isa = ("--isa", self.isa) if self.isa else ()
        return subprocess.run(
            [*self.command, "--bundle", str(bundle), *isa, *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_SECONDS,
            check=False,
        )

    def classify(self, bundle: Path, images: Sequence[Path], top_k: int) -> list[dict[str, Any]]:
        """Classify files; a dictionary per image, as `python -m edge_runtime classify` has it.

        Raises
        ------
        VerificationError
            The program refuses its bundle, its self-test fails, or lines are missing.
        """
        done = self.run(bundle, "--json", "--top-k", str(top_k), "--", *map(str, images))
        lines = done.stdout.splitlines()
        if len(lines) != len(images):
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise VerificationError(f"{self.path}: {said[-1]}")
        return [json.loads(line) for line in lines]


def find_programs(builds: Path = BUILDS) -> tuple[list[Program], dict[str, str]]:
    """Find the programs that can run here, one per processor and instruction set.

    Of several boards' builds for one processor the newest counts.

    Returns
    -------
    The programs; and by processor why it has none.
    """
    absent = {
        "cpp": "not built: make runtime",
        "armhf": "not built: make runtime BOARD=zedboard",
        "aarch64": "not built: make runtime BOARD=kv260",
    }
    own = _HOST.get(os.uname().machine)
    programs: list[Program] = []
    for path in sorted(builds.glob("*/edge_classify"), key=lambda p: -p.stat().st_mtime):
        if "sanitized" in path.parent.name:
            continue
        machine = _machine(path)
        name = "cpp" if machine == own else _PROCESSORS.get(machine, ("",))[0]
        if name not in absent:
            continue
        if machine == own:
            command: tuple[str, ...] = (str(path),)
        else:
            _, emulator, library = _PROCESSORS[machine]
            if not shutil.which(emulator):
                absent[name] = f"no {emulator} on this machine (Debian: qemu-user)"
                continue
            command = (emulator, "-L", library, str(path))
        del absent[name]
        processor = "native" if name == "cpp" else name
        programs += [Program(path, command, processor, isa) for isa in _instruction_sets(command)]
    order = ["native", *(name for name, _, _ in _PROCESSORS.values())]
    return sorted(programs, key=lambda program: order.index(program.processor)), absent


def _instruction_sets(command: Sequence[str]) -> list[str | None]:
    """Instruction sets that a program lists for this processor; [None] where it lists none."""
    help_text = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    if "--isa " not in help_text.stdout:
        return [None]

    def version(isa: str) -> "subprocess.CompletedProcess[str]":
        asked = [*command, "--isa", isa, "--version"]
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    # A name that there is none of is answered with those that there are.
    listed = version("?").stderr.rpartition("there are ")[2].strip().split(", ")
    known = [name for name in reversed(listed) if name and name != "auto"]
    return [name for name in known if version(name).returncode == 0] or [None]


def _machine(path: Path) -> int:
    with path.open("rb") as stream:
        header = stream.read(20)
    return int.from_bytes(header[18:20], "little") if header[:4] == b"\x7fELF" else 0
