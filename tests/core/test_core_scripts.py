"""Synthesis: what a table counts, and its limits. Lint of the Verilog."""

import shutil
import subprocess
import sys

import pytest

from edge_runtime.errors import VerificationError
from tests.core.conftest import ROOT, load_script


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return load_script("synthesize_core")
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def test_cells_are_counted_as_the_device_counts(script):
    cells = {"LUT1": 3, "LUT6": 10, "SRL16E": 2, "INV": 1, "RAM32M": 5, "FDRE": 7, "FDSE": 1}
    script.check_latches(cells)
    with pytest.raises(VerificationError, match=r"latches: {'LDCE': 2}"):
        script.check_latches(cells | {"LDCE": 2})
    cells |= {"DSP48E1": 4, "RAMB36E1": 6, "RAMB18E1": 3, "CARRY4": 99, "MUXF7": 99}
    used = {use.kind: use.used for use in script.utilization(cells)}
    assert used == {"LUT": 36, "FF": 8, "DSP48E1": 4, "RAMB36": 7.5}


@pytest.mark.parametrize(
    ("cells", "fits"),
    [
        ({"RAMB36E1": 133}, True),
        ({"RAMB36E1": 134}, False),
        ({"LUT6": 45_220}, True),
        ({"LUT6": 45_221}, False),
        ({"DSP48E1": 188}, False),
    ],
)
def test_limits(script, cells, fits):
    assert all(use.fits for use in script.utilization(cells)) is fits


def test_a_log_without_a_routed_frequency_is_refused(script):
    log = (
        "Max frequency for clock '$x': 50.00 MHz (PASS)\nMax frequency for clock '$x': 61.20 MHz\n"
    )
    with pytest.raises(VerificationError, match="did not route"):
        script.report_of(log)
    assert "routed: 61.20 MHz" in script.report_of(log + "Info: Program finished normally.\n")


def test_lint():
    for tool in ("verilator", "iverilog"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")
    done = subprocess.run(
        ["make", "core-lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
