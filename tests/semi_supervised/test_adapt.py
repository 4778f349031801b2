"""From a trained model to another alphabet: weights by symbol, few labels, the report."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62, Alphabet, parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.metrics import mcnemar
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

from quantize.compile import CompileRequest, compile_bundle  # noqa: E402
from quantize.pipeline import Request, run  # noqa: E402
from quantize.settings import load_settings as load_quantize_settings  # noqa: E402
from semi_supervised import __main__ as command_line  # noqa: E402
from semi_supervised.adapt.gain import changes, measure_gain  # noqa: E402
from semi_supervised.data import make_data, read_alphabet  # noqa: E402
from semi_supervised.freeze import freeze  # noqa: E402
from semi_supervised.sources import find_alphabet, find_weights  # noqa: E402
from semi_supervised.training import trainer  # noqa: E402
from semi_supervised.training.checkpoints import (  # noqa: E402
    load_best,
    save_best,
    set_aside_if_different,
)
from semi_supervised.training.networks import Discriminator, widened  # noqa: E402
from semi_supervised.training.start import read_start  # noqa: E402
from tests.semi_supervised.few_crops import SETTINGS, SYMBOLS, write_crops  # noqa: E402


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model's folder: random weights for 0-9, every variable different from any other's."""
    folder = tmp_path_factory.mktemp("models") / "reader"
    network = Discriminator(10, 0.0, 5)
    rng = np.random.default_rng(0)
    for variable in network.variables:
        variable.assign(rng.uniform(0.01, 0.2, variable.shape).astype(np.float32))
    save_best(folder / "best.npz", network, parse_alphabet("0123456789"), 1)
    return folder


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, start):
    """Every stage at its smallest, as `make adapt` runs them."""
    out = tmp_path_factory.mktemp("adapt")
    crops = write_crops(out / "crops", SYMBOLS.symbols, 5)
    make_data(str(crops), out, find_alphabet([str(crops)]), SETTINGS.data)
    manifest = out / "manifest.csv"
    trainer.train(manifest, out / "training", SETTINGS, 0, start)
    trainer.train(manifest, out / "nothing", SETTINGS, 0)
    freeze(out / "training/best.npz", manifest, out)
    settings = replace(load_quantize_settings("tiny"), method="min-mse")
    run(Request(out / "frozen_model.pb", manifest, out, settings))
    compile_bundle(CompileRequest(out, out / "adapted.egb", "adapted", "host", None, None))
    return out


# --- The weights ----------------------------------------------------------------------------------


