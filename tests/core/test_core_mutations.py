"""Faults sown into the Verilog, one at a time: each must be noticed by what the other tests do."""

from dataclasses import dataclass
from pathlib import Path

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
    """A piece of Verilog, and what it becomes: the same, unless FAULT is 1."""

    file: str
    text: str
    becomes: str


FAULTS = {
    "the borrow between two products": Fault(
        "eg_lane", "product_q[15];", "product_q[15] && !FAULT;"
    ),
    "half, in rounding": Fault("eg_requantize", "i_shift) >> 1;", "i_shift) >> (FAULT ? 2 : 1);"),
    "the shift of the bias": Fault(
        "eg_requantize", "<<< i_shift_bias", "<<< (FAULT ? i_shift : i_shift_bias)"
    ),
    "the largest value": Fault("eg_requantize", "shifted > high", "shifted > high && !FAULT"),
    "the smallest value": Fault(
        "eg_requantize", "shifted < low", "shifted < (FAULT ? -32'sd128 : low)"
    ),
    "a column beyond the map": Fault(
        "eg_fetch", "x[10:0] < {3'd0, i_in_width}", "x[10:0] < {3'd0, i_in_width} + {10'd0, FAULT}"
    ),
    "the next row": Fault(
        "eg_fetch",
        "next_address <= row_address + i_step_y",
        "next_address <= (FAULT ? next_address : row_address) + i_step_y",
    ),
    "padding": Fault("eg_fetch", "o_zero    <= !on_map[", "o_zero    <= !FAULT && !on_map["),
    "weights of an image's channels": Fault(
        "eg_fetch", "(i_from_image ? 16'd1 : 16'd16)", "(i_from_image && !FAULT ? 16'd1 : 16'd16)"
    ),
    "sums of the group before": Fault(
        "eg_issue", "if (mark)      fresh <= 1'b1;", "if (mark && !FAULT) fresh <= 1'b1;"
    ),
    "the upper half's weights": Fault("eg_issue", "i_begin, k[0],", "i_begin, k[0] && !FAULT,"),
    "pixels of the upper half": Fault(
        "eg_drain",
        "PAIR == 2 ? slot[1] : slot[0];",
        "PAIR == 2 && !FAULT ? slot[1] : slot[0];",
    ),
    "biases of a pool": Fault("eg_drain", "i_pool ? 128'd0 : ", "i_pool && !FAULT ? 128'd0 : "),
    "the ring's end": Fault(
        "eg_weights", "== CAPACITY - 1 ?", "== CAPACITY - (FAULT ? 16'd0 : 16'd1) ?"
    ),
    "weights are freed": Fault(
        "eg_weights", "i_release && !i_resident;", "i_release && !i_resident && !FAULT;"
    ),
    "weights are waited for": Fault(
        "eg_sequencer",
        "!o_illegal && i_weights_present",
        "!o_illegal && (i_weights_present || FAULT)",
    ),
    "the image that is computed": Fault(
        "eg_image",
        "memory[{read_bank, i_address",
        "memory[{FAULT ? write_bank : read_bank, i_address",
    ),
    "the machine is empty": Fault(
        "eg_core",
        "!fetch_idle || !issue_idle || !drain_idle",
        "!fetch_idle || !issue_idle || (!drain_idle && !FAULT)",
    ),
    "room for sets": Fault(
        "eg_fetch", "(slot != 3'd0 || room != 5'd0)", "(slot != 3'd0 || room != 5'd0 || FAULT)"
    ),
    "a logit that is offered stays": Fault(
        "eg_core",
        "= logit_valid && by_streams;",
        "= logit_valid && by_streams && !(FAULT && busy);",
    ),
}


@pytest.fixture(scope="module")
def faulty_library(tmp_path_factory) -> Path:
    """One model with all faults, each asleep until its plusarg wakes it."""
    folder = tmp_path_factory.mktemp("faults")
    for path in [*RTL.glob("eg_*.v"), *RTL.glob("*.vlt")]:
        text = path.read_text()
        for number, fault in enumerate(FAULTS.values()):
            if path.stem != fault.file:
                continue
            assert text.count(fault.text) == 1, f"{fault.text!r} is not once in {path.name}"
            text = text.replace(fault.text, fault.becomes.replace("FAULT", f"fault_{number}"))
            # Right behind the ports, of which the list ends with the first line that is ");".
            declared = (
                f'reg fault_{number}; initial fault_{number} = $test$plusargs("f{number}_") != 0;'
            )
            text = text.replace("\n);\n", f"\n);\n    {declared}\n", 1)
        (folder / path.name).write_text(text)
    return build_model(SMALL, output=folder / "model", rtl=folder, optimize="-O1")


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
def test_faults_are_noticed(what, faulty_library):
    number = list(FAULTS).index(what)
    assert is_noticed(CoreModel(faulty_library, f"+f{number}_"))


def test_without_a_fault_nothing_is_noticed(faulty_library):
    assert not is_noticed(CoreModel(faulty_library))
