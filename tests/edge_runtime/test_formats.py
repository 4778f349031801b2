"""Conversions: each format holds this network, says what it lost, and never replaces by less.

What runs them here is what `convert` verifies with; test_examples.py runs the same files by
programs that share no code with this project.
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.__main__ import main
from edge_runtime.bundle import read_bundle
from edge_runtime.calibration_images import part
from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.files import sha256_of
from edge_runtime.formats import FORMATS, command
from edge_runtime.formats.format import Format, Load, Session, in_batches
from edge_runtime.formats.images import Measured, find_images
from edge_runtime.formats.verify import Reference, verify
from edge_runtime.labeled_images import find_labeled_images
from tests.edge_runtime.conftest import ROOT
from tests.networks import hard_inputs

SHIPPED = ROOT / "models/scene62/scene62.egb"
BUNDLE = read_bundle(SHIPPED)


@pytest.fixture(scope="module")
def source(conversions):
    return conversions.source


@pytest.fixture(scope="module")
def reference(conversions):
    return conversions.reference


@pytest.mark.filterwarnings("ignore")  # of the engines' own converters
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_this_network(name, conversions):
    one, source, reference = FORMATS[name], conversions.source, conversions.reference
    folder = conversions.get(name)
    verified = conversions.made[name]
    told = json.loads((folder / "convert.json").read_text("utf-8"))
    path = folder / f"scene62{one.suffix}"
    assert told["files"][path.name] == {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    assert told["alphabet"] == list(BUNDLE.alphabet.symbols)
    assert told["verified"] == verified.as_json()
    assert verified.n == len(reference.images.inputs) == 37
    assert verified.identical == (True if one.exact else None)
    assert (told["calibration"] is None) == (not one.calibrated)
    # Batches and threads change nothing; what the file says of its output is so.
    inputs = hard_inputs(5)
    answers = []
    for load in (Load(1, 1), Load(5, 2)):
        session = one.open(source, path, load)
        raw = in_batches(session.run, load.batch, inputs).astype(np.float64)
        answers.append((raw - told["output"]["zero_point"]) * told["output"]["scale"])
    assert np.abs(answers[0] - answers[1]).max() < 1e-4
    expected = integer.run(BUNDLE.network, inputs) * source.logit_unit
    # Noise drives tensors beyond what they were calibrated on: logits follow (0.77 to 0.89, by
    # model, for the format that cuts most), classes may not. Those of images do.
    assert np.corrcoef(answers[0].ravel(), expected.ravel())[0, 1] > (
        0.6 if one.calibrated else 0.99
    )
    images = reference.images.inputs
    classes = in_batches(session.run, load.batch, images).argmax(axis=1)
    assert np.mean(classes == integer.run(BUNDLE.network, images).argmax(axis=1)) > 0.9
    if one.exact:
        assert np.array_equal(answers[0], expected)


def test_float_formats_keep_the_float_logits(source, reference):
    """Of an engine that this project did not choose the tolerance for: nothing is lost."""
    assert {n for n, one in FORMATS.items() if one.tolerance is not None} == {
        *("tflite-fp32", "tflite-fp16", "openvino", "onnx")
    }
    assert {n for n, one in FORMATS.items() if one.exact} == {"onnx-int8", "c"}
    assert {n for n, one in FORMATS.items() if one.calibrated} == {
        *("tflite-int8", "openvino-int8", "onnx-qdq")
    }


def faked(kind, logits):
    """A format whose file answers ``logits(inputs)``; kind f promises the float logits."""

    def make(source, to):
        to.write_text("x")

    def open_it(source, path, load):
        return Session(logits, load.batch)

    tolerance = 1e-3 if kind == "f" else None
    return Format(kind, "fake", ".fake", "", (), make, open_it, tolerance=tolerance)


@pytest.mark.parametrize(
    ("kind", "words"), [("f", "a logit differs by"), ("q", "agrees with model")]
)
def test_what_is_not_this_network_is_not_kept(kind, words, source, reference, tmp_path):
    """NaN must not pass for a small difference either; what was there before stays."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "before").write_text("x")
    for logits in (
        lambda inputs: np.random.default_rng(0).random((len(inputs), 62)),
        lambda inputs: np.full((len(inputs), 62), np.nan),
    ):
        with pytest.raises(VerificationError, match=words):
            command.convert(faked(kind, logits), source, reference, tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["before"]


def test_figures_of_known_answers(source):
    """Forty images, one of which the conversion alone has right and two the network alone."""
    n, classes = 40, len(BUNDLE.alphabet)
    labels = np.arange(n)
    network, other = np.eye(n, classes) * 10, np.eye(n, classes) * 10 + 0.5
    network[0], other[1], other[2] = network[9], other[9], other[9]
    images = Measured([Path("-")] * n, np.zeros((n, 32, 32, 1), np.int8), labels, "")
    reference = Reference(images, "float", network, np.zeros((n, classes), np.int32))
    rows = iter([other])
    one = faked("q", lambda inputs: np.resize(next(rows), (len(inputs), classes)))
    found = verify(one, source, Path("-"), reference)
    assert found.agreement.value == 37 / 40
    assert (found.accuracy.value, found.reference_accuracy.value) == (38 / 40, 39 / 40)
    assert found.lost.value == pytest.approx(2.5)
    assert (found.mcnemar.only_first, found.mcnemar.only_second) == (2, 1)
    assert found.largest == 10.5
    assert found.identical is None


def test_the_command(class_folders, tmp_path, run_cli):
    arguments = ("convert", "--bundle", SHIPPED.parent, "--images", class_folders)
    arguments += ("--format", "onnx-int8", "--output", tmp_path / "out")
    code, out, _ = run_cli(main, *arguments)
    assert code == 0
    assert "identical" in out
    assert "Verified on 37 images" in out
    told = json.loads((tmp_path / "out/onnx-int8/convert.json").read_text("utf-8"))
    assert told["made_from"]["sha256"] == BUNDLE.manifest["files"]["model_int8.onnx"]


def test_a_bundle_by_itself_becomes_c(class_folders, tmp_path, run_cli):
    if not shutil.which("cc"):
        pytest.skip("no cc on this machine")
    shutil.copy(SHIPPED, tmp_path)
    arguments = ("convert", "--bundle", tmp_path / SHIPPED.name, "--images", class_folders)
    code, _, err = run_cli(main, *arguments, "--format", "c", "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    told = json.loads((tmp_path / "out/c/convert.json").read_text("utf-8"))
    assert told["verified"]["reference"] == "the integer network"
    assert told["verified"]["largest_logit_difference"] == 0
    code, _, err = run_cli(main, *arguments, "--format", "onnx", "--output", tmp_path / "out")
    assert code == 2
    assert "model.onnx: no such file" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--format", "tflite"), "no format 'tflite'; there are tflite-fp32,"),
        (("--count", -1), "--count must not be negative"),
        (("--split", "test"), "has no splits"),
        (("--bundle", ROOT / "models"), "holds 0 bundles"),
    ],
)
def test_mistakes_get_one_line(options, words, class_folders, tmp_path, run_cli):
    arguments = ("convert", "--bundle", SHIPPED, "--images", class_folders, "--format", "c")
    code, out, err = run_cli(main, *arguments, "--output", tmp_path / "out", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("tflite-fp32", "tensorflow", "pip install 'edgeglyph[litert,train]'"),
        ("openvino", "openvino", "pip install 'edgeglyph[openvino]'"),
        ("openvino-int8", "nncf", "pip install 'edgeglyph[openvino]'"),
        ("onnx-qdq", "onnx", "pip install 'edgeglyph[quantize]'"),
    ],
)
def test_an_absent_engine_says_how_to_install_it(
    name, module, words, class_folders, tmp_path, run_cli, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    arguments = ("convert", "--bundle", SHIPPED, "--images", class_folders, "--format", name)
    code, out, err = run_cli(main, *arguments, "--output", tmp_path / "out")
    assert (code, out) == (2, "")
    assert words in err.splitlines()[-1]
    assert not (tmp_path / "out" / name).exists()


def test_all_leaves_out_what_is_not_installed(
    class_folders, tmp_path, run_cli, monkeypatch, caplog
):
    def missing(source, to):
        raise MissingDependencyError("abacus is not installed: pip install abacus")

    exact = FORMATS["onnx-int8"]
    absent = dataclasses.replace(exact, name="abacus", make=missing)
    monkeypatch.setattr(command, "FORMATS", {"abacus": absent, "onnx-int8": exact})
    arguments = ("convert", "--bundle", SHIPPED, "--images", class_folders, "--format", "all")
    code, out, _ = run_cli(main, *arguments, "--output", tmp_path / "out")
    assert code == 0
    assert "abacus: left out: abacus is not installed: pip install abacus" in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["onnx-int8"]
    assert "abacus" not in out
    code, _, err = run_cli(main, *arguments[:-1], "abacus", "--output", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)


# --- Which images ---------------------------------------------------------------------------------


def manifest(folder, images, splits):
    rows = [
        f"{image.path},{image.label},{split}" for image, split in zip(images, splits, strict=True)
    ]
    (folder / "manifest.csv").write_text("\n".join(["file,label,split", *rows]) + "\n")
    return folder / "manifest.csv"


def test_a_manifest_calibrates_on_its_training_images(class_folders, tmp_path):
    images = find_labeled_images(class_folders, BUNDLE.alphabet)
    splits = ["train" if i % 5 < 2 else "validation" if i % 5 < 4 else "test" for i in range(50)]
    found = find_images(manifest(tmp_path, images, splits), BUNDLE.alphabet)
    assert (len(found.calibrating), len(found.measured), found.split) == (20, 10, "test")
    assert {image.split for image in found.calibrating} == {"train"}
    assert len(find_images(tmp_path / "manifest.csv", BUNDLE.alphabet, "validation").measured) == 20


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_calibrating_on_a_held_out_image_is_refused(held_out, class_folders, tmp_path, run_cli):
    """Whichever split is verified on, under another name, in another source."""
    images = find_labeled_images(class_folders, BUNDLE.alphabet)
    splits = ["train", "train", "train", "validation", "test"] * 10
    copy = tmp_path / "again/Sample001/copy.png"
    copy.parent.mkdir(parents=True)
    shutil.copy(images[splits.index(held_out)].path, copy)
    arguments = ("convert", "--bundle", SHIPPED, "--format", "c", "--output", tmp_path / "out")
    arguments += ("--images", manifest(tmp_path, images, splits))
    code, out, err = run_cli(main, *arguments, "--calibration", tmp_path / "again")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"is the same image as the {held_out} image" in err


def test_copies_stay_on_one_side(class_folders, tmp_path):
    root = tmp_path / "images"
    shutil.copytree(class_folders, root)
    for image in sorted(root.rglob("*.png"))[:20]:
        shutil.copy(image, image.with_name(f"copy-{image.name}"))
    calibrating, measured = part(find_labeled_images(root, BUNDLE.alphabet))
    sides = [{sha256_of(image.path) for image in side} for side in (calibrating, measured)]
    assert len(calibrating) + len(measured) == 70
    assert sides[0].isdisjoint(sides[1])
    assert min(map(len, sides)) > 10
