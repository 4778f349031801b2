"""From a model file to the files of `run`, through the command line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.calibration_images import calibration_candidates, choose_calibration
from edge_runtime.files import sha256_of
from edge_runtime.images import read_gray
from edge_runtime.integer import Conv
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import preprocess, to_float
from quantize.__main__ import main
from quantize.artifacts import read_quantization
from tests.quantize.conftest import DIGITS, Cli
from tests.quantize.source_graphs import LOGITS, SourceNetwork, discriminator


def test_quantization_json_is_what_the_design_says(quantized: Path, manifest: Path) -> None:
    table = json.loads((quantized / "quantization.json").read_text())
    kinds = {name: row["kind"] for name, row in table["tensors"].items()}
    assert list(kinds.values()).count("weight") == list(kinds.values()).count("bias") == 7
    assert kinds["input_real"] == "input"
    assert kinds["discriminator/dense/bias"] == "bias"
    assert kinds["discriminator/Mean"] == kinds[LOGITS] == "activation"
    assert table["tensors"]["input_real"]["fix_point"] == 7
    assert table["source"] == {"file": "model.onnx", "sha256": sha256_of(quantized / "model.onnx")}
    assert table["calibration"]["count"] == 30  # all of the split train
    assert table["accuracy"]["n"] == 10
    assert table["accuracy"]["split"] == "validation"
    assert table["alphabet"] == list("01234")
    assert table["settings"]["calib_batch_size"] == 16
    assert table["logit_scale"] == 1.0


def test_recorded_positions_and_shifts_belong_together(quantized: Path) -> None:
    table = json.loads((quantized / "quantization.json").read_text())
    p = {name: row["fix_point"] for name, row in table["tensors"].items()}
    entry = p["input_real"]
    for layer in table["layers"]:
        if layer["kind"] == "conv":
            assert layer["shift_cut"] == p[layer["weight"]] + entry - p[layer["activation_tensor"]]
            bias = table["tensors"][layer["bias"]]
            position = bias.get("integer_fix_point", bias["fix_point"])
            assert layer["shift_bias"] == p[layer["weight"]] + entry - position
            assert position <= bias["fix_point"]
        entry = p[layer["activation_tensor"]]


def test_stored_integers_are_the_rounded_constants(
    quantized: Path, sources: dict[str, SourceNetwork]
) -> None:
    """The dense kernel passes no fold, so it can be compared with TensorFlow's constant."""
    from tensorflow.python.framework import tensor_util

    nodes = {node.name: node for node in sources["batch norm"].graph_def.node}
    kernel = tensor_util.MakeNdarray(nodes["discriminator/dense/kernel"].attr["value"].tensor)
    found = read_quantization(quantized)
    p = found.fix_points()["discriminator/dense/kernel"]["fix_point"]
    scaled = kernel.T.astype(np.float64) * 2.0**p
    wanted = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -128, 127)
    layer = found.network.layers[-1]
    assert isinstance(layer, Conv)
    np.testing.assert_array_equal(layer.weights[:, 0, 0], wanted)


def test_int8_is_near_to_tensorflow(
    quantized: Path, sources: dict[str, SourceNetwork], images: Any
) -> None:
    network = read_quantization(quantized).network
    wanted = sources["batch norm"].logits(images)
    q = integer.run(network, (images * 128).astype(np.int8))
    found = q * 2.0**-network.logits_fix_point
    error = np.sqrt(np.mean((found - wanted) ** 2))
    assert error < 0.15 * wanted.std()


def test_calibration_inputs_are_the_preprocessed_training_images(
    quantized: Path, manifest: Path
) -> None:
    with np.load(quantized / "calibration.npz") as archive:
        values = archive["input_real"]
    paths = [manifest.parent / f"{symbol}-{i}.png" for symbol in "01234" for i in range(6)]
    wanted = np.stack([to_float(preprocess(read_gray(path))) for path in paths])
    np.testing.assert_array_equal(values, wanted)
    assert values.dtype == np.float32


def test_both_model_files_give_the_same_integers(
    quantized: Path, models: dict[tuple[str, str], Path], manifest: Path, tmp_path: Path
) -> None:
    arguments = ["run", models["batch norm", ".pb"], "--calibration", manifest, "--output",
                 tmp_path, "--preset", "tiny", "--method", "min-mse", *DIGITS]  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    one, other = read_quantization(quantized), read_quantization(tmp_path)
    x = np.random.default_rng(0).integers(-128, 128, (50, 32, 32, 1)).astype(np.int8)
    a, b = integer.run(one.network, x), integer.run(other.network, x)
    # tf2onnx folds batch norm in float32, we in float64: a weight at a tie may go either way.
    assert np.mean(a == b) > 0.95
    assert np.abs(a.astype(int) - b).max() <= 1


