"""Every rung broken on purpose by the smallest step: caught, with image, layer and element."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_runtime import container, integer
from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.bundle import GoldenVectors, read_bundle, write_bundle
from edge_runtime.errors import InputError, VerificationError
from edge_runtime.images import read_gray
from edge_runtime.ladder.compare import Ladder, LadderError, check_bundles
from edge_runtime.ladder.engines import Batch, open_engine
from edge_runtime.ladder.peek import peeks, preprocessing_bundle, write_peek
from edge_runtime.ladder.rungs import backend_rung, choose, find_rungs, program_rung
from edge_runtime.layers import Conv, IntegerNetwork
from edge_runtime.preprocess import preprocess
from edge_runtime.programs import Program, find_programs
from tests.conftest import branched_bundle, draw_character, toy_bundle
from tests.edge_runtime.conftest import ROOT, build_runtime

MODEL = ROOT / "models/scene62"
CPP = ROOT / "edge_runtime/cpp"
MODEL_FILES = (
    "frozen_model.pb",
    "model.onnx",
    "model_int8.onnx",
    "quantize_eval_stock.pb",
    "best.npz",
)


@pytest.fixture
def model(tmp_path):
    """The shipped model's files, in a bundle that does not name their hashes."""
    for name in MODEL_FILES:
        shutil.copy(MODEL / name, tmp_path / name)
    bundle = read_bundle(MODEL / "scene62.egb")
    manifest = {key: value for key, value in bundle.manifest.items() if key != "files"}
    write_bundle(tmp_path / "a.egb", dataclasses.replace(bundle, manifest=manifest))
    return tmp_path


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A flat picture, which few changes show on, then characters."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for i, symbol in enumerate(" A7gQ"):
        paths.append(folder / f"{i}.png")
        draw_character(symbol, 20 + 4 * i, 5 * i).save(paths[-1])
    return Batch(paths, np.stack([preprocess(read_gray(path)) for path in paths]))


def climb(rungs, batch, folder):
    """Run a ladder; return the difference that stops it, None where it holds."""
    engines = [open_engine(rung, folder) for rung in rungs]
    try:
        Ladder(rungs, engines).run(batch)
    except LadderError as error:
        difference, text = error.difference, str(error)
    else:
        return None
    assert text == str(difference)
    assert "\n" not in text
    return difference


def changed(bundle, layer, **changes):
    """The same bundle with another layer, and all its proofs made anew."""
    layers = list(bundle.network.layers)
    layers[layer] = dataclasses.replace(layers[layer], **changes)
    network = IntegerNetwork(bundle.network.input_shape, 7, tuple(layers))
    golden = GoldenVectors.record(network, bundle.golden.inputs)
    return dataclasses.replace(bundle, network=network, golden=golden, checks=None)


def weight_up(bundle, number, inputs):
    """Weights of a layer with one changed by one, and where: the first that logits feel.

    Of the input channel that is strongest in these images, which is felt soonest.
    """
    network = bundle.network
    layer, outputs = network.layers[number], list(integer.run_layers(network, inputs))
    given = inputs if layer.source < 0 else outputs[layer.source]
    channel = int(np.abs(given.astype(int)).sum(axis=(0, 1, 2)).argmax())
    for out in range(len(layer.weights)):
        at = (out, 1, 1, channel)
        weights = layer.weights.copy()
        weights[at] += 1 if weights[at] < 127 else -1
        layers = list(network.layers)
        layers[number] = dataclasses.replace(layer, weights=weights)
        wrong = dataclasses.replace(network, layers=tuple(layers))
        if not np.array_equal(integer.run(wrong, inputs), outputs[-1].reshape(len(inputs), -1)):
            return {"weights": weights}, at
    raise AssertionError("no such weight")


def expected(right, wrong, batch, layer):
    """First image with other logits, and its first other element of a layer, by the reference."""
    a, b = (integer.run(n, batch.inputs) for n in (right, wrong))
    image = int(np.argwhere((a != b).any(axis=1))[0, 0])
    one = batch.inputs[image : image + 1]
    maps = [list(integer.run_layers(n, one))[layer][0] for n in (right, wrong)]
    at = tuple(int(i) for i in np.argwhere(maps[0] != maps[1])[0])
    return str(batch.paths[image]), at, maps[1][at], maps[0][at]


def check_integers(found, wanted, name):
    image, (row, column, channel), have, want = wanted
    assert (found.image, found.layer) == (image, name)
    assert found.element == f"row {row}, column {column}, channel {channel}"
    assert (found.found, found.wanted) == (f"{have}", f"{want}")


