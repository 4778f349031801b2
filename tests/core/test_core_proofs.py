"""Formal proofs of the core's FIFO and handshakes, and that a fault makes them fail."""

import shutil

import pytest

from edge_runtime.errors import VerificationError
from tests.core.conftest import ROOT, load_script

RTL = ROOT / "edge_runtime/rtl"
SCRIPT = load_script("prove_core")
QUICK = {proof.top: proof for proof in SCRIPT.PROOFS}


@pytest.fixture(autouse=True)
def _tools():
    for tool in ("yosys", "z3"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")


@pytest.mark.parametrize("top", ["eg_fifo", "eg_registers", "eg_image", "eg_watchdog"])
def test_proofs_hold(top, tmp_path):
    SCRIPT.prove(QUICK[top], tmp_path)


@pytest.mark.parametrize(
    ("top", "text", "becomes"),
    [
        ("eg_fifo", "assign o_ready = !o_level[DEPTH_BITS];", "assign o_ready = 1'b1;"),
        ("eg_fifo", "if (take) taken   <= taken + 1'b1;", "taken <= taken + 1'b1;"),
        ("eg_registers", "else if (i_bready) o_bvalid <= 1'b0;", "else o_bvalid <= 1'b0;"),
        ("eg_image", "= i_enable && !full[write_bank];", "= 1'b1;"),
        ("eg_watchdog", "idle >= i_limit;", "idle + 1 >= i_limit;"),
    ],
)
def test_faults_break_them(top, text, becomes, tmp_path):
    source = (RTL / f"{top}.v").read_text()
    assert source.count(text) == 1
    (tmp_path / f"{top}.v").write_text(source.replace(text, becomes))
    with pytest.raises(VerificationError, match="failed"):
        SCRIPT.prove(QUICK[top], tmp_path, tmp_path)