def test_two_runs_give_the_same_bytes(quantized: Path, manifest: Path, tmp_path: Path) -> None:
    arguments = ["run", quantized / "model.onnx", "--calibration", manifest, "--output", tmp_path,
                 "--preset", "tiny", "--method", "min-mse", *DIGITS]  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    shutil.copy(quantized / "model.onnx", tmp_path)
    compiled = ["compile", "--quantized", tmp_path, "--output", tmp_path / "digits.egb"]
    assert main([str(a) for a in compiled]) == 0
    names = ["quantization.json", "quantized.npz", "calibration.npz", "model_int8.onnx",
             "digits.egb"]  # fmt: skip
    for name in names:
        assert (tmp_path / name).read_bytes() == (quantized / name).read_bytes(), name


def test_an_npz_is_passed_as_it_is_and_needs_no_alphabet(
    onnx_model: Path, npz: Path, images: Any, tmp_path: Path, run_cli: Cli
) -> None:
    code, out, _ = run_cli(main, "run", onnx_model, "--calibration", npz, "--output", tmp_path)
    assert code == 0
    assert "accuracy" not in out
    with np.load(tmp_path / "calibration.npz") as archive:
        np.testing.assert_array_equal(archive["input_real"], images)
    code, _, err = run_cli(main, "compile", "--quantized", tmp_path, "--output", tmp_path / "x.egb")
    assert code == 2
    assert "has 5 classes and no alphabet; give the characters in order with --alphabet" in err
    arguments = ("compile", "--quantized", tmp_path, "--output", tmp_path / "x.egb")
    assert run_cli(main, *arguments, *DIGITS)[0] == 0


def test_the_sample_is_seeded_and_spread_over_the_classes(manifest: Path) -> None:
    alphabet = parse_alphabet("01234")
    candidates = calibration_candidates(manifest, find_labeled_images(manifest, alphabet))
    chosen = choose_calibration(candidates, alphabet, 10, seed=1)
    assert sorted(image.label for image in chosen) == list("0011223344")
    assert {image.split for image in chosen} == {"train"}
    assert chosen == choose_calibration(candidates, alphabet, 10, seed=1)
    assert chosen != choose_calibration(candidates, alphabet, 10, seed=2)
    assert len(set(choose_calibration(candidates, alphabet, 1000, seed=1))) == 30


def test_the_freeze_stages_alphabet_is_found_beside_its_model(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    model = Path(shutil.copy(onnx_model, tmp_path / "model.onnx"))
    record = {"alphabet": list("43210"), "files": {"model.onnx": sha256_of(model)}}
    (tmp_path / "freeze.json").write_text(json.dumps(record))
    arguments = ("run", model, "--calibration", manifest, "--output", tmp_path)
    assert run_cli(main, *arguments)[0] == 0
    assert read_quantization(tmp_path).alphabet == parse_alphabet("43210")
    record["files"] = {"model.onnx": "of another model"}
    (tmp_path / "freeze.json").write_text(json.dumps(record))
    assert run_cli(main, *arguments)[0] == 2


def test_sixty_two_classes_are_the_projects_alphabet(
    npz: Path, tmp_path: Path, run_cli: Cli
) -> None:
    model = discriminator(classes=62).write_pb(tmp_path / "frozen_model.pb")
    code, _, _ = run_cli(main, "run", model, "--calibration", npz, "--output", tmp_path)
    assert code == 0
    assert read_quantization(tmp_path).alphabet == ALPHABET_62


def test_help_reads_well(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["run"], ["compile"], ["verify"], ["info"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
        assert "usage: quantize" in capsys.readouterr().out


def test_onnx_needs_no_tensorflow(onnx_model: Path, npz: Path, tmp_path: Path) -> None:
    """Importing TensorFlow costs seconds and half a gigabyte."""
    code = (
        "import sys; from quantize.__main__ import main; code = main(sys.argv[1:]); "
        "assert not {'tensorflow', 'semi_supervised'} & set(sys.modules); sys.exit(code)"
    )
    arguments = ["run", onnx_model, "--calibration", npz, "--output", tmp_path, *DIGITS]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
