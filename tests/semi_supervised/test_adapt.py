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

from edge_runtime.alphabet import ALPHABET_62, MOST_SYMBOLS, Alphabet, AnyCharacter, parse_alphabet
from edge_runtime.errors import InputError, LabelError, SettingsError
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
from semi_supervised.settings import load_settings  # noqa: E402
from semi_supervised.sources import find_alphabet, find_weights  # noqa: E402
from semi_supervised.synthesis import Synthesizer, synthesizer_if_possible  # noqa: E402
from semi_supervised.synthesis.fonts import find_faces  # noqa: E402
from semi_supervised.training import trainer  # noqa: E402
from semi_supervised.training.batches import BatchMaker  # noqa: E402
from semi_supervised.training.checkpoints import (  # noqa: E402
    load_best,
    save_best,
    set_aside_if_different,
)
from semi_supervised.training.images import load_training_images  # noqa: E402
from semi_supervised.training.networks import Discriminator, widened  # noqa: E402
from semi_supervised.training.start import read_start  # noqa: E402
from tests.conftest import draw_character  # noqa: E402

SYMBOLS = parse_alphabet("0123Ω/")  # four that a digit reader knows, two new ones
GLYPHLESS = "𓀀𓀁"  # no installed font has them
FEW = ["data.protocol=few", "data.added_per_class=2", "data.synthetic_per_class=4"]
SETTINGS = load_settings("tiny", [*FEW, "data.validation_share=0.4"])


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


def write_crops(folder, symbols, per_class):
    """A list of crops; a file's name cannot be /, so it is a number."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,label"]
    for i, symbol in enumerate(symbols):
        shown = "AB"[i % 2] if symbol in GLYPHLESS else symbol  # Pillow has no such glyph
        for k in range(per_class[symbol] if isinstance(per_class, dict) else per_class):
            draw_character(shown, 22 + 4 * k, 12 * k, k % 3).save(folder / f"{i}-{k}.png")
            rows.append(f'{i}-{k}.png,"{symbol}"')
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "labels.csv"


def counts(report):
    return {
        split: sum(i.split == split and i.source != "drawn" for i in report.images)
        for split in ("train", "validation", "unlabeled")
    }


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


# --- The data -------------------------------------------------------------------------------------


def test_the_alphabet_is_that_of_the_labels_in_the_order_of_code_points(tmp_path):
    crops = write_crops(tmp_path, "Ωb2/A1", 1)
    assert find_alphabet([str(crops)]).symbols == ("/", "1", "2", "A", "b", "Ω")


@pytest.mark.parametrize(
    ("folder", "symbol"),
    [
        ("7", "7"),
        ("upper_A", "A"),
        ("lower_a", "a"),
        ("digit_3", "3"),
        ("Sample001", "0"),
        ("U+002F", "/"),
        ("U+20AC", "€"),
        ("U+1F600", "😀"),
        ("E\u0301", "É"),  # as macOS writes it
        ("notes", None),
        ("U+0020", None),
        ("U+FFFFFF", None),
    ],
)
def test_a_folder_names_any_character(folder, symbol):
    assert AnyCharacter().symbol_of_folder(folder) == symbol
    if symbol is not None and not folder.startswith("Sample"):
        assert Alphabet(("a", "€", symbol) if symbol not in "a€" else ("a", "€")).symbol_of_folder(
            folder
        ) == (symbol)


@pytest.mark.parametrize(
    ("per_class", "held_out", "train"),
    [(5, 12, 18), (2, 6, 6), ({"0": 4, "1": 1, "2": 1, "3": 3, "Ω": 1, "/": 2}, 4, 8)],
)
def test_few_labels_still_give_a_held_out_part(tmp_path, per_class, held_out, train):
    crops = write_crops(tmp_path / "crops", SYMBOLS.symbols, per_class)
    report = make_data(str(crops), tmp_path, SYMBOLS, SETTINGS.data)
    found = counts(report)
    assert found == {"validation": held_out, "train": train, "unlabeled": 0}
    given = {i.label for i in report.images if i.split == "train" and i.source != "drawn"}
    assert given == set(SYMBOLS.symbols)  # every class keeps a label


def test_one_label_of_each_is_for_training_and_drawn_characters_measure(tmp_path, caplog):
    crops = write_crops(tmp_path / "crops", SYMBOLS.symbols, 1)
    report = make_data(str(crops), tmp_path, SYMBOLS, SETTINGS.data)
    assert counts(report) == {"train": 6, "validation": 0, "unlabeled": 0}
    drawn = [i for i in report.images if i.split == "validation"]
    assert {i.label for i in drawn} == set(SYMBOLS.symbols)
    assert {i.source for i in drawn} == {"drawn"}
    assert "the held-out characters are drawn ones" in caplog.text


def test_no_label_at_all_is_enough_with_fonts(tmp_path):
    write_crops(tmp_path / "crops", SYMBOLS.symbols, 2)
    (tmp_path / "crops/labels.csv").unlink()
    report = make_data(
        "synthetic", tmp_path, SYMBOLS, SETTINGS.data, unlabeled=[str(tmp_path / "crops")]
    )
    assert counts(report) == {"train": 0, "validation": 0, "unlabeled": 12}


def test_a_symbol_without_a_crop_is_learned_from_fonts_alone(tmp_path):
    crops = write_crops(tmp_path / "crops", "0123", 3)
    report = make_data(str(crops), tmp_path, SYMBOLS, SETTINGS.data)
    drawn = {i.label for i in report.images if i.split == "train" and i.source == "drawn"}
    assert {"Ω", "/"} <= drawn
    with pytest.raises(LabelError, match=r"no image of 1 of the 5 classes \(𓀀\)"):
        make_data(str(crops), tmp_path, parse_alphabet("0123𓀀"), SETTINGS.data)


def batches_of(manifest, alphabet):
    """What training sees: its images' classes, and the classes drawn in three steps."""
    synthesizer = synthesizer_if_possible(alphabet, SETTINGS.train.seed)
    images = load_training_images(manifest, alphabet, manifest.parent)
    maker = BatchMaker(images, synthesizer, SETTINGS)
    batches = [maker.batch(step) for step in range(3)]
    given, drawn = (
        {alphabet.symbols[c] for batch in batches for c in getattr(batch, name)}
        for name in ("given_classes", "drawn_classes")
    )
    return given, drawn


