"""Faults sown into the Verilog, one at a time: each must be noticed by what the other tests do."""

from dataclasses import dataclass

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.core_model import CoreModel
from edge_runtime.errors import GraphError, VerificationError
from quantize.core.compiler import compile_core
from tests.core.conftest import ROOT, SMALL, build_model
from tests.core_networks import chain, gentle, images

RTL = ROOT / "edge_runtime/rtl"
SEEDS = range(12)


@dataclass(frozen=True)
class Fault:
    """A line of Verilog, and what it becomes."""

    file: str
    text: str
    becomes: str


FAULTS = {
    "the borrow between two products": Fault("eg_lane", "product_q[15];", "1'b0;"),
    "half, in rounding": Fault("eg_requantize", "i_shift) >> 1;", "i_shift) >> 2;"),
    "the shift of the bias": Fault("eg_requantize", "<<< i_shift_bias", "<<< i_shift"),
    "the largest value": Fault("eg_requantize", "shifted > high", "1'b0"),
    "the smallest value": Fault("eg_requantize", "shifted < low", "shifted < -32'sd128"),
    "a column beyond the map": Fault(
        "eg_fetch", "x[10:0] < {3'd0, i_in_width}", "x[10:0] <= {3'd0, i_in_width}"
    ),
    "the next row": Fault(
        "eg_fetch",
        "next_address <= row_address + i_step_y",
        "next_address <= next_address + i_step_y",
    ),
    "padding": Fault("eg_fetch", "o_zero    <= !on_map[", "o_zero    <= 1'b0 && on_map["),
    "weights of an image's channels": Fault(
        "eg_fetch", "(i_from_image ? 16'd1 : 16'd16)", "16'd16"
    ),
    "sums of the group before": Fault("eg_issue", "if (mark)      fresh <= 1'b1;", "if (1'b0) ;"),
    "the upper half's weights": Fault("eg_issue", "i_begin, k[0],", "i_begin, 1'b0,"),
    "pixels of the upper half": Fault(
        "eg_drain", "PAIR == 2 ? slot[1] : slot[0];", "PAIR == 2 ? slot[0] : slot[0];"
    ),
    "biases of a pool": Fault("eg_drain", "i_pool ? 128'd0 : ", ""),
    "the ring's end": Fault("eg_weights", "== CAPACITY - 1 ?", "== CAPACITY ?"),
    "weights are freed": Fault("eg_weights", "i_release && !i_resident;", "1'b0;"),
    "weights are waited for": Fault(
        "eg_sequencer", "!o_illegal && i_weights_present", "!o_illegal"
    ),
    "the image that is computed": Fault(
        "eg_image", "memory[{read_bank, i_address", "memory[{write_bank, i_address"
    ),
    "the machine is empty": Fault(
        "eg_core", "!fetch_idle || !issue_idle || !drain_idle", "!fetch_idle || !issue_idle"
    ),
    "room for sets": Fault("eg_fetch", "(slot != 3'd0 || room != 5'd0)", "1'b1"),
}


def is_noticed(core: CoreModel) -> bool:
    """Whether random networks, with pauses and without, come out otherwise than they should."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        network = gentle(rng) if seed % 3 == 0 else chain(rng)
        inputs = images(rng, network, 3) // (8 if seed % 3 == 0 else 1)
        try:
            compiled = compile_core(network, SMALL)
        except GraphError:
            continue
        core.pauses(seed + 1, 128 if seed % 2 else 0)
        try:
            found = core.classify(compiled.image(), inputs)
        except VerificationError:
            return True
        if not np.array_equal(found, integer.run(network, inputs)):
            return True
    return False


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_noticed(what, tmp_path):
    fault = FAULTS[what]
    for path in [*RTL.glob("eg_*.v"), *RTL.glob("*.vlt")]:
        text = path.read_text()
        if path.stem == fault.file:
            assert text.count(fault.text) == 1, f"{fault.text!r} is not once in {path.name}"
            text = text.replace(fault.text, fault.becomes)
        (tmp_path / path.name).write_text(text)
    library = build_model(SMALL, output=tmp_path / "model", rtl=tmp_path, optimize="-O0")
    assert is_noticed(CoreModel(library))


def test_the_core_as_it_is_passes(small):
    assert not is_noticed(small)
