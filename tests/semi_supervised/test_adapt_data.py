"""An alphabet of the user's own: its symbols, few labels, fonts that lack some of them."""

import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62, MOST_SYMBOLS, Alphabet, AnyCharacter, parse_alphabet
from edge_runtime.errors import LabelError, SettingsError
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

from semi_supervised.data import make_data  # noqa: E402
from semi_supervised.sources import find_alphabet  # noqa: E402
from semi_supervised.synthesis import Synthesizer, synthesizer_if_possible  # noqa: E402
from semi_supervised.synthesis.fonts import find_faces  # noqa: E402
from semi_supervised.training.batches import BatchMaker  # noqa: E402
from semi_supervised.training.images import load_training_images  # noqa: E402
from tests.semi_supervised.few_crops import (  # noqa: E402
    GLYPHLESS,
    SETTINGS,
    SYMBOLS,
    write_crops,
)


def counts(report):
    return {
        split: sum(i.split == split and i.source != "drawn" for i in report.images)
        for split in ("train", "validation", "unlabeled")
    }


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