def test_a_symbol_that_no_font_has_is_learned_from_crops_alone(tmp_path, caplog):
    symbols = parse_alphabet("01𓀀")
    crops = write_crops(tmp_path / "crops", symbols.symbols, 3)
    report = make_data(str(crops), tmp_path, symbols, SETTINGS.data)
    assert "no installed font has 𓀀" in caplog.text
    assert {i.label for i in report.images if i.source == "drawn"} == {"0", "1"}
    assert batches_of(tmp_path / "manifest.csv", symbols) == ({*"01𓀀"}, {*"01"})


def test_without_any_glyph_training_goes_on_with_the_crops(tmp_path, caplog):
    symbols = parse_alphabet(GLYPHLESS)
    crops = write_crops(tmp_path / "crops", symbols.symbols, 3)
    make_data(str(crops), tmp_path, symbols, SETTINGS.data)
    assert "has any of the 2 symbols" in caplog.text
    assert batches_of(tmp_path / "manifest.csv", symbols) == ({*GLYPHLESS}, set())
    assert "going on without drawn characters" in caplog.text


def test_faces_that_lack_a_symbol_draw_only_what_they_have():
    """Of 0 and Thai, whose families are three: 0 has all families, a Thai letter its own."""
    alphabet = parse_alphabet("0ก𓀀")
    synthesizer = Synthesizer(alphabet, find_faces(alphabet, partly=True), 1)
    assert synthesizer.drawable == ("0", "ก")
    rng = np.random.default_rng(0)
    thai = {synthesizer.pick_face(rng, "ก").family for _ in range(50)}
    assert 0 < len(thai) < 10
    assert len({synthesizer.pick_face(rng, "0").family for _ in range(50)}) > 20
    assert synthesizer.draw(3).std() > 1
    whole = Synthesizer(ALPHABET_62, find_faces(ALPHABET_62, partly=True), 1)
    assert whole.identity == Synthesizer(ALPHABET_62, find_faces(ALPHABET_62), 1).identity


# --- Bad input ------------------------------------------------------------------------------------


def test_one_symbol_and_too_many_are_refused(tmp_path):
    one = write_crops(tmp_path / "one", "7", 3)
    with pytest.raises(LabelError, match=r"name 1 symbol\(s\) \('7'\); a classifier has 2 to"):
        find_alphabet([str(one)])
    symbols = [chr(0x4E00 + i) for i in range(MOST_SYMBOLS + 1)]
    lines = ["file,label", *(f"one/0-0.png,{s}" for s in symbols)]
    many = tmp_path / "many.csv"
    many.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(LabelError, match="before"):  # one file, two labels
        find_alphabet([str(many)])
    for i in range(len(symbols)):
        (tmp_path / f"one/{i}").touch()
    lines = ["file,label", *(f"one/{i},{s}" for i, s in enumerate(symbols))]
    many.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(LabelError, match="name 4,097 symbol"):
        find_alphabet([str(many)])
    with pytest.raises(SettingsError, match="2 to 4096"):
        Alphabet(tuple(symbols))


def test_labels_that_are_words_or_outside_of_the_alphabet_are_refused(tmp_path):
    crops = write_crops(tmp_path, "012", 1)
    with pytest.raises(LabelError, match="label '2' is not among the 2 symbols"):
        make_data(str(crops), tmp_path / "out", parse_alphabet("01"), SETTINGS.data)
    crops.write_text("file,label\n0-0.png,EXIT\n", encoding="utf-8")
    with pytest.raises(LabelError, match="label 'EXIT' is not one printable character"):
        find_alphabet([str(crops)])
    with pytest.raises(SettingsError, match="give it with --alphabet"):
        find_alphabet(["synthetic"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabelError, match="no labeled images found"):
        find_alphabet([str(tmp_path / "empty")])


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
