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


def as_array(path: Path, *files: Path) -> Path:
    """Write images to an .npz as preprocessing gives them."""
    np.savez(path, inputs=to_float(np.stack([preprocess(read_gray(file)) for file in files])))
    return path


def test_an_array_must_not_hold_held_out_images(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    """Compared as preprocessed: an array has no file hashes."""
    folder, flat = manifest.parent, np.zeros((1, 32, 32, 1), np.float32)
    train = as_array(tmp_path / "train.npz", folder / "1-0.png", folder / "2-0.png")
    leaky = as_array(tmp_path / "leaky.npz", folder / "1-0.png", folder / "2-9.png")
    arguments = ("run", onnx_model, "--output", tmp_path, *DIGITS, "--method", "min-mse")
    for option in ("--held-out", "--validation"):
        fine = (*arguments, "--calibration", train, option, manifest, "--preset", "tiny")
        assert run_cli(main, *fine)[0] == 0
        code, _, err = run_cli(main, *arguments, "--calibration", leaky, option, manifest)
        assert code == 2
        assert "leaky.npz: input 1 is the same image as the test image" in err
        assert "2-9.png" in err
    np.savez(tmp_path / "flat.npz", inputs=np.concatenate([flat, np.load(train)["inputs"]]))
    assert run_cli(main, *arguments, "--calibration", tmp_path / "flat.npz")[0] == 0
    alone = ("run", onnx_model, "--output", tmp_path, "--calibration", train)
    code, _, err = run_cli(main, *alone, "--held-out", manifest)
    assert code == 2
    assert "say which characters they are, in order, with --alphabet" in err


def test_test_images_of_the_validation_manifest_are_held_out(
    onnx_model: Path, manifest: Path, tmp_path: Path, run_cli: Cli
) -> None:
    """Also where the sample would not have had them: one image is enough of 26."""
    folder = tmp_path / "plain"
    for symbol in "01234":
        (folder / f"digit_{symbol}").mkdir(parents=True)
        for i in range(5):
            name = f"{symbol}-{i}.png"
            shutil.copy(manifest.parent / name, folder / f"digit_{symbol}" / name)
    shutil.copy(manifest.parent / "4-8.png", folder / "digit_4" / "extra.png")
    arguments = ("run", onnx_model, "--calibration", folder, "--output", tmp_path, *DIGITS)
    code, _, err = run_cli(main, *arguments, "--validation", manifest, "--calibration-count", "1")
    assert code == 2
    assert "digit_4/extra.png: is the same image as the test image" in err


def frozen(path: Path, first: Any, second: Any, ends: tuple[str, ...] = ("y",)) -> Path:
    """Write a graph 8×8×1 → convolution → ReLU → convolution → one logit per class."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        side = None if path.name == "dynamic.pb" else 8
        x = tf.compat.v1.placeholder(tf.float32, [None, side, side, 1], name="input_real")
        x = tf.nn.conv2d(x, tf.constant(first, tf.float32, name="w1"), 1, "SAME", name="c1")
        x = tf.nn.conv2d(tf.nn.relu(x), tf.constant(second, tf.float32, name="w2"), 1, "VALID")
        for end in ends:
            tf.reshape(x, [-1, second.shape[-1]], name=end)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(0, 1, (3, 3, 1, 4)), RNG.normal(0, 1, (8, 8, 4, 3))


@pytest.mark.parametrize(
    ("name", "first", "second", "ends", "message"),
    [
        ("nan", FIRST * np.nan, SECOND, ("y",), "constant 'w1' holds NaN or infinity"),
        ("infinite", FIRST, SECOND * np.inf, ("y",), "constant 'w2' holds NaN or infinity"),
        ("zeros", FIRST * 0, SECOND, ("y",), "weights 'w1' are all zero"),
        ("tiny", FIRST * 1e-30, SECOND, ("y",), r"'w1': fix point \d+ is outside -64\.\.64"),
        ("huge", FIRST, SECOND * 1e30, ("y",), r"fix point -\d+ is outside -64\.\.64"),
        ("two", FIRST, SECOND, ("y", "z"), "ends at y, z; choose the logits with --output-node"),
        ("dynamic", FIRST, SECOND, ("y",), r"shape \[\?, \?, \?, 1\]; freeze the graph with"),
        ("good", FIRST, SECOND, ("y",), ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["min-mse", "best"])
def test_graphs_that_cannot_be_quantized(
    name: str, first: Any, second: Any, ends: Any, message: str, method: str, tmp_path: Path,
    run_cli: Cli,
) -> None:  # fmt: skip
    path = frozen(tmp_path / f"{name}.pb", first, second, ends)
    x = RNG.normal(0, 0.5, (20, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    arguments = ("run", path, "--calibration", tmp_path / "x.npz", "--output", tmp_path / "out")
    code, _, err = run_cli(main, *arguments, "--method", method)
    if not message:
        assert code == 0
        return
    assert code == 2
    told = [line for line in err.splitlines() if line.startswith("quantize: ")]
    assert len(told) == 1
    assert re.search(message, told[0])
    assert not (tmp_path / "out" / "quantization.json").exists()


def test_a_calibration_folder_without_images(
    onnx_model: Path, tmp_path: Path, run_cli: Cli
) -> None:
    (tmp_path / "digit_1").mkdir()
    arguments = ("run", onnx_model, "--calibration", tmp_path, "--output", tmp_path, *DIGITS)
    code, _, err = run_cli(main, *arguments)
    assert code == 2
    assert len(err.strip().splitlines()[-1:]) == 1
    assert str(tmp_path) in err
    code, _, err = run_cli(main, *arguments, "--calibration-count", "0")
    assert code == 2
    assert "calibration_count must be an integer of at least 1" in err


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
