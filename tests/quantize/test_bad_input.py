"""Every mistake of a user gives one line that names the file, and exit code 2."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.images import read_gray
from edge_runtime.preprocess import preprocess, to_float
from quantize.__main__ import main
from tests.quantize.conftest import DIGITS, Cli, rows_of, tamper, write_manifest
from tests.quantize.source_graphs import LOGITS


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((2, 32, 32, 1))}, "holds float64; inputs must be float32"),
        ({"a": np.zeros((2, 28, 28, 1), np.float32)}, "has shape 2×28×28×1; .* N×32×32×1"),
        ({"a": np.zeros((0, 32, 32, 1), np.float32)}, "holds no inputs"),
        ({"a": np.full((1, 32, 32, 1), np.nan, np.float32)}, "holds NaN or infinity"),
        ({"a": np.zeros(3, np.float32), "b": np.zeros(3, np.float32)}, "holds 2 arrays"),
        ({"a": np.zeros((2, 32, 32, 1), np.float32)}, "is zero for every calibration input"),
    ],
)
def test_bad_arrays(
    onnx_model: Path, tmp_path: Path, run_cli: Cli, arrays: Any, message: str
) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    code, _, err = run_cli(main, "run", onnx_model, "--calibration", path, "--output", tmp_path)
    assert code == 2
    assert re.search(message, err)


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_files_that_are_no_arrays(
    onnx_model: Path, tmp_path: Path, run_cli: Cli, content: bytes | None
) -> None:
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    code, _, err = run_cli(main, "run", onnx_model, "--calibration", path, "--output", tmp_path)
    assert code == 2
    assert "bad.npz: n" in err  # no such file, or not an .npz


@pytest.mark.parametrize("split", ["validation", "test"])
def test_calibration_never_sees_held_out_images(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli, split: str
) -> None:
    """A copy of a held-out image under another name, in the split train."""
    folder = Path(shutil.copytree(manifest.parent, tmp_path / "characters"))
    victim = "3-7.png" if split == "validation" else "3-9.png"
    shutil.copy(folder / victim, folder / "innocent.png")
    rows = [*rows_of(manifest), ("innocent.png", "3", "font", "train", "")]
    path = write_manifest(folder / "manifest.csv", rows)
    code, _, err = run_cli(
        main, "run", onnx_model, "--calibration", path, "--output", tmp_path, *DIGITS
    )
    assert code == 2
    assert f"innocent.png: is the same image as the {split} image" in err
    assert victim in err


def test_held_out_may_be_another_manifest(
    onnx_model: Path, manifest: Path, class_folders: Path, tmp_path: Path, run_cli: Cli
) -> None:
    folder = tmp_path / "plain"
    for symbol in "01234":
        (folder / f"digit_{symbol}").mkdir(parents=True)
        shutil.copy(manifest.parent / f"{symbol}-1.png", folder / f"digit_{symbol}" / "a.png")
    arguments = ("run", onnx_model, "--calibration", folder, "--output", tmp_path, *DIGITS)
    assert run_cli(main, *arguments, "--held-out", manifest)[0] == 0  # those were its train images
    shutil.copy(manifest.parent / "2-9.png", folder / "digit_2" / "b.png")
    code, _, err = run_cli(main, *arguments, "--held-out", manifest)
    assert code == 2
    assert "digit_2/b.png: is the same image as the test image" in err
    code, _, err = run_cli(main, *arguments, "--validation", folder)
    assert code == 2
    assert "is the same image as the held-out image" in err


def test_images_need_an_alphabet_of_the_right_size(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    arguments = ("run", onnx_model, "--calibration", manifest, "--output", tmp_path)
    code, _, err = run_cli(main, *arguments)
    assert code == 2
    assert "has 5 classes; say which characters they are, in order, with --alphabet" in err
    code, _, err = run_cli(main, *arguments, "--alphabet", "0123")
    assert code == 2
    assert "has 5 classes, but the alphabet has 4 symbols" in err


def test_a_graph_of_another_input_size_wants_an_npz(
    manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 28, 28, 1], name="input_real")
        kernel = tf.constant(np.ones((28, 28, 1, 5), np.float32))
        tf.nn.conv2d(x, kernel, 1, "VALID", name="y")
    path = tmp_path / "mnist.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    arguments = ("run", path, "--calibration", manifest, "--output", tmp_path, *DIGITS)
    code, _, err = run_cli(main, *arguments)
    assert code == 2
    assert "takes inputs of 28×28×1, but images are preprocessed to 32×32×1" in err


def test_logits_must_be_one_per_class(
    onnx_model: Path, npz: Path, tmp_path: Path, run_cli: Cli
) -> None:
    code, _, err = run_cli(
        main, "run", onnx_model, "--calibration", npz, "--output", tmp_path,
        "--output-node", "discriminator/Relu_5",
    )  # fmt: skip
    assert code == 2
    assert "discriminator/Relu_5" in err


def bad_labels(folder: Path, manifest: Path) -> Path:
    rows = [*rows_of(manifest), ("0-0.png", "1", "font", "train", "")]
    return write_manifest(Path(shutil.copytree(manifest.parent, folder)) / "m.csv", rows)


def test_two_labels_for_one_image(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    path = bad_labels(tmp_path / "characters", manifest)
    code, _, err = run_cli(
        main, "run", onnx_model, "--calibration", path, "--output", tmp_path, *DIGITS
    )
    assert code == 2
    assert "is labeled '1' here and '0' before" in err


def test_an_unreadable_calibration_image_is_named(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    folder = Path(shutil.copytree(manifest.parent, tmp_path / "characters"))
    tamper(folder / "2-3.png", lambda data: data[:60])
    code, _, err = run_cli(
        main, "run", onnx_model, "--calibration", folder / "manifest.csv", "--output", tmp_path,
        *DIGITS,
    )  # fmt: skip
    assert code == 2
    assert "2-3.png: damaged or truncated image" in err


def test_the_accuracy_limit_fails_the_build_and_writes_nothing(
    onnx_model: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Cli
) -> None:
    """Labels are what the float network says, so float is right on all of them; int8 is broken."""
    from quantize import quality

    def all_wrong(network: Any, x: Any) -> Any:
        return np.zeros((len(x), 5), np.int8)

    labels = float_labels(onnx_model, manifest)
    rows = [(row[0], labels.get(row[0], row[1]), *row[2:]) for row in rows_of(manifest)]
    relabeled = write_manifest(
        Path(shutil.copytree(manifest.parent, tmp_path / "c")) / "m.csv", rows
    )
    assert set(labels.values()) != {"0"}
    monkeypatch.setattr(quality, "run_integers", all_wrong)
    limited = ("run", onnx_model, "--calibration", relabeled, "--output", tmp_path, *DIGITS)
    code, _, err = run_cli(main, *limited)
    assert code == 1
    assert "points of accuracy (float 100.00%, int8" in err
    assert "n = 10" in err
    assert not (tmp_path / "quantization.json").exists()
    assert run_cli(main, *limited, "--preset", "tiny")[0] == 0  # only reports
    assert run_cli(main, *limited, "--preset", "tiny", "--max-accuracy-loss", "5")[0] == 1
    assert run_cli(main, *limited, "--max-accuracy-loss", "100")[0] == 0


def float_labels(model: Path, manifest: Path) -> dict[str, str]:
    """What ONNX Runtime's float network says of every validation image."""
    import onnxruntime as ort

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = {}
    for name, *_, split, _ in rows_of(manifest):
        if split == "validation":
            x = to_float(preprocess(read_gray(manifest.parent / name)))[np.newaxis]
            found[name] = str(int(session.run([LOGITS], {"input_real": x})[0].argmax()))
    return found
