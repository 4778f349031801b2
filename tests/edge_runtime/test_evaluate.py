"""Two models on the same images, and the gate, as a user asks for them."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from edge_runtime import container
from edge_runtime.__main__ import main
from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.errors import BundleError
from edge_runtime.images import read_gray
from edge_runtime.integer import run
from edge_runtime.negatives import kinds_never_trained, read_negatives
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import ScoreTable
from tests.conftest import draw_character, toy_bundle

FEW = parse_alphabet("0123456789ABCOa")


def written(path, alphabet=ALPHABET_62, seed=0, temperature=1.0, threshold=None):
    gate = None if threshold is None else {"threshold": threshold, "acceptance": 0.95}
    bundle = dataclasses.replace(
        toy_bundle(alphabet, seed),
        scores=ScoreTable.build(3, 1.0, temperature),
        checks=None,
        manifest={"scores": {"logit_scale": 1.0, "temperature": temperature, "gate": gate}},
    )
    write_bundle(path, bundle)
    return path


@pytest.fixture
def bundle(tmp_path):
    return written(tmp_path / "first.egb")


@pytest.fixture
def labeled(tmp_path):
    """Letters and digits with a table of labels; of "O" and "a" two images each."""
    rows = []
    for i, symbol in enumerate("0123456789ABCOOaa"):
        path = tmp_path / f"crop-{i}.png"
        draw_character(symbol, 20 + i, 5 * i).save(path)
        rows.append((path.name, symbol))
    return table(tmp_path / "labels.csv", ("file", "label"), rows)


@pytest.fixture
def negatives(tmp_path):
    """Three kinds of noise in two splits; of "dots" the test split alone."""
    rng, rows = np.random.default_rng(0), []
    for i in range(24):
        kind, split = ("dots", "bars", "fog")[i % 3], ("train", "test")[i // 3 % 2]
        if (kind, split) == ("dots", "train"):
            continue
        path = tmp_path / f"{kind}-{i}.png"
        Image.fromarray(rng.integers(0, 256, (20 + i, 30), np.uint8)).save(path)
        rows.append((path.name, kind, split, "drawn", ""))
    return table(tmp_path / "negatives.csv", ("file", "kind", "split", "source", "sha256"), rows)


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def answers(bundle, paths):
    """Symbol that a toy bundle names, by its integers alone."""
    found = read_bundle(bundle)
    logits = run(found.network, np.stack([preprocess(read_gray(path)) for path in paths]))
    return [found.alphabet.symbols[c] for c in logits.argmax(axis=1)]


def rows_of(labeled):
    with labeled.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [labeled.parent / row["file"] for row in rows], [row["label"] for row in rows]


def test_two_models_are_compared_by_symbol(labeled, tmp_path, run_cli):
    first = written(tmp_path / "first.egb", parse_alphabet("0123456789ABC"), 3)
    second = written(tmp_path / "second.egb", parse_alphabet("OaCBA98"), 4)
    out_file = tmp_path / "figures.json"
    code, out, err = run_cli(
        main, "evaluate", "--bundle", first, "--against", second, "--backend", "int8",
        "--images", labeled, "--json", out_file,
    )  # fmt: skip
    assert code == 0, err
    paths, labels = rows_of(labeled)
    right = [np.array(answers(b, paths)) == np.array(labels) for b in (first, second)]
    figures = json.loads(out_file.read_text())
    other = figures["against"]
    assert figures["metrics"]["top1_62"]["value"] == pytest.approx(right[0].mean(), abs=1e-6)
    assert other["metrics"]["top1_62"]["value"] == pytest.approx(right[1].mean(), abs=1e-6)
    assert figures["labels_lacking"] == {"O": 2, "a": 2}
    assert other["labels_lacking"] == dict.fromkeys("01234567", 1)
    b, c = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    test = other["mcnemar_of_models"]["int8"]
    assert (test["only_first"], test["only_second"], test["n"]) == (b, c, 17)
    for words in (
        "first.egb: int8 (reference)",
        "second.egb: int8 (reference)",
        f"first.egb is right where second.egb is wrong on {b} images, the other way on {c}; p = ",
        "first.egb: 4 images count as wrong, because its alphabet lacks their labels: O a",
    ):
        assert words in out, out
    recall = figures["per_class"]["O"]["recall"]
    assert (recall["value"], recall["n"]) == (0, 2)
    assert figures["per_class"]["O"]["precision"] is None
    assert sum(c["count"] for c in figures["confusions"]) <= 17 - int(right[0].sum())


def test_the_same_bundle_or_a_damaged_one_is_not_compared(bundle, labeled, tmp_path, run_cli):
    arguments = ("evaluate", "--bundle", bundle, "--images", labeled, "--against")
    code, _, err = run_cli(main, *arguments, bundle.parent / "." / bundle.name)
    assert code == 2
    assert "is the same bundle" in err
    code, _, err = run_cli(main, *arguments, tmp_path / "none.egb")
    assert code == 2
    assert "none.egb: no such bundle" in err


def test_back_ends_are_compared_pair_by_pair(bundle, labeled, tmp_path, run_cli, native_build):
    code, out, _ = run_cli(
        main, "evaluate", "--bundle", bundle, "--backend", "int8", "--backend", "native",
        "--images", labeled, "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert code == 0
    tests = json.loads((tmp_path / "f.json").read_text())["mcnemar"]
    assert tests == {"int8 / native": {"only_first": 0, "only_second": 0, "n": 17, "p": 1.0}}
    assert "smallest p of the two networks (McNemar's test): 1, int8 / native" in out


@pytest.mark.parametrize("threshold", [None, 941_500])
def test_the_gate_is_measured_on_negatives(labeled, negatives, threshold, tmp_path, run_cli):
    bundle = written(tmp_path / "gated.egb", FEW, temperature=20.0, threshold=threshold)
    code, out, err = run_cli(
        main, "evaluate", "--bundle", bundle, "--backend", "int8", "--images", labeled,
        "--negatives", negatives, "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert code == 0, err
    figures = json.loads((tmp_path / "f.json").read_text())
    gate = figures["gate"]
    recognizer = Recognizer.open(bundle, "int8")

    def p_real(paths):
        return np.array([p.p_real for p in recognizer.classify([read_gray(f) for f in paths])])

    characters = p_real(rows_of(labeled)[0])
    assert len(np.unique(characters)) > 10
    listed = read_negatives(negatives, "test")
    assert figures["negatives"]["n"] == len(listed) == 12
    used = gate["threshold_millionths"]
    assert used == (sorted(characters)[0] if threshold is None else threshold)
    assert gate["threshold_from"] == ("the bundle" if threshold else "these characters")
    assert gate["acceptance"]["value"] == pytest.approx(np.mean(characters >= used), abs=1e-6)
    assert list(gate["kinds"])[-1] == "dots"
    for kind, figures in gate["kinds"].items():
        others = p_real([n.path for n in listed if n.kind == kind])
        ahead = np.mean(
            (characters[:, None] > others) + 0.5 * (characters[:, None] == others), dtype=float
        )
        assert figures["auroc"]["value"] == pytest.approx(ahead, abs=1e-6)
        share = pytest.approx(np.mean(others >= used), abs=1e-6)
        assert figures["false_positives"]["value"] == share
        assert figures["seen_in_training"] is (kind != "dots")
    assert "dots (never seen in training)" in out
    assert ("The gate at the bundle's threshold" in out) is (threshold is not None)


def test_negatives_that_cannot_be_used(bundle, labeled, negatives, tmp_path, run_cli):
    arguments = ("evaluate", "--bundle", bundle, "--images", labeled, "--negatives")
    for given, words in [
        ((tmp_path / "none.csv",), "none.csv: missing or damaged; `make data` writes it"),
        ((negatives, "--negatives-split", "validation"), "lists no image of split 'validation'"),
    ]:
        code, out, err = run_cli(main, *arguments, *given)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert words in err
    assert kinds_never_trained(read_negatives(negatives)) == {"dots"}
    lost = read_negatives(negatives, "test")[0].path
    lost.write_bytes(b"")
    code, _, err = run_cli(main, *arguments, negatives)
    assert code == 2
    assert f"{lost}: the file is empty" in err
    code, _, err = run_cli(main, *arguments, negatives, "--skip-unreadable")
    assert code == 0
    assert f"skipped: {lost}" in err


def test_classify_doubts_what_is_below_the_threshold(labeled, tmp_path, run_cli, classify_native):
    paths = rows_of(labeled)[0]
    sure, unsure, plain = (
        written(tmp_path / f"{threshold}.egb", FEW, temperature=20.0, threshold=threshold)
        for threshold in (0, 941_500, None)
    )
    lines = {
        b: run_cli(main, "classify", "--bundle", b, "--backend", "int8", *paths)[1].splitlines()
        for b in (sure, unsure, plain)
    }
    assert lines[sure] == lines[plain]
    doubted = [line for line in lines[unsure] if "perhaps not a character: p_real 0." in line]
    real = [p.p_real for _, p in Recognizer.open(unsure, "int8").classify_files(paths)]
    assert 0 < len(doubted) == sum(p < 941_500 for p in real) < len(paths)
    as_json = [
        run_cli(main, "classify", "--json", "--bundle", b, "--backend", "int8", *paths)[1]
        for b in (unsure, plain)
    ]
    assert as_json[0] == as_json[1] == classify_native("--json", "--bundle", unsure, *paths)[1]


def test_float_networks_get_the_bundles_temperature(tmp_path):
    """A float runner that gives what the integers stand for has their scores."""

    class Floats:
        integer = False

        def run(self, inputs):
            return run(toy_bundle().network, inputs).astype(np.float32) / 8

    path = written(tmp_path / "warm.egb", temperature=3.0)
    inputs = np.random.default_rng(0).integers(-128, 128, (9, 32, 32, 1)).astype(np.int8)
    exact = Recognizer.open(path, "int8").scores(inputs)
    found = Recognizer(read_bundle(path), Floats()).scores(inputs)
    for a, b in zip(found[1:], exact[1:], strict=True):
        assert np.abs(a - b).max() <= 1  # millionths
    cold = Recognizer.open(written(tmp_path / "cold.egb"), "int8").scores(inputs)
    assert np.abs(cold[1] - exact[1]).max() > 10_000


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"temperature": 0}, "a temperature of 0"),
        ({"temperature": "1"}, "a temperature of '1'"),
        ({"temperature": True}, "a temperature of True"),
        ({"gate": {"threshold": 1_000_001, "acceptance": 0.95}}, "threshold of 1000001"),
        ({"gate": {"threshold": 0.9, "acceptance": 0.95}}, "threshold of 0.9"),
        ({"gate": {"threshold": 9, "acceptance": 1.5}}, "acceptance of 1.5"),
        ({"gate": {"acceptance": 0.95}}, "lacks 'threshold'"),
        ({"gate": [1]}, "not a usable bundle"),
        ("none", "not a usable bundle"),
    ],
)
def test_impossible_scores_are_refused(bundle, scores, words):
    sections = container.unpack(bundle.read_bytes(), "first")
    manifest = json.loads(sections["manifest"]) | {"scores": scores}
    bundle.write_bytes(container.pack(sections | {"manifest": json.dumps(manifest).encode()}))
    with pytest.raises(BundleError, match=words) as error:
        read_bundle(bundle)
    assert "\n" not in str(error.value)
