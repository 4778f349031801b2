"""Drawn characters and non-characters: fonts, reproducibility, variety, files."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import preprocess
from semi_supervised.__main__ import main
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.synthesis.glyphs import draw_glyph
from semi_supervised.synthesis.lettering import column_box, set_word
from semi_supervised.synthesis.negatives import HELD_OUT, KINDS, NegativeSynthesizer
from semi_supervised.synthesis.writing import write_images

DIGITS = parse_alphabet("0123456789")


@pytest.fixture(scope="module")
def faces():
    return find_faces(ALPHABET_62)


def test_more_than_a_hundred_families_have_all_symbols(faces):
    assert len({face.family for face in faces}) > 100
    assert len({face.axes for face in faces if face.axes}) > 10  # variable ones in several weights


def test_fonts_lacking_a_symbol_are_left_out(faces):
    greek = {face.family for face in find_faces(parse_alphabet("αβγ"))}
    assert 0 < len(greek) < len({face.family for face in faces})
    with pytest.raises(InputError, match=r"none of the .* font families has all"):
        find_faces(parse_alphabet("𓀀𓀁"))


def test_a_glyph_is_what_freetype_draws(faces):
    from PIL import Image, ImageDraw

    from semi_supervised.synthesis.fonts import load_face
    from semi_supervised.synthesis.glyphs import EM

    for face in faces[:: len(faces) // 7]:
        for symbol in "gW1":
            glyph = draw_glyph(face, symbol)
            page = Image.new("L", (200, 200), 0)
            ImageDraw.Draw(page).text((60, 50), symbol, 255, load_face(face, EM))
            ink = np.asarray(page)
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            own_rows = np.flatnonzero(glyph.ink.any(axis=1))
            own_columns = np.flatnonzero(glyph.ink.any(axis=0))
            assert (glyph.top + own_rows[0], glyph.left + own_columns[0]) == (
                rows[0] - 50,
                columns[0] - 60,
            )
            own = glyph.ink[own_rows[0] : own_rows[-1] + 1, own_columns[0] : own_columns[-1] + 1]
            assert np.array_equal(own, box)


def test_boxes_of_a_word_hold_their_symbols(faces):
    word = set_word(["A", "", "b"], faces[0], np.random.default_rng(3))
    assert word.boxes[0][2] <= word.boxes[2][0] + 12  # side by side, a little overlap at most
    for box, symbol in zip(word.boxes, ("A", "", "b"), strict=True):
        left, top, right, bottom = (int(v) for v in box)
        assert (right - left > 5) == bool(symbol)
        assert word.ink[top:bottom, left:right].any() == bool(symbol)


@pytest.mark.parametrize("symbols", ["xl", "XL", "Moon", "no", "1907", "q"])
def test_a_column_is_as_high_as_its_word_and_ends_beside_its_symbol(faces, symbols):
    word = set_word(symbols, faces[0], np.random.default_rng(1))
    word_top, word_bottom = min(b[1] for b in word.boxes), max(b[3] for b in word.boxes)
    height = word_bottom - word_top
    rng = np.random.default_rng(2)
    for at, (left, _, right, _) in enumerate(word.boxes):
        boxes = np.array([column_box(word, at, rng) for _ in range(300)])
        middle = np.median(boxes, axis=0)
        assert middle[1] == pytest.approx(word_top, abs=0.06 * height)
        assert middle[3] == pytest.approx(word_bottom, abs=0.06 * height)
        assert (boxes[:, 3] - boxes[:, 1] > 0.8 * height).all()
        ends = [left, right]
        if at > 0:
            ends[0] = (word.boxes[at - 1][2] + left) / 2
        if at < len(symbols) - 1:
            ends[1] = (right + word.boxes[at + 1][0]) / 2
        assert middle[0] == pytest.approx(ends[0], abs=0.06 * height)
        assert middle[2] == pytest.approx(ends[1], abs=0.06 * height)


def test_symbols_without_ink_still_have_a_column(faces):
    word = set_word(["", ""], faces[0], np.random.default_rng(1))
    left, top, right, bottom = column_box(word, 0, np.random.default_rng(2))
    assert all(np.isfinite(v) for v in (left, top, right, bottom))


def test_words_are_of_one_case_or_begin_with_a_capital(faces):
    symbols = "".join(ALPHABET_62.symbols)
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=1)
    seen = set()
    for i in range(3100):
        symbol = synthesizer.label(i)
        letters, at = synthesizer.word_around(symbol, np.random.default_rng([3, i]))
        word = "".join(letters)
        assert letters[at] == symbol
        assert 2 <= len(letters) <= 7
        assert set(word) <= set(symbols)
        assert word.isdigit() or word.isupper() or word[1:].islower()
        seen.add((symbol.isupper(), symbol.islower(), word.isupper(), word[0].isupper()))
    # Capitals among capitals and before small letters; small ones with a capital and without.
    capital, small = (True, False), (False, True)
    assert {(*capital, True, True), (*capital, False, True)} < seen
    assert {(*small, False, True), (*small, False, False)} < seen


def test_small_letters_have_room_above_them_in_columns_of_words_alone(faces, monkeypatch):
    """In a tight box an o is as high as an O; in a column of its word something may be higher."""
    synthesizer = Synthesizer(parse_alphabet("Oo"), faces, seed=4)
    lower = {}
    for share in (0, 1):
        monkeypatch.setattr("semi_supervised.synthesis.synthesizer._OF_WORDS", share)
        inputs = [preprocess(synthesizer.draw(i))[..., 0].astype(int) for i in range(400)]
        # What the upper fifth of the rows shows, as a share of the whole image's contrast.
        shown = np.array([each[:6].std() / (each.std() + 1) for each in inputs])
        lower[share] = shown[::2].mean() - shown[1::2].mean()
    assert abs(lower[0]) < 0.05
    assert lower[1] > 0.12


def test_alphabets_without_case_have_words_too(faces):
    synthesizer = Synthesizer(DIGITS, faces, seed=1)
    for i in range(200):
        letters, at = synthesizer.word_around("7", np.random.default_rng(i))
        assert letters[at] == "7"
        assert "".join(letters).isdigit()


def test_image_i_is_the_same_whatever_came_before(faces):
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=5)
    straight = [synthesizer.draw(i) for i in range(12)]
    backwards = [synthesizer.draw(i) for i in reversed(range(12))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(straight, backwards, strict=True))
    other = Synthesizer(ALPHABET_62, faces, seed=6)
    assert not np.array_equal(other.draw(3), straight[3])
    assert other.identity != synthesizer.identity
    assert Synthesizer(ALPHABET_62, faces, 5).identity == synthesizer.identity


def test_drawn_characters_are_in_reach_and_of_either_polarity(faces):
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=1)
    darker = 0
    for i in range(310):
        gray = synthesizer.draw(i)
        assert gray.dtype == np.uint8
        assert min(gray.shape) >= 3
        assert 8 <= gray.shape[0] <= 120
        assert gray.std() > 1
        inputs = preprocess(gray)[..., 0].astype(int)
        rim = np.concatenate([inputs[0], inputs[-1], inputs[:, 0], inputs[:, -1]])
        darker += inputs[8:24, 8:24].mean() < rim.mean()
    assert 0.3 < darker / 310 < 0.7


def test_a_classifier_of_real_photographs_reads_most_of_them(faces):
    """The label is what is drawn: the shipped network was trained on another source."""
    model = Path(__file__).parents[2] / "models/scene62/model.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=2)
    drawn = np.stack([preprocess(synthesizer.draw(i)) for i in range(620)])
    logits = session.run(None, {"input_real": drawn.astype(np.float32) / 128})[0]
    expected = [ALPHABET_62.symbols.index(synthesizer.label(i)) for i in range(620)]
    assert (logits.argmax(axis=1) == expected).mean() > 0.5  # chance is 0.016


def test_writing_is_the_same_for_any_number_of_workers_and_goes_on(faces, tmp_path, monkeypatch):
    synthesizer = Synthesizer(DIGITS, faces, seed=1)
    one = sorted(write_images(synthesizer, range(1100), tmp_path / "one"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    list(write_images(synthesizer, range(7), tmp_path / "two"))
    two = sorted(write_images(synthesizer, range(1100), tmp_path / "two"))
    assert len(one) == 1100

    def digest(paths):
        return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()

    assert digest(one) == digest(two)
    assert [p.parent.name for p in one[:2]] == ["Sample001", "Sample001"]
    assert np.array_equal(read_gray(one[0]), synthesizer.draw(0))


def test_synth_writes_the_official_layout_and_goes_on(tmp_path, run_cli):
    options = ("--alphabet", "0123456789", "--output", tmp_path, "--per-class", "2")
    code, out, _ = run_cli(main, "synth", *options)
    assert code == 0
    assert out.startswith("20 images of 10 classes from ")
    images = find_labeled_images(tmp_path, DIGITS)
    assert (len(images), {i.source for i in images}) == (20, {"font"})
    first = tmp_path / "English/Fnt/Sample004/img004-00001.png"
    faces = find_faces(DIGITS)
    assert np.array_equal(read_gray(first), Synthesizer(DIGITS, faces, 1).draw(3))
    run_cli(main, "synth", *options, "--from", "2")
    assert len(find_labeled_images(tmp_path, DIGITS)) == 40
    assert run_cli(main, "synth", *options, "--per-class", "0")[0] == 2


def test_every_kind_of_negative_is_drawn_and_reproducible(faces):
    negatives = NegativeSynthesizer(Synthesizer(ALPHABET_62, faces, 1))
    assert set(HELD_OUT) < set(KINDS)
    seen = {}
    for i in range(10 * len(KINDS)):
        gray = negatives.draw(i)
        assert gray.dtype == np.uint8
        assert min(gray.shape) >= 3
        assert np.array_equal(gray, negatives.draw(i))
        seen.setdefault(negatives.kind(i), []).append(gray)
    assert set(seen) == set(KINDS)
    # Two whole symbols side by side are wider than one.
    aspect = {k: np.median([g.shape[1] / g.shape[0] for g in v]) for k, v in seen.items()}
    assert aspect["two-glyphs"] > 1.0
    ground = [
        cv2.Laplacian(cv2.GaussianBlur(g, (5, 5), 2), cv2.CV_64F).std() for g in seen["ground"]
    ]
    noise = [cv2.Laplacian(g, cv2.CV_64F).std() for g in seen["noise"]]
    assert np.median(noise) > 5 * np.median(ground)


def test_punctuation_avoids_the_alphabet(faces):
    alphabet = parse_alphabet("0123456789!?&%@#*")
    negatives = NegativeSynthesizer(Synthesizer(alphabet, find_faces(alphabet), 1))
    index = KINDS.index("punctuation")
    assert all(negatives.draw(index + k * len(KINDS)).size for k in range(20))