def test_columns_are_copied_by_symbol_and_all_else_as_it_is(start):
    first = read_start(start)
    target = Discriminator(len(SYMBOLS), 0.3, 1)
    random = target.dense_kernel.numpy()
    first.copy_to(target, SYMBOLS)
    own = first.network
    for i, symbol in enumerate(SYMBOLS.symbols):
        column, bias = target.dense_kernel.numpy()[:, i], target.dense_bias.numpy()[i]
        if symbol in "0123":
            assert np.array_equal(column, own.dense_kernel.numpy()[:, int(symbol)])
            assert bias == own.dense_bias.numpy()[int(symbol)]
        else:
            assert np.array_equal(column, random[:, i])
            assert bias == 0
    for a, b in zip(own.kernels, target.kernels, strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(own.norms, target.norms, strict=True):
        for name in ("gamma", "beta", "mean", "variance"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
    assert first.shared(SYMBOLS) == ("0", "1", "2", "3")


def test_a_start_gives_the_shared_symbols_the_same_logits(start):
    first = read_start(start)
    target = Discriminator(len(SYMBOLS), 0.0, 1)
    first.copy_to(target, SYMBOLS)
    x = np.random.default_rng(2).uniform(-1, 1, (4, 32, 32, 1)).astype(np.float32)
    expected = first.network(x).logits.numpy()[:, :4]
    assert np.allclose(target(x).logits.numpy()[:, :4], expected, atol=1e-5)


def test_training_begins_with_the_start_and_goes_on_where_it_was(adapted, start, tmp_path):
    told = json.loads((adapted / "training/training.json").read_text())
    assert told["start_sha256"] == sha256_of(start / "best.npz")
    assert "start_sha256" not in json.loads((adapted / "nothing/training.json").read_text())
    # Killed after the first of two epochs: the start must not be loaded over what was learned.
    whole = (adapted / "training/best.npz").read_bytes()
    manifest = adapted / "manifest.csv"
    stopped = False

    def stop(*arguments, **options):
        nonlocal stopped
        keep(*arguments, **options)
        if not stopped:
            stopped = True
            raise KeyboardInterrupt

    keep = trainer._Run._keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Run, "_keep", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(manifest, tmp_path / "cut", SETTINGS, 0, start)
    trainer.train(manifest, tmp_path / "cut", SETTINGS, 0, start)
    assert stopped
    assert (tmp_path / "cut/best.npz").read_bytes() == whole


def test_the_start_rate_is_of_trainings_with_a_start_alone(adapted, start, tmp_path):
    manifest, rate = adapted / "manifest.csv", SETTINGS.train.learning_rate

    def weights(name, begin, **changes):
        settings = replace(SETTINGS, train=replace(SETTINGS.train, epochs=1, **changes))
        trainer.train(manifest, tmp_path / name, settings, 0, begin)
        return (tmp_path / name / "best.npz").read_bytes()

    assert weights("share", start, start_rate=0.5) == weights("half", start, learning_rate=rate / 2)
    assert weights("random", None, start_rate=0.5) == weights("whole", None)


def test_another_start_is_another_training(adapted, start, tmp_path):
    """Its stamp is another; the finished training is set aside, not overwritten."""
    network, alphabet, _ = load_best(start / "best.npz")
    network.dense_bias.assign_add(np.ones(10, np.float32))
    save_best(tmp_path / "other/best.npz", network, alphabet, 1)
    stamps = []
    for model in (start, tmp_path / "other", None):
        options = ["stamp", "train", "--preset", "tiny", "--file", str(tmp_path / "stamp")]
        assert command_line.main(options + (["--start", str(model)] if model else [])) == 0
        stamps.append((tmp_path / "stamp").read_text())
    assert len(set(stamps)) == 3
    shutil.copytree(adapted / "training", tmp_path / "training")
    told = json.loads((adapted / "training/training.json").read_text())
    set_aside_if_different(tmp_path / "training", told)
    assert not (tmp_path / "training.1").exists()
    other = told | {"start_sha256": sha256_of(tmp_path / "other/best.npz")}
    set_aside_if_different(tmp_path / "training", other)
    assert (tmp_path / "training.1/best.npz").exists()


def test_of_protocol_few_the_last_epoch_is_kept(adapted):
    rows = [json.loads(r) for r in (adapted / "training/metrics.jsonl").read_text().splitlines()]
    result = json.loads((adapted / "training/result.json").read_text())
    assert result["best"]["epoch"] == rows[-1]["epoch"] == SETTINGS.train.epochs
    with np.load(adapted / "training/best.npz") as arrays:
        assert json.loads(bytes(arrays["meta"]))["epoch"] == SETTINGS.train.epochs


# --- Bad input ------------------------------------------------------------------------------------


def test_a_start_that_is_missing_damaged_or_of_another_width_is_refused(adapted, start, tmp_path):
    with pytest.raises(InputError, match=r"has no best\.npz; to start from a trained model"):
        find_weights(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_weights(tmp_path / "nothing")
    torn = tmp_path / "best.npz"
    torn.write_bytes((start / "best.npz").read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged weights"):
        read_start(tmp_path)
    wide = Discriminator(10, 0.0, 0, widened(2.0))
    save_best(tmp_path / "wide/best.npz", wide, parse_alphabet("0123456789"), 1)
    before = sorted(adapted.rglob("*"))
    with pytest.raises(InputError, match=r"has channels 128,.* but a network with 64,64"):
        trainer.train(adapted / "manifest.csv", tmp_path / "t", SETTINGS, 0, tmp_path / "wide")
    assert sorted(adapted.rglob("*")) == before
    code = command_line.main(
        ["stamp", "train", "--start", str(tmp_path / "none"), "--file", str(tmp_path / "stamp")]
    )
    assert code == 2
    assert not (tmp_path / "stamp").exists()


def test_make_names_what_is_missing_before_anything_runs(tmp_path):
    crops = write_crops(tmp_path / "crops", "01", 2)
    cases = {
        (): "name your labeled crops: make adapt DATA=folder",
        (f"DATA={crops}", f"FROM={tmp_path}"): f"{tmp_path}: has no best.npz",
        (f"DATA={tmp_path / 'none'}",): "no such file or folder",
        (f"DATA={crops}", "ALPHABET=0"): "an alphabet has 2 to 4096 symbols, not 1",
    }
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    for given, expected in cases.items():
        told = subprocess.run(
            ["make", "adapt", f"VENV={sys.prefix}", f"OUT={tmp_path / 'out'}", *given],
            cwd=Path(__file__).parents[2],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 2
        assert expected in told.stderr
        assert "Traceback" not in told.stderr
    assert not [p for p in (tmp_path / "out").rglob("*") if ".stamps" not in str(p)]


# --- The report -----------------------------------------------------------------------------------


def test_the_report_counts_what_every_network_reads(adapted, start):
    gain = measure_gain(
        adapted / "manifest.csv",
        adapted / "training",
        adapted / "adapted.egb",
        start,
        adapted / "nothing",
    )
    assert list(gain.readings) == ["start", "start_own", "nothing", "adapted", "int8"]
    assert len(gain.images) == 12
    assert gain.known == ("0", "1", "2", "3")
    labels = [image.label for image in gain.images]
    for reading in gain.readings.values():
        right = [a == b for a, b in zip(reading.answers, labels, strict=True)]
        assert reading.correct.tolist() == right
    assert set(gain.readings["start"].answers) <= set("0123456789")
    assert set(gain.readings["start_own"].answers) <= set("0123")
    new = [k for k, label in enumerate(labels) if label in "Ω/"]
    assert not gain.readings["start_own"].correct[new].any()
    test = gain.readings["nothing"].test
    difference = gain.adapted.correct.sum() - gain.readings["nothing"].correct.sum()
    assert test.only_first - test.only_second == difference
    told = " ".join(gain.sentences())
    assert "reader does not know 2 of the 6 symbols: / Ω." in told
    assert "may be chance" in told or "no gain was measured" in told  # of a dozen images


def test_the_words_follow_the_test(adapted, start):
    """Twelve images: a clear gain, a clear loss, chance, and none."""
    gain = measure_gain(
        adapted / "manifest.csv", adapted / "training", adapted / "adapted.egb", start
    )
    words = {
        (12, 0): "Adapted reads 12 more of the 12 than reader as it is (p = 0.00049",
        (0, 12): "Adapted reads 12 fewer of the 12 than reader as it is (p = 0.00049, McNemar's "
        "test). Better keep the other.",
        (5, 3): "2 more of the 12 than reader as it is; that may be chance (p = 0.5",
        (7, 7): "as many of the 12 as reader as it is: no gain was measured.",
    }
    for (ours, theirs), expected in words.items():
        first, second = np.arange(12) < ours, np.arange(12) < theirs
        other = replace(gain.readings["start"], correct=second, test=mcnemar(first, second))
        readings = gain.readings | {"start": other}
        del readings["start_own"]
        assert any(expected in s for s in replace(gain, readings=readings).sentences())


def test_the_adapted_network_of_the_report_is_the_trained_one(adapted, start):
    gain = measure_gain(
        adapted / "manifest.csv", adapted / "training", adapted / "adapted.egb", start
    )
    network, alphabet, _ = load_best(adapted / "training/best.npz")
    validation = trainer.load_evaluation(adapted / "manifest.csv", alphabet, "validation")
    logits = network(validation.inputs.astype(np.float32) / 128).logits.numpy()
    correct = logits.argmax(axis=1) == validation.labels
    assert gain.adapted.correct.tolist() == correct.tolist()
    history = (adapted / "training/metrics.jsonl").read_text().splitlines()
    assert np.isclose(json.loads(history[-1])["validation_accuracy"], correct.mean())


def test_the_command_writes_json_and_a_page_of_its_own(adapted, start, capsys):
    options = ["adapt", "--output", adapted, "--bundle", adapted / "adapted.egb"]
    options += ["--start", start, "--from-nothing", adapted / "nothing"]
    assert command_line.main([str(o) for o in options]) == 0
    shown = capsys.readouterr().out
    assert "12 held-out characters" in shown
    assert "trained from nothing" in shown
    told = json.loads((adapted / "adapt.json").read_text("utf-8"))
    assert told["held_out"]["n"] == 12
    assert told["networks"]["adapted"]["accuracy"]["n"] == 12
    wrong = 12 - round(12 * told["networks"]["adapted"]["accuracy"]["value"])
    assert sum(row["adapted"] != row["label"] for row in told["changed"]) == wrong
    page = (adapted / "adapt.html").read_text("utf-8")
    assert page.count("<li>\n<img") == len(told["changed"])
    assert "http" not in page


def test_changes_name_the_mended_the_broken_and_what_is_wrong_still(adapted, start):
    gain = measure_gain(
        adapted / "manifest.csv", adapted / "training", adapted / "adapted.egb", start
    )
    names = [image.label for image in gain.images]
    before = replace(gain.start, answers=[*names[:6], *["?"] * 6])
    after = replace(gain.adapted, answers=[*names[:3], *["?"] * 6, *names[9:]])
    readings = {
        key: replace(r, correct=np.array(r.answers) == np.array(names))
        for key, r in (("start", before), ("adapted", after))
    }
    rows = changes(replace(gain, readings=readings), adapted)
    assert [row["kind"] for row in rows] == ["broken"] * 3 + ["wrong"] * 3 + ["mended"] * 3
    assert all((adapted / row["file"]).is_file() for row in rows)


def test_a_bundle_of_another_alphabet_is_refused(adapted, start, tmp_path):
    save_best(tmp_path / "best.npz", Discriminator(62, 0.0, 0), ALPHABET_62, 1)
    with pytest.raises(InputError, match="has another alphabet"):
        measure_gain(adapted / "manifest.csv", tmp_path, adapted / "adapted.egb", start)
    assert read_alphabet(adapted / "manifest.csv") == Alphabet(tuple(sorted(SYMBOLS.symbols)))
