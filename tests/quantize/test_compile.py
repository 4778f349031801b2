"""`compile`, `verify` and `info`: what `run` left becomes a bundle, and is proved again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.alphabet import parse_alphabet
from edge_runtime.bundle import read_bundle
from edge_runtime.files import sha256_of
from quantize.__main__ import main
from quantize.artifacts import read_quantization
from tests.dnndk_files import dnndk_elf
from tests.quantize.conftest import DIGITS, Cli, tamper


def test_the_bundle_holds_the_network_and_its_history(quantized: Path) -> None:
    bundle = read_bundle(quantized / "digits.egb")
    assert bundle.name == "digits"
    assert bundle.alphabet == parse_alphabet("01234")
    names = (
        "model.onnx", "model_int8.onnx", "quantize_eval_stock.pb", "deploy_model.pb",
        "quantization.json",
    )  # fmt: skip
    assert bundle.manifest["files"] == {name: sha256_of(quantized / name) for name in names}
    assert bundle.manifest["board"] == "host"
    assert bundle.manifest["scores"] == {"logit_scale": 1.0, "temperature": 1.0, "gate": None}
    assert (bundle.temperature, bundle.threshold) == (1.0, None)
    golden = bundle.golden.inputs
    flat = [set(np.unique(image)) for image in golden]
    assert {-128} in flat
    assert {0} in flat
    assert {-128, 127} in flat
    with np.load(quantized / "calibration.npz") as archive:
        real = {(image * 128).astype(np.int8).tobytes() for image in archive["input_real"]}
    assert sum(image.tobytes() in real for image in golden) >= 3
    network = read_quantization(quantized).network
    assert np.array_equal(integer.run(network, golden), bundle.golden.logits)


def test_verify_and_info(quantized: Path, run_cli: Cli) -> None:
    code, out, _ = run_cli(main, "verify", quantized)
    assert code == 0
    assert out.count("ok  ") == 6
    for path in (quantized / "digits.egb", quantized, quantized / "quantization.json"):
        code, out, _ = run_cli(main, "info", path)
        assert code == 0
        assert "discriminator/conv2d_5/Conv2D" in out
        # 16²·9·6 + 8²·54·6 + 4²·54·6 + 4²·54·8 + 4²·72·8 + 2²·72·8 + 8·5 multiply-adds
        assert f"{13824 + 20736 + 5184 + 6912 + 9216 + 2304 + 40:,}" in out


def test_verify_finds_another_bundle(
    copy: Path, run_cli: Cli, manifest: Path, tmp_path: Path
) -> None:
    code, _, _ = run_cli(
        main, "run", copy / "model.onnx", "--calibration", manifest, "--output", copy,
        "--preset", "tiny", "--method", "non-overflow", *DIGITS,
    )  # fmt: skip
    assert code == 0
    code, _, err = run_cli(main, "verify", copy)
    assert code == 1
    assert "digits.egb: was made from another" in err


def test_verify_finds_another_stock_graph(copy: Path, run_cli: Cli) -> None:
    data = (copy / "quantize_eval_stock.pb").read_bytes()
    half = np.array([0.5], np.float32).tobytes()
    # The first half that is added before a floor becomes a quarter: rounding is off for the input.
    changed = data.replace(half, np.array([0.25], np.float32).tobytes(), 3)
    (copy / "quantize_eval_stock.pb").write_bytes(changed)
    code, _, err = run_cli(main, "verify", copy)
    assert code == 1
    assert "integers differ; the first is input" in err
    assert "in TensorFlow" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quantized.npz", "is not the file that quantization.json was written with"),
        ("calibration.npz", "is not the file that quantization.json was written with"),
        ("quantization.json", "quantization.json: "),
        ("digits.egb", "digits.egb: "),
    ],
)
def test_verify_finds_damaged_files(copy: Path, run_cli: Cli, name: str, message: str) -> None:
    tamper(copy / name, lambda data: data[: len(data) // 2])
    code, _, err = run_cli(main, "verify", copy)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_verify_finds_another_int8_model(copy: Path, run_cli: Cli, quantized: Path) -> None:
    from quantize.export_onnx import export
    from tests.conftest import toy_network

    (copy / "model_int8.onnx").write_bytes(export(toy_network(5)))
    code, _, err = run_cli(main, "verify", copy)
    assert code == 1
    assert "integers differ; the first is input 0" in err


def test_compile_refuses_a_model_that_was_replaced(copy: Path, run_cli: Cli) -> None:
    tamper(copy / "model.onnx", lambda data: data + b"\n")
    code, _, err = run_cli(main, "compile", "--quantized", copy, "--output", copy / "x.egb")
    assert code == 2
    assert "model.onnx: is not the model that quantization.json was made from" in err
    assert not (copy / "x.egb").exists()


def test_compile_takes_a_kernel_and_a_board(copy: Path, run_cli: Cli) -> None:
    elf = copy / "dpu.elf"
    elf.write_bytes(dnndk_elf(read_quantization(copy).network, "mine_0"))
    arguments = ("compile", "--quantized", copy, "--output", copy / "b.egb", "--board", "zedboard",
                 "--name", "mine", "--dpu-kernel")  # fmt: skip
    assert run_cli(main, *arguments, elf)[0] == 0
    bundle = read_bundle(copy / "b.egb")
    assert (bundle.name, bundle.manifest["board"]) == ("mine", "zedboard")
    assert bundle.dpu is not None
    assert (bundle.dpu.kernel, bundle.dpu.artifact) == ("mine_0", elf.read_bytes())
    elf.write_bytes(b"text")
    for path, message in ((elf, "is no ELF file"), (copy / "none.elf", "cannot be read")):
        code, _, err = run_cli(main, *arguments, path)
        assert code == 2
        assert message in err


def test_compile_of_an_empty_folder(tmp_path: Path, run_cli: Cli) -> None:
    code, _, err = run_cli(main, "compile", "--quantized", tmp_path, "--output", tmp_path / "x.egb")
    assert code == 2
    assert "quantization.json: no such file; `python -m quantize run` writes it" in err


def test_compile_refuses_inputs_of_another_fix_point(
    onnx_model: Path, images: Any, tmp_path: Path, run_cli: Cli
) -> None:
    np.savez(tmp_path / "wide.npz", images * 4)
    arguments = ("run", onnx_model, "--calibration", tmp_path / "wide.npz", "--output", tmp_path)
    assert run_cli(main, *arguments, *DIGITS)[0] == 0
    code, _, err = run_cli(main, "compile", "--quantized", tmp_path, "--output", tmp_path / "x.egb")
    assert code == 2
    assert "input has fix point 5, but a board's preprocessing emits fix point 7" in err


def test_info_of_something_else(tmp_path: Path, run_cli: Cli) -> None:
    (tmp_path / "notes.txt").write_text("x")
    code, _, err = run_cli(main, "info", tmp_path / "notes.txt")
    assert code == 2
    assert "expected a bundle .egb, a quantization.json or its folder" in err