def test_all_rungs_of_this_machine_hold(model, batch, native_build, tmp_path):
    found = find_rungs(model / "a.egb", find_programs())
    names = {rung.name for rung in found.rungs}
    assert names >= {"checkpoint", "tf", "onnx", "int8", "onnx-int8", "tf-int8", "native"}
    host = choose(["host"], found)
    assert any(rung.program for rung in host)
    ladder = Ladder(host, [open_engine(rung, tmp_path) for rung in host])
    answers = ladder.run(batch)
    assert set(answers) == {rung.name for rung in host} == set(ladder.seconds)
    assert set(ladder.largest) == {"checkpoint", "tf", "onnx"}
    assert 0 < ladder.largest["onnx"] < 1e-4
    assert found.absent["tf-saved-model"].endswith("saved_model: no such file")


# --- Integer models ------------------------------------------------------------------------------


def edit_onnx(path, name, change):
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, path)


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_weight_of_the_onnx_integers(model, batch, number, tmp_path):
    bundle = read_bundle(model / "a.egb")
    layer = bundle.network.layers[number]
    changes, at = weight_up(bundle, number, batch.inputs)
    place = (at[0], at[3], at[1], at[2])  # OIHW

    def change(values):
        assert values[place] == layer.weights[at]
        values[place] = changes["weights"][at]
        return values

    edit_onnx(model / "model_int8.onnx", f"layer{number}_weights", change)
    rungs = [backend_rung(name, model / "a.egb") for name in ("int8", "onnx-int8")]
    wrong = changed(bundle, number, **changes).network
    check_integers(
        climb(rungs, batch, tmp_path), expected(bundle.network, wrong, batch, number), layer.name
    )


def test_a_shift_of_the_onnx_integers(model, batch, tmp_path):
    bundle = read_bundle(model / "a.egb")
    layer = bundle.network.layers[3]
    assert isinstance(layer, Conv)
    edit_onnx(model / "model_int8.onnx", "layer3_scale", lambda value: value / 2)
    rungs = [backend_rung(name, model / "a.egb") for name in ("int8", "onnx-int8")]
    wrong = changed(bundle, 3, shift_cut=layer.shift_cut + 1).network
    found = climb(rungs, batch, tmp_path)
    check_integers(found, expected(bundle.network, wrong, batch, 3), layer.name)
    assert found.rung == "onnx-int8"
    assert "quantize verify" in found.look_at


def edit_graph(path, name, change):
    """Change a constant of a GraphDef."""
    tf = pytest.importorskip("tensorflow")
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    node = next(n for n in graph.node if n.name == name)
    values = change(tf.make_ndarray(node.attr["value"].tensor).copy())
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values))
    path.write_bytes(graph.SerializeToString())


def test_a_weight_of_the_stock_graph(model, batch, tmp_path):
    bundle = read_bundle(model / "a.egb")
    layer = bundle.network.layers[1]
    changes, at = weight_up(bundle, 1, batch.inputs)
    place = (at[1], at[2], at[3], at[0])  # HWIO

    def change(values):
        unit = np.abs(values).max() / np.abs(layer.weights.astype(int)).max()
        assert values[place] == unit * layer.weights[at]
        values[place] = unit * changes["weights"][at]
        return values

    edit_graph(model / "quantize_eval_stock.pb", "discriminator/conv2d_1/kernel", change)
    rungs = [backend_rung(name, model / "a.egb") for name in ("int8", "tf-int8")]
    wrong = changed(bundle, 1, **changes).network
    check_integers(
        climb(rungs, batch, tmp_path), expected(bundle.network, wrong, batch, 1), layer.name
    )


# --- Float models --------------------------------------------------------------------------------


def test_a_weight_of_the_frozen_graph(model, batch, tmp_path):
    def change(values):
        values[1, 1, :, 6] += 0.02  # of all inputs: which of them are dead, a training decides
        return values

    edit_graph(model / "frozen_model.pb", "discriminator/conv2d_3/kernel", change)
    rungs = [backend_rung(name, model / "a.egb") for name in ("checkpoint", "tf")]
    found = climb(rungs, batch, tmp_path)
    assert (found.rung, found.base) == ("tf", "checkpoint")
    assert found.layer == "discriminator/conv2d_3/Conv2D"
    assert found.element.endswith("channel 6")
    assert "frozen_model.pb" in found.look_at
    assert abs(float(found.found) - float(found.wanted)) > 1e-5


def test_a_weight_of_the_float_onnx_model(model, batch, tmp_path):
    graph = onnx.load(model / "model.onnx").graph
    conv = [n for n in graph.node if n.op_type == "Conv"][2]

    def change(values):
        values[7, :, 1, 1] += 0.05  # of all inputs, as above
        return values

    edit_onnx(model / "model.onnx", conv.input[1], change)
    rungs = [backend_rung(name, model / "a.egb") for name in ("tf", "onnx")]
    found = climb(rungs, batch, tmp_path)
    assert found.rung == "onnx"
    assert found.layer == "discriminator/batch_normalization_2/FusedBatchNormV3"
    assert found.element.endswith("channel 7")


