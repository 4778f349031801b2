"""Formal proofs of the core's FIFOs and handshakes: ``python scripts/prove_core.py``.

Yosys turns a module with its assertions (between `ifdef FORMAL and `endif, or in rtl/formal) into
SMT-LIB, and yosys-smtbmc has z3 look for a counterexample: from reset on, and by induction, which
makes it a proof for all time. Where induction is not tried, the line says how far was looked.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import EdgeGlyphError, MissingDependencyError, VerificationError

RTL = Path(__file__).resolve().parent.parent / "edge_runtime/rtl"


@dataclass(frozen=True)
class Proof:
    """A module, its parameters, how many cycles are looked at, and whether induction is tried."""

    top: str
    files: tuple[str, ...]
    claim: str
    parameters: tuple[tuple[str, int], ...] = ()
    depth: int = 5
    induction: bool = True


PROOFS = (
    Proof(
        "eg_fifo",
        ("eg_fifo.v",),
        "in order, unchanged, never lost, what is offered stays",
        (("WIDTH", 4), ("DEPTH_BITS", 2)),
    ),
    Proof("eg_registers", ("eg_registers.v",), "one AXI4-Lite answer for each transaction, kept"),
    Proof(
        "eg_image",
        ("eg_image.v",),
        "the image being computed is not written to",
        (("WORDS", 2), ("ADDRESS_BITS", 1)),
    ),
    Proof("eg_watchdog", ("eg_watchdog.v",), "expires after its limit of waiting, never before"),
    Proof(
        "sets",
        ("eg_fetch.v", "eg_fifo.v", "formal/sets.v"),
        "the operand memory never overflows",
        (("SETS_BITS", 1),),
        depth=11,
        induction=False,
    ),
)


def prove(proof: Proof, folder: Path, rtl: Path = RTL) -> None:
    """Look for a counterexample; `VerificationError` has it."""
    for tool in ("yosys", "yosys-smtbmc", "z3"):
        if not shutil.which(tool):
            raise MissingDependencyError(f"{tool} is not installed: apt-get install yosys z3")
    model = folder / f"{proof.top}.smt2"
    reads = "; ".join(f"read_verilog -formal {rtl / name}" for name in proof.files)
    sizes = "".join(f" -chparam {name} {value}" for name, value in proof.parameters)
    script = f"{reads}; hierarchy -top {proof.top}{sizes}; prep -top {proof.top}; "
    script += f"memory_map; opt_clean; write_smt2 -wires {model}"
    _run(["yosys", "-q", "-p", script])
    base = ["yosys-smtbmc", "-s", "z3", "--unroll", "-t", str(proof.depth)]
    _run([*base, str(model)])
    if proof.induction:
        _run([*base, "-i", str(model)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise VerificationError(f"{command[0]} {command[-1]} failed:\n{said}")


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for proof in PROOFS:
                prove(proof, Path(folder))
                how = "proved" if proof.induction else f"no counterexample in {proof.depth} cycles"
                print(f"{proof.top}: {proof.claim}: {how}", flush=True)
    except EdgeGlyphError as error:
        print(f"prove_core: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
