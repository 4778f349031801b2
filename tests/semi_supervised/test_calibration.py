"""Temperature and threshold against a grid and plain formulas; freezing writes them."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.calibration import calibrate, fit_temperature, nll
from tests.conftest import draw_character

import_tensorflow()

from semi_supervised.freeze import freeze  # noqa: E402
from semi_supervised.training.checkpoints import save_best  # noqa: E402
from semi_supervised.training.images import load_evaluation, load_negatives  # noqa: E402
from semi_supervised.training.networks import Discriminator, widened  # noqa: E402

DIGITS = parse_alphabet("0123456789")


def plain_nll(logits, labels, temperature):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        z = [float(v) / temperature for v in row]
        total += math.log(sum(math.exp(v - max(z)) for v in z)) + max(z) - z[label]
    return total / len(labels)


def sampled(n, classes, sharpness, seed):
    """Logits that are honest at temperature ``sharpness``: labels are drawn from them."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (n, classes))
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classes, p=p) for p in chances])
    return (honest * sharpness).astype(np.float32), labels


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(2, 6), st.floats(0.2, 5), st.integers(0, 1000))
def test_no_temperature_of_a_grid_is_better(n, classes, sharpness, seed):
    logits, labels = sampled(n, classes, sharpness, seed)
    found = fit_temperature(logits, labels)
    assert 0.25 <= found <= 4
    best = plain_nll(logits, labels, found)
    assert nll(logits, labels, found) == pytest.approx(best)
    assert all(best <= plain_nll(logits, labels, t) + 1e-7 for t in np.geomspace(0.25, 4, 97))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_logits_too_sure(sharpness):
    assert fit_temperature(*sampled(5000, 10, sharpness, 1)) == pytest.approx(sharpness, rel=0.05)


def test_the_limits():
    right = np.array([[9.0, 0.0]] * 5)
    assert fit_temperature(right, np.zeros(5, int)) == 0.25
    assert fit_temperature(right, np.ones(5, int)) == 4
    assert "(its limit)" in calibrate(right, np.zeros(5, int)).table()


def test_the_threshold_is_of_scores_at_that_temperature():
    logits, labels = sampled(200, 10, 2.0, 2)
    shifted = logits - 6  # so that p_real is not 1 for all
    others = {"low": logits[:50] - 12, "same": shifted[:30]}
    found = calibrate(shifted, labels, others)

    def p_real(values):
        z = values.astype(float) / found.temperature
        return [1 / (1 + 1 / sum(math.exp(v) for v in row)) for row in z]

    characters = sorted(p_real(shifted))
    assert found.gate.threshold == round(1e6 * characters[10])  # 5 % of 200 are below
    assert found.gate.acceptance.value == 0.95
    for kind, values in others.items():
        passed = np.mean([p >= characters[10] - 5e-7 for p in p_real(values)])
        assert found.gate.kinds[kind].false_positives.value == passed
    found_json = found.as_json({"frozen_model.pb": "a", "model.onnx": "b"})
    assert found_json["temperature"] == found.temperature
    assert found_json["frozen_model_sha256"] == "a"
    assert found_json["nll"]["calibrated"] < found_json["nll"]["at_1"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A folder with untrained weights, a manifest of validation images, and negatives."""
    folder = tmp_path_factory.mktemp("stage")
    save_best(folder / "best.npz", Discriminator(len(DIGITS), 0.0, 3, widened(0.125)), DIGITS, 1)
    rows = []
    for i in range(40):
        path = folder / f"{i}.png"
        draw_character(str(i % 10), 20 + i % 7, 3 * i).save(path)
        rows.append((path.name, str(i % 10), "font", "validation", sha256_of(path)))
    write(folder / "manifest.csv", ("file", "label", "source", "split", "sha256"), rows)
    rows, rng = [], np.random.default_rng(0)
    for i in range(24):
        path = folder / f"not-{i}.png"
        Image.fromarray(rng.integers(0, 256, (24, 24), np.uint8)).save(path)
        kind, split = ("noise", "fog")[i % 2], ("validation", "validation", "test")[i % 3]
        rows.append((path.name, kind, split, "drawn", sha256_of(path)))
    write(folder / "negatives.csv", ("file", "kind", "split", "source", "sha256"), rows)
    return folder


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def test_freezing_calibrates_what_it_froze(stage, tmp_path):
    report = freeze(stage / "best.npz", stage / "manifest.csv", tmp_path)
    found = json.loads((tmp_path / "gate.json").read_text())
    names = ("frozen_model.pb", "model.onnx")
    assert found["files"] == {name: sha256_of(tmp_path / name) for name in names}
    assert found["frozen_model_sha256"] == found["files"]["frozen_model.pb"]

    import onnxruntime as ort

    session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])

    def logits(inputs):
        fed = {"input_real": (inputs / 128).astype(np.float32)}
        return session.run(["discriminator/dense/BiasAdd"], fed)[0]

    characters = load_evaluation(stage / "manifest.csv", DIGITS, "validation")
    negatives = load_negatives(stage / "negatives.csv", "validation")
    assert {kind: len(inputs) for kind, inputs in negatives.items()} == {"noise": 8, "fog": 8}
    others = {kind: logits(inputs) for kind, inputs in negatives.items()}
    again = calibrate(logits(characters.inputs), characters.labels, others)
    assert found["temperature"] == pytest.approx(again.temperature, abs=2e-4)
    assert found["threshold_millionths"] == pytest.approx(again.gate.threshold, abs=50)
    assert found["n"] == 40
    assert {k: f["false_positives"]["n"] for k, f in found["kinds"].items()} == {
        "noise": 8,
        "fog": 8,
    }
    assert found["acceptance"]["value"] >= 0.95
    for words in ("frozen_model.pb", "temperature ", "of 40 validation characters", "noise"):
        assert words in report.table()


def test_without_negatives_there_still_are_temperature_and_threshold(stage, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    text = (stage / "manifest.csv").read_text().splitlines()
    rows = [f"{stage}/{line}" for line in text[1:]]
    (alone / "manifest.csv").write_text("\n".join([text[0], *rows]) + "\n")
    report = freeze(stage / "best.npz", alone / "manifest.csv", tmp_path / "out")
    found = json.loads((tmp_path / "out/gate.json").read_text())
    assert (found["all"], found["kinds"]) == (None, {})
    assert 0 <= found["threshold_millionths"] <= 10**6
    assert "not a character" not in report.table()
    (alone / "negatives.csv").write_text("nonsense\n1\n")
    with pytest.raises(InputError, match="missing or damaged"):
        freeze(stage / "best.npz", alone / "manifest.csv", tmp_path / "out")