def test_a_weight_of_the_checkpoint(model, batch, tmp_path):
    with np.load(model / "best.npz") as arrays:
        values = dict(arrays)
    values["00"][11] += 0.01  # the last layer's bias
    np.savez(model / "best.npz", **values)
    rungs = [backend_rung(name, model / "a.egb") for name in ("checkpoint", "tf")]
    found = climb(rungs, batch, tmp_path)
    assert (found.layer, found.element) == ("discriminator/dense/BiasAdd", "channel 11")
    assert found.image == str(batch.paths[0])


# --- Programs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host_program(native_build):
    path = native_build / "edge_classify"
    return Program(path, (str(path),), "native", None)


@pytest.fixture(scope="module")
def arm_program():
    """The program for a ZedBoard, on an emulated processor."""
    pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")
    if not shutil.which("qemu-arm"):
        pytest.skip("no qemu-arm on this machine (Debian: qemu-user)")
    path = build_runtime("zedboard") / "edge_classify"
    command = ("qemu-arm", "-L", "/usr/arm-linux-gnueabihf", str(path))
    return Program(path, command, "armhf", None)


def broken_program(rung_of, model, batch, number, changes, folder):
    bundle = read_bundle(model / "a.egb")
    other = folder / "other.egb"
    wrong = changed(bundle, number, **changes)
    write_bundle(other, wrong)
    rungs = [backend_rung("int8", model / "a.egb"), rung_of(other)]
    check_integers(
        climb(rungs, batch, folder),
        expected(bundle.network, wrong.network, batch, number),
        bundle.network.layers[number].name,
    )


@pytest.mark.parametrize("what", ["weight", "shift", "bias"])
def test_a_bundle_with_one_integer_changed(what, host_program, model, batch, tmp_path):
    bundle = read_bundle(model / "a.egb")
    layer = bundle.network.layers[4]
    bias = layer.bias.copy()
    bias[3] += 1
    changes = {
        "weight": lambda: weight_up(bundle, 4, batch.inputs)[0],
        "shift": lambda: {"shift_cut": layer.shift_cut - 1},
        "bias": lambda: {"bias": bias},
    }[what]()
    broken_program(lambda b: program_rung(host_program, b), model, batch, 4, changes, tmp_path)


def test_the_same_in_the_library(native_build, model, batch, tmp_path):
    changes = weight_up(read_bundle(model / "a.egb"), 2, batch.inputs)[0]
    broken_program(lambda b: backend_rung("native", b), model, batch, 2, changes, tmp_path)


def test_the_same_on_an_emulated_processor(arm_program, model, batch, tmp_path):
    layer = read_bundle(model / "a.egb").network.layers[6]
    changes = {"multiplier": layer.multiplier + 1}
    few = Batch(batch.paths[:3], batch.inputs[:3])
    rung = program_rung(arm_program, model / "a.egb")
    assert climb([backend_rung("int8", model / "a.egb"), rung], few, tmp_path) is None
    broken_program(lambda b: program_rung(arm_program, b), model, few, 6, changes, tmp_path)


def test_an_entry_of_the_score_table(host_program, model, tmp_path):
    bundle = read_bundle(model / "a.egb")
    middle = list(bundle.scores.middle)
    middle[9] += 1
    other = dataclasses.replace(
        bundle, scores=dataclasses.replace(bundle.scores, middle=tuple(middle)), checks=None
    )
    write_bundle(tmp_path / "other.egb", other)
    rungs = [
        backend_rung("int8", model / "a.egb"),
        program_rung(host_program, tmp_path / "other.egb"),
    ]
    bundles = {rung.bundle: read_bundle(rung.bundle) for rung in rungs}
    with pytest.raises(LadderError) as error:
        check_bundles(rungs, bundles)
    found = error.value.difference
    assert (found.layer, found.element) == ("scores", "middle[9]")
    assert int(found.found) == int(found.wanted) + 1


