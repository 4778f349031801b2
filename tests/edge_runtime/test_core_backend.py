"""The open core behind edge_classify and behind Python's back ends, simulated."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.core_model import library_of
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.ladder.compare import Ladder, LadderError
from edge_runtime.ladder.engines import Batch, open_engine
from edge_runtime.ladder.rungs import choose, find_rungs
from edge_runtime.preprocess import preprocess
from edge_runtime.runners import open_runner
from quantize.core.pack import with_core
from quantize.core.target import find_target
from tests.conftest import draw_character
from tests.core.conftest import SMALL, build_model

SHIPPED = Path(__file__).resolve().parents[2] / "models/scene62/scene62.egb"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """The shipped classifier with a program for core128, whose model is built."""
    build_model(find_target("core128"))
    path = tmp_path_factory.mktemp("core") / "core.egb"
    write_bundle(path, with_core(read_bundle(SHIPPED), "core128"))
    return path


@pytest.fixture(scope="module")
def character(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "R.png"
    draw_character("R").save(path)
    return path


def test_the_same_lines_as_the_cpu(classify_native, compiled, character):
    found = [
        classify_native("--bundle", compiled, "--backend", backend, "--json", character)
        for backend in ("core-sim", "cpu")
    ]
    assert found[0] == found[1]
    assert len(json.loads(found[0][1])["logits"]) == 62


def test_self_test_names_the_core(classify_native, compiled):
    code, out, err = classify_native("--bundle", compiled, "--backend", "core-sim", "--self-test")
    assert (code, err) == (0, "")
    assert out.endswith("the same golden vectors on the core by core-sim\n")


def test_python_back_end(compiled):
    bundle = read_bundle(compiled)
    runner = open_runner("core-sim", bundle, compiled, None)
    inputs = np.random.default_rng(1).integers(-128, 128, (2, 32, 32, 1)).astype(np.int8)
    found = runner.run(inputs)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, integer.run(bundle.network, inputs))


def test_a_rung_of_the_ladder(compiled, character, tmp_path):
    """It holds; and where its program is another network's, the logit that differs is named."""
    batch = Batch([character], preprocess(read_gray(character))[np.newaxis])
    rungs = choose(["int8", "core-sim"], find_rungs(compiled, ([], {})))
    assert rungs[1].files == (library_of("core128"),)
    engines = [open_engine(rung, tmp_path) for rung in rungs]
    assert set(Ladder(rungs, engines).run(batch)) == {"int8", "core-sim"}
    engines[1]._runner._image = dataclasses.replace(
        read_bundle(compiled).core, weights=bytes(len(read_bundle(compiled).core.weights))
    )
    with pytest.raises(LadderError, match=r"rung core-sim differs from int8 on .* layer logits"):
        Ladder(rungs, engines).run(batch)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("core-sim", "--core", "/nowhere/libcore_model.so"), "core's model cannot be loaded"),
        (("core",), "no UIO device is named edgeglyph_core"),
        (("core", "--core", "/nowhere/uio0"), "/nowhere/uio0: cannot be opened"),
        (("core", "--core", "/dev/mem@12"), "no multiple of 1000 in hexadecimal"),
        (("core", "--core", "/dev/mem@"), "no multiple of 1000 in hexadecimal"),
    ],
)
def test_devices_that_are_not_there(classify_native, compiled, character, options, words):
    code, out, err = classify_native("--bundle", compiled, "--backend", *options, character)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err


def test_another_core(classify_native, compiled, character):
    small = build_model(SMALL)
    code, _, err = classify_native(
        "--bundle", compiled, "--backend", "core-sim", "--core", small, character
    )
    assert code == 2
    assert "this core has version 1 and 32 lanes; the bundle's program is for 128" in err


def test_bundles_without_a_program(classify_native, character):
    code, _, err = classify_native("--bundle", SHIPPED, "--backend", "core-sim", character)
    assert code == 2
    assert "holds no core program; python -m quantize compile --target core128" in err
    with pytest.raises(InputError, match="holds no core program"):
        open_runner("core-sim", read_bundle(SHIPPED), SHIPPED, None)
    assert library_of("core128").parent.name == "core128"


def test_damaged_sections_are_refused(classify_native, compiled, character, tmp_path):
    bundle = read_bundle(compiled)
    object.__setattr__(bundle.core, "weights", bundle.core.weights[:-128])  # unchecked
    path = tmp_path / "damaged.egb"
    write_bundle(path, bundle)
    code, _, err = classify_native("--bundle", path, character)
    assert code == 2
    assert "its core program cannot be used: its weights are not as many as it says" in err
