"""The data stage, drawn characters and augmentation, on real small inputs."""

import json

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import area_resize, preprocess
from semi_supervised.__main__ import main
from semi_supervised.data import make_data
from semi_supervised.settings import AugmentSettings, load_settings
from semi_supervised.sources import fingerprint
from semi_supervised.training.augment import Augmenter, halve, to_canvas
from semi_supervised.training.images import load_evaluation

DIGITS = parse_alphabet("0123456789")
TINY = load_settings("tiny")


def test_make_data_on_class_folders(class_folders, tmp_path):
    report = make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
    assert len(report.images) == 50
    manifest = tmp_path / "manifest.csv"
    train = find_labeled_images(manifest, DIGITS, "train")
    assert len(train) == 30
    assert json.loads((tmp_path / "data.json").read_text())["counts"] == {
        "train": 30,
        "unlabeled": 0,
        "validation": 10,
        "test": 10,
        "excluded": 0,
    }
    assert read_gray(tmp_path / "characters.png").shape == (2 * 32 + 6, 31 * 32)
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


def test_command_line_mistakes(class_folders, tmp_path, run_cli):
    digits = ("data", "--source", class_folders, "--alphabet", "0123456789", "--output", tmp_path)
    for arguments, words in [
        (("data", "--source", tmp_path / "none", "--output", tmp_path), "no such file or folder"),
        (("data", "--preset", "nope", "--output", tmp_path), "no preset 'nope'"),
        (("data", "--labels-per-class", "few", "--output", tmp_path), "'few'"),
        (("data", "--protocol", "chars", "--output", tmp_path), "no protocol 'chars'; there are"),
        ((*digits, "--protocol", "kaggle"), "none of these images is of its training half"),
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


def test_an_image_that_changed_after_the_manifest_is_refused(class_folders, tmp_path):
    make_data(str(class_folders), tmp_path, DIGITS, TINY.data)
    manifest = tmp_path / "manifest.csv"
    victim = find_labeled_images(manifest, DIGITS, "validation")[0].path
    original = victim.read_bytes()
    try:
        Image.new("L", (9, 9)).save(victim)
        with pytest.raises(InputError, match="changed since `make data`"):
            load_evaluation(manifest, DIGITS, "validation")
    finally:
        victim.write_bytes(original)
