"""The compiler for the open core: its programs, run by a model of it, against the reference."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.core_section import CoreImage
from edge_runtime.errors import BundleError, GraphError, SettingsError
from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork, MaxPool
from quantize.core import model
from quantize.core.compiler import compile_core, listing
from quantize.core.pack import with_core
from quantize.core.program import Instruction, Program
from quantize.core.target import TARGETS, CoreTarget, find_target
from tests.core_networks import chain, images

SHIPPED = Path(__file__).resolve().parents[2] / "models/scene62/scene62.egb"
TARGET = CoreTarget("test", 32, weight_depth=14336)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), lanes=st.sampled_from([32, 64, 128]))
def test_programs_compute_the_network(seed, lanes):
    rng = np.random.default_rng(seed)
    network = chain(rng)
    target = dataclasses.replace(TARGET, lanes=lanes)
    compiled = compile_core(network, target)
    inputs = images(rng, network, 2)
    found = model.run(compiled.program.pack(), compiled.weights, inputs, target)
    np.testing.assert_array_equal(found, integer.run(network, inputs))
    assert Program.unpack(compiled.program.pack()) == compiled.program


@settings(max_examples=60)
@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=12, max_size=12))
def test_words_that_are_no_instruction_are_refused_or_kept(words):
    try:
        found = Instruction.unpack(tuple(words))
    except ValueError:
        return
    assert list(found.pack()) == words


def conv(weights: np.ndarray, **changes: object) -> Conv:
    bias = np.zeros(len(weights), np.int8)
    layer = Conv("c", -1, weights, bias, (1, 1), (0, 0, 0, 0), Activation.NONE, 0, 0, 0)
    return dataclasses.replace(layer, **changes)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int8)


REFUSED = {
    "leaky": ((1, 1, 4), [conv(ones(3, 1, 1, 4), activation=Activation.LEAKY_RELU)], "leaky_relu"),
    "depthwise": ((1, 1, 4), [conv(ones(4, 1, 1, 1), depthwise=True)], "depthwise"),
    "max pool": ((1, 2, 1), [MaxPool("c", -1, (1, 2), (1, 1), (0, 0, 0, 0), 0, 7)], "MaxPool"),
    "image": ((33, 32, 1), [conv(ones(3, 33, 32, 1))], "more than 1,024 bytes"),
    "kernel": ((16, 1, 1), [conv(ones(3, 16, 1, 1))], "kernel or stride above 15"),
    "padding": (
        (1, 1, 1),
        [conv(ones(1, 1, 1, 1), pad=(1, 0, 0, 0), stride=(2, 1))],
        "lie in the padding",
    ),
    "pool": ((2, 2, 1), [AvgPool("c", -1, (2, 2), (1, 1), 200, 9, 3)], "factor 200"),
    "shift": ((2, 2, 1), [AvgPool("c", -1, (2, 2), (1, 1), 1, -1, 3)], "shifts are 0 to 24"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_networks_that_the_core_cannot_run(what):
    shape, layers, words = REFUSED[what]
    network = IntegerNetwork(shape, 7, tuple(layers))
    with pytest.raises(GraphError, match=words) as caught:
        compile_core(network, TARGET)
    assert str(caught.value).startswith("test cannot run this network: ")


def test_memories_that_are_too_small():
    wide = IntegerNetwork(
        (8, 8, 1),
        7,
        (
            conv(ones(40, 1, 1, 1)),
            conv(ones(9, 8, 8, 40), source=0, name="head"),
        ),
    )
    small = dataclasses.replace(TARGET, weight_depth=64)
    with pytest.raises(GraphError, match=r"head needs 1,281 weight words at once; .* has 64"):
        compile_core(wide, small)
    few = dataclasses.replace(TARGET, activation_depth=100)
    with pytest.raises(GraphError, match=r"c needs 3,072 bytes .* memory has 1,600"):
        compile_core(wide, few)
    deep = IntegerNetwork(
        (1, 1, 1),
        7,
        tuple(conv(ones(1, 1, 1, 1), source=i - 1, name=f"c{i}") for i in range(86)),
    )
    with pytest.raises(GraphError, match="86 tiles, and the program memory holds 85"):
        compile_core(deep, TARGET)
    branch = IntegerNetwork(
        (1, 1, 1),
        7,
        (conv(ones(1, 1, 1, 1)), conv(ones(1, 1, 1, 1), name="other")),
    )
    with pytest.raises(GraphError, match="other does not read the layer before it"):
        compile_core(branch, TARGET)


def test_targets():
    assert find_target("core128") is TARGETS["core128"]
    with pytest.raises(SettingsError, match="no core 'core9'; there are core128, core64, core32"):
        find_target("core9")
    with pytest.raises(SettingsError, match="16 lanes"):
        CoreTarget("x", 16)


def test_the_shipped_network_meets_its_figures():
    bundle = read_bundle(SHIPPED)
    compiled = compile_core(bundle.network, find_target("core128"))
    assert compiled.program.resident
    assert compiled.image_cycles < 34_000
    single = dataclasses.replace(find_target("core128"), pair=1)
    assert compile_core(bundle.network, single).image_cycles < 64_000
    text = listing(compiled)
    assert "29,142 cycles for an image" in text
    assert text.count("discriminator/") == len(compiled.tiles)


def test_section_of_a_bundle(tmp_path):
    bundle = with_core(read_bundle(SHIPPED), "core64")
    path = tmp_path / "with-core.egb"
    write_bundle(path, bundle)
    assert read_bundle(path).core == bundle.core
    image = bundle.core
    assert image is not None
    for wrong, words in (
        (dataclasses.replace(image, lanes=32), "none for 32 lanes"),
        (dataclasses.replace(image, program=image.program[:-4]), "damaged"),
        (dataclasses.replace(image, program=image.program[:9]), "cut off"),
        (dataclasses.replace(image, weights=image.weights[:-1]), "not as many"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong.check(bundle.network)
    with pytest.raises(ValueError, match="another network"):
        image.check(IntegerNetwork((2, 2, 1), 7, (conv(ones(3, 2, 2, 1)),)))


def test_damaged_sections_are_refused(tmp_path):
    packed = with_core(read_bundle(SHIPPED), "core128").core.pack()
    read = json.loads
    assert CoreImage.unpack(packed, read).target == "core128"
    with pytest.raises(ValueError, match="SHA-256"):
        CoreImage.unpack(packed[:-1] + b"x", read)
    with pytest.raises(ValueError, match="header lies outside"):
        CoreImage.unpack(b"\xff\xff\xff\0" + packed[4:], read)
    with pytest.raises(ValueError, match="must have the keys"):
        CoreImage.unpack(packed.replace(b'"cycles"', b'"cyclas"'), read)
    with pytest.raises(BundleError, match="damaged"):
        Program.unpack(b"EGC1" + bytes(4 * 7))
