"""The data stage, drawn characters and augmentation, on real small inputs."""

import json

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import area_resize, preprocess
from semi_supervised.__main__ import main
from semi_supervised.augment import Augmenter, halve, to_canvas
from semi_supervised.batches import TrainingImages, load_evaluation
from semi_supervised.data import fingerprint, make_data
from semi_supervised.fonts import find_faces
from semi_supervised.settings import AugmentSettings, load_settings
from semi_supervised.synthesis import Synthesizer, write_characters

DIGITS = parse_alphabet("0123456789")
TINY = load_settings("tiny")


@pytest.fixture(scope="module")
def faces():
    return tuple(find_faces(ALPHABET_62))


def test_at_least_forty_families_have_all_symbols(faces):
    assert len({face.family for face in faces}) >= 40
    assert len({face.axes for face in faces if face.axes}) > 10  # variable ones in several weights


def test_fonts_lacking_a_symbol_are_left_out():
    greek = {face.family for face in find_faces(parse_alphabet("αβγ"))}
    assert 0 < len(greek) < 40
    with pytest.raises(InputError, match=r"none of the .* font families has all"):
        find_faces(parse_alphabet("𓀀𓀁"))


def test_image_i_is_the_same_whatever_came_before(faces):
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=5)
    straight = [synthesizer.draw(i) for i in range(12)]
    backwards = [synthesizer.draw(i) for i in reversed(range(12))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(straight, backwards, strict=True))
    assert not np.array_equal(Synthesizer(ALPHABET_62, faces, seed=6).draw(3), straight[3])


def test_drawn_characters_have_contrast_and_sane_sizes(faces):
    synthesizer = Synthesizer(ALPHABET_62, faces, seed=1)
    for i in range(124):
        gray = synthesizer.draw(i)
        assert min(gray.shape) >= 3
        assert max(gray.shape) <= 200
        assert gray.std() > 2


def test_writing_is_the_same_for_any_number_of_workers_and_goes_on(faces, tmp_path):
    synthesizer = Synthesizer(DIGITS, faces, seed=1)
    one = sorted(write_characters(synthesizer, 20, tmp_path / "one", workers=1))
    list(write_characters(synthesizer, 7, tmp_path / "two", workers=2))
    two = sorted(write_characters(synthesizer, 20, tmp_path / "two", workers=2))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert [p.parent.name for p in one[:2]] == ["Sample001", "Sample001"]


def test_make_data_on_class_folders(class_folders, tmp_path):
    report = make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
    assert len(report.images) == 50
    manifest = tmp_path / "manifest.csv"
    train = find_labeled_images(manifest, DIGITS, "train")
    assert len(train) == 30
    assert json.loads((tmp_path / "data.json").read_text())["counts"] == {
        "train": 30,
        "validation": 10,
        "test": 10,
        "excluded": 0,
    }
    assert read_gray(tmp_path / "characters.png").shape == (32, 31 * 32)
    before = manifest.read_bytes()
    make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
    assert manifest.read_bytes() == before


def test_unreadable_images_stop_or_are_listed(class_folders, tmp_path):
    bad = class_folders / "Sample001/bad.png"
    bad.write_bytes(b"nothing")
    try:
        with pytest.raises(InputError, match=r"1 of 51 images cannot be read.*bad\.png.*--skip"):
            make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
        assert not (tmp_path / "manifest.csv").exists()
        report = make_data(str(class_folders), tmp_path, DIGITS, TINY.data, skip_unreadable=True)
    finally:
        bad.unlink()
    assert len(report.images) == 50
    assert "bad.png" in report.skipped[0]