@pytest.fixture
def build_changed(native_build, tmp_path):
    """Build the host's program with one source changed; the other objects are as they are."""

    def build(source, before, after):
        text = (CPP / "src" / source).read_text("utf-8")
        assert text.count(before) == 1, f"{source} no longer has {before!r}"
        (tmp_path / source).write_text(text.replace(before, after), "utf-8")
        # edge_bench has a main of its own.
        others = {path.stem for path in (CPP / "bench").glob("*.cpp")} | {Path(source).stem}
        objects = [
            str(o) for o in sorted((native_build / "objects").glob("*.o")) if o.stem not in others
        ]
        version = re.search(r'"(.+)"', (ROOT / "edge_runtime/__init__.py").read_text("utf-8"))
        program = tmp_path / "changed"
        flags = ["-std=c++17", "-O1", f"-I{CPP / 'src'}", f"-I{CPP / 'include'}", "-pthread"]
        flags += [f'-DEDGEGLYPH_VERSION="{version[1]}"', "-o", str(program)]
        command = ["g++", *flags, str(tmp_path / source), *objects, "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        return Program(program, (str(program),), "native", None)

    return build


def test_a_constant_of_preprocessing(build_changed, model, batch, tmp_path):
    """From which share of dark pixels on the contrast begins: 2 % becomes 3 %."""
    program = build_changed("preprocess.cpp", "below * 50 < total", "below * 33 < total")
    rungs = [backend_rung("int8", model / "a.egb"), program_rung(program, model / "a.egb")]
    found = climb(rungs, batch, tmp_path)
    assert (found.layer, found.rung) == ("preprocessing", "cpp")
    image = [str(path) for path in batch.paths].index(found.image)
    row, column = map(int, re.findall(r"\d+", found.element))
    assert int(found.wanted) == batch.inputs[image, row, column, 0] != int(found.found)
    assert "docs/preprocessing.md" in found.look_at


def test_the_rounding_of_scores(build_changed, model, batch, tmp_path):
    program = build_changed("scores.cpp", "(2 * million) + whole)", "(2 * million))")
    rungs = [backend_rung("int8", model / "a.egb"), program_rung(program, model / "a.egb")]
    found = climb(rungs, batch, tmp_path)
    assert found.layer == "scores"
    assert abs(int(found.found) - int(found.wanted)) == 1
    assert found.image == str(batch.paths[0])


def test_a_damaged_bundle_or_program_is_named(host_program, model, batch, tmp_path):
    sections = container.unpack((model / "a.egb").read_bytes(), "a")
    weights = bytearray(sections["weights"])
    weights[5000] ^= 1
    other = tmp_path / "other.egb"
    other.write_bytes(container.pack(sections | {"weights": bytes(weights)}))
    rungs = [backend_rung("int8", model / "a.egb"), program_rung(host_program, other)]
    with pytest.raises(VerificationError, match=r"self-test of bundle 'scene62' failed: .*conv2d"):
        climb(rungs, batch, tmp_path)


# --- What looks inside ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [toy_bundle, branched_bundle])
def test_peeks_show_the_integers_of_every_layer(make, host_program, batch, tmp_path):
    network = make().network
    path = tmp_path / "peek.egb"
    preprocessing_bundle(path)
    (row,) = host_program.classify(path, batch.paths[2:3], 1)
    assert np.array_equal(np.reshape(row["logits"], (32, 32, 1)), batch.inputs[2])
    outputs = list(integer.run_layers(network, batch.inputs[2:3]))
    for number, wanted in enumerate(outputs[:-1]):
        flat = wanted[0].reshape(-1, wanted.shape[3])
        for peek in peeks(network, number):
            write_peek(path, network, peek)
            (row,) = host_program.classify(path, batch.paths[2:3], 1)
            shown = peek.values(np.array(row["logits"]))
            assert np.array_equal(shown, flat[peek.positions.start : peek.positions.stop])


def test_what_is_asked_for_is_never_skipped(tmp_path):
    write_bundle(tmp_path / "a.egb", toy_bundle(ALPHABET_62))
    found = find_rungs(tmp_path / "a.egb", ([], {"armhf": "no qemu-arm on this machine"}))
    assert next(rung.name for rung in choose(["all"], found)) == "int8"
    for name, words in [
        ("onnx", "model.onnx: no such file"),
        ("armhf", "no qemu-arm on this machine"),
        ("core-sim", "the bundle holds no core program: python -m quantize compile --target"),
        ("gpu", "no rung 'gpu'; there are all, float, integer"),
    ]:
        with pytest.raises(InputError, match=words):
            choose([name], found)


def test_programs_are_told_by_their_processor(tmp_path, native_build):
    """Every instruction set that a program lists is a rung; one of no known processor is none."""
    folder = tmp_path / "host"
    folder.mkdir()
    script = folder / "edge_classify"
    programs, absent = find_programs(tmp_path)
    assert programs == []
    assert set(absent) == {"cpp", "armhf", "aarch64"}
    script.write_text("#!/bin/sh\n")
    assert find_programs(tmp_path)[0] == []
    programs, absent = find_programs(native_build.parent)
    assert "cpp" not in absent
    assert {p.processor for p in programs} >= {"native"}
    assert len({p.name for p in programs}) == len(programs)
