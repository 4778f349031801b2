"""classify and evaluate as a user calls them, on a toy bundle."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from edge_runtime import console
from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from edge_runtime.images import read_gray
from edge_runtime.integer import run
from edge_runtime.preprocess import preprocess
from edge_runtime.runners import default_backend
from tests.conftest import draw_character, toy_bundle


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "toy.egb"
    write_bundle(path, toy_bundle())
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a é.png"
    draw_character("A").save(path)
    return path


def test_json_lines(bundle, image, run_cli):
    code, out, _ = run_cli(main, "classify", "--bundle", bundle, "--json", image)
    assert code == 0
    answer = json.loads(out)
    assert list(answer) == ["path", "label", "confidence", "p_real", "top", "logits"]
    expected = run(toy_bundle().network, preprocess(read_gray(image))[None])[0]
    assert answer["logits"] == expected.tolist()
    assert answer["top"][0] == [answer["label"], answer["confidence"]]
    assert answer["path"] == str(image)
    assert len(re.findall(r"\d\.\d{6}\b", out)) == 5  # confidence, p_real and three of top


def test_a_bad_file_does_not_stop_the_others(bundle, image, tmp_path, run_cli):
    bad = tmp_path / "bad.png"
    bad.write_bytes(image.read_bytes()[:60])
    code, out, _ = run_cli(
        main, "classify", "--bundle", bundle, "--json", bad, image, tmp_path / "none.png"
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 2
    assert [set(line) for line in lines] == [
        {"path", "error"},
        {"path", "label", "confidence", "p_real", "top", "logits"},
        {"path", "error"},
    ]
    assert "damaged or truncated" in lines[0]["error"]


def test_readable_lines_and_folders(bundle, class_folders, run_cli):
    code, out, _ = run_cli(main, "classify", "--bundle", bundle, class_folders / "Sample003")
    assert code == 0
    assert len(out.splitlines()) == 5
    assert re.fullmatch(r".*4\.png: . .*%  \(then . .*\)", out.splitlines()[-1])


def test_mistakes_get_one_line_and_exit_code_2(bundle, image, tmp_path, run_cli):
    half = tmp_path / "half.egb"
    half.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
    for arguments, words in [
        (("classify", "--bundle", half, image), "was cut off"),
        (("classify", "--bundle", tmp_path / "none.egb", image), "no such bundle"),
        (("classify", "--bundle", bundle, "--backend", "onnx", image), "needs this model"),
        (("classify", "--bundle", bundle, "--top-k", "0", image), "at least 1"),
        (("evaluate", "--bundle", bundle, "--images", tmp_path / "none"), "no such file or folder"),
    ]:
        code, out, err = run_cli(main, *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err


def test_evaluate_counts_every_image(bundle, class_folders, tmp_path, run_cli):
    target = tmp_path / "figures.json"
    code, out, _ = run_cli(
        main, "evaluate", "--bundle", bundle, "--images", class_folders, "--json", target
    )
    assert code == 0
    figures = json.loads(target.read_text())
    network, labels, best = toy_bundle().network, [], []
    for folder in sorted(class_folders.iterdir()):
        for path in sorted(folder.iterdir()):
            labels.append(int(folder.name[-3:]) - 1)
            best.append(int(run(network, preprocess(read_gray(path))[None])[0].argmax()))
    assert figures["n"] == 50
    assert figures["backend"] == default_backend()
    right = float(np.mean(np.array(labels) == best))
    assert figures["metrics"]["top1_62"]["value"] == pytest.approx(right)
    assert set(figures["metrics"]) == {
        "top1_62",
        "top1_36",
        "top1_merged",
        "macro",
        "top3",
        "nll",
        "ece",
    }
    assert "n = 50 images" in out


def test_evaluate_skips_only_where_allowed(bundle, tmp_path, run_cli):
    folder = tmp_path / "images/A"
    folder.mkdir(parents=True)
    draw_character("A").save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"")
    arguments = ("evaluate", "--bundle", bundle, "--images", tmp_path / "images")
    code, _, err = run_cli(main, *arguments)
    assert code == 2
    assert "bad.png: the file is empty" in err
    code, out, err = run_cli(main, *arguments, "--skip-unreadable")
    assert code == 0
    assert "skipped: " in err
    assert "n = 1 images" in out


def test_the_console_command(bundle, image, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["edgeglyph", "classify", "--bundle", str(bundle), str(image)])
    assert console.main() == 0
    assert "a é.png: " in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["edgeglyph", "nonsense"])
    assert console.main() == 2
    monkeypatch.setattr("sys.argv", ["edgeglyph"])
    assert console.main() == 0
    assert "classify images with a bundle" in capsys.readouterr().out


def test_a_wrong_size_image_is_no_problem(bundle, tmp_path, run_cli):
    for shape in ((1, 1), (3, 600)):
        path = tmp_path / f"{shape}.png"
        Image.fromarray(np.zeros(shape, np.uint8)).save(path)
        assert run_cli(main, "classify", "--bundle", bundle, path)[0] == 0