def test_command_line_mistakes(tmp_path, run_cli):
    for arguments, words in [
        (("data", "--source", tmp_path / "none", "--output", tmp_path), "no such file or folder"),
        (("data", "--preset", "nope", "--output", tmp_path), "no preset 'nope'"),
        (("train", "--labels-per-class", "few", "--manifest", tmp_path / "m.csv"), "'few'"),
    ]:
        code, out, err = run_cli(main, *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err


def test_the_fingerprint_sees_every_change(tmp_path):
    (tmp_path / "a").write_text("1")
    first = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == first
    (tmp_path / "b").write_text("")
    second = fingerprint(str(tmp_path))
    (tmp_path / "a").write_text("12")
    assert len({first, second, fingerprint(str(tmp_path))}) == 3


def test_halving_a_canvas_is_the_area_resize():
    gray = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    assert np.array_equal(halve(gray), area_resize(gray, 32))


def test_an_unchanged_training_image_is_what_inference_sees():
    nothing = Augmenter(
        AugmentSettings(
            rotation_degrees=0,
            shift=0,
            zoom_out=1,
            zoom_in=1,
            shear_degrees=0,
            blur_probability=0,
            noise_probability=0,
            invert_probability=0,
            gamma_probability=0,
        )
    )
    gray = np.random.default_rng(0).integers(0, 256, (128, 64), np.uint8)
    found = nothing.batch(to_canvas(gray)[None], seed=1)[0]
    assert np.abs(found.astype(int) - preprocess(gray)).max() <= 3  # rounded twice, then stretched


def test_augmentation_depends_on_its_seed_alone():
    canvases = np.random.default_rng(0).integers(0, 256, (4, 64, 64), np.uint8)
    first, second = Augmenter(AugmentSettings()), Augmenter(AugmentSettings())
    first.batch(canvases, seed=99)
    assert np.array_equal(first.batch(canvases, seed=3), second.batch(canvases, seed=3))
    assert not np.array_equal(first.batch(canvases, seed=3), second.batch(canvases, seed=4))


@pytest.fixture
def manifest(class_folders, tmp_path):
    make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
    return tmp_path / "manifest.csv"


def test_batches_are_a_function_of_the_step(manifest):
    images = TrainingImages(manifest, DIGITS, TINY)
    from_zero, from_two = images.batches(0), images.batches(2)
    skipped = [next(from_zero) for _ in range(2)]
    for _ in range(3):
        a, b = next(from_zero), next(from_two)
        assert np.array_equal(a.labeled, b.labeled)
        assert np.array_equal(a.labels, b.labels)
        assert np.array_equal(a.unlabeled, b.unlabeled)
    assert not np.array_equal(skipped[0].labeled, skipped[1].labeled)
    from_zero.close()
    from_two.close()


def test_every_image_comes_once_a_pass(manifest):
    images = TrainingImages(manifest, DIGITS, TINY)
    picked = np.concatenate([images._pick(images.labeled, step, 7, 1) for step in range(30)])
    n = len(images.labeled)
    for k in range(len(picked) // n):
        assert sorted(picked[k * n : (k + 1) * n]) == sorted(images.labeled)


def test_hidden_labels_are_really_hidden(manifest):
    settings = load_settings("tiny", ["train.labels_per_class=1"])
    images = TrainingImages(manifest, DIGITS, settings)
    assert len(images.labeled) == 10
    assert sorted(images._classes[images.labeled]) == list(range(10))
    assert images.hidden_labels == 20
    assert not set(images.labeled) & set(images.unlabeled)


def test_drawn_characters_are_added_to_training_alone(class_folders, tmp_path):
    settings = load_settings("tiny", ["data.added_per_class=4", "train.labels_per_class=1"])
    make_data(str(class_folders), tmp_path, DIGITS, settings.data)
    images = TrainingImages(tmp_path / "manifest.csv", DIGITS, settings)
    assert (len(images.labeled), len(images.drawn), images.hidden_labels) == (10, 40, 20)
    held_out = [
        *find_labeled_images(tmp_path / "manifest.csv", DIGITS, "validation"),
        *find_labeled_images(tmp_path / "manifest.csv", DIGITS, "test"),
    ]
    assert {image.source for image in held_out} == {"folder"}


def test_an_image_that_changed_after_the_manifest_is_refused(manifest):
    victim = find_labeled_images(manifest, DIGITS, "validation")[0].path
    original = victim.read_bytes()
    try:
        Image.new("L", (9, 9)).save(victim)
        with pytest.raises(InputError, match="changed since `make data`"):
            load_evaluation(manifest, DIGITS, "validation")
    finally:
        victim.write_bytes(original)
