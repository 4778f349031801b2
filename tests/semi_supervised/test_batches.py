"""Batches: functions of the step alone, whoever makes them; what training may see."""

import dataclasses
import itertools
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import EdgeGlyphError, InputError
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import preprocess
from semi_supervised.data import make_data
from semi_supervised.frequencies import expected_frequencies, symbol_frequencies
from semi_supervised.settings import load_settings
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.training.batches import BatchMaker, Counts, batch_counts, make_batches
from semi_supervised.training.images import load_training_images

DIGITS = parse_alphabet("0123456789")
TINY = load_settings("tiny")


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(DIGITS, find_faces(DIGITS), 1)


@pytest.fixture
def load(class_folders, tmp_path):
    def with_settings(*overrides, source=class_folders):
        settings = load_settings("tiny", ["data.negatives_per_kind=5", *overrides])
        make_data(str(source), tmp_path, DIGITS, settings.data)
        files = (tmp_path / "manifest.csv", DIGITS, tmp_path, tmp_path / "negatives.csv")
        return load_training_images(*files)

    return with_settings


def same(a, b):
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in vars(a))


def test_batches_depend_on_the_step_and_not_on_who_makes_them(load, synthesizer):
    images = load()
    maker = BatchMaker(images, synthesizer, TINY)
    expected = [maker.batch(step) for step in range(5)]
    assert not same(expected[0], expected[1])
    for workers in (0, 2):
        batches = make_batches(images, synthesizer, TINY, 2, workers)
        for step, batch in zip(range(2, 5), batches, strict=False):
            assert same(batch, expected[step]), (workers, step)
        batches.close()


def test_a_worker_that_dies_is_an_error_of_ours(load, synthesizer):
    images = load()
    images.canvases.unlink()
    with pytest.raises(EdgeGlyphError, match="a process that prepares batches died"):
        next(make_batches(images, synthesizer, TINY, 0, 1))


def test_workers_end_with_a_killed_training(load, synthesizer, tmp_path):
    recipe = tmp_path / "recipe.pickle"
    recipe.write_bytes(pickle.dumps((load(), synthesizer, TINY)))
    code = """
import multiprocessing, pathlib, pickle, sys, time
from semi_supervised.training.batches import make_batches
if __name__ == "__main__":
    recipe = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    batches = make_batches(*recipe, start=0, workers=2)
    next(batches)
    print(*(p.pid for p in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""
    script = tmp_path / "training.py"
    script.write_text(code)
    training = subprocess.Popen(
        [sys.executable, script, recipe],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert training.stdout is not None
    workers = [int(pid) for pid in training.stdout.readline().split()]
    assert len(workers) == 2
    training.kill()
    training.wait()
    training.stdout.close()
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))


def is_alive(pid):
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_batch_has_the_parts_that_the_settings_name(load, synthesizer):
    images = load("data.labels_per_class=1")
    batch = BatchMaker(images, synthesizer, TINY).batch(3)
    assert batch_counts(images, synthesizer, TINY, 3) == Counts(16, 16, 8, 4)
    for part, n in (("given", 16), ("drawn", 16), ("weak", 8), ("strong", 8), ("negatives", 4)):
        inputs = getattr(batch, part)
        assert (inputs.shape, inputs.dtype) == ((n, 32, 32, 1), np.int8), part
    assert batch.given_classes.shape == batch.drawn_classes.shape == (16,)
    assert same_classes(batch.given_classes, images.classes[images.labeled])
    alone = BatchMaker(images, None, TINY).batch(3)
    assert (len(alone.given), len(alone.drawn)) == (32, 0)
    for method, weak, strong in (("supervised", 0, 0), ("sgan", 0, 8), ("consistency", 8, 8)):
        settings = load_settings("tiny", [f"train.method={method}"])
        batch = BatchMaker(images, synthesizer, settings).batch(0)
        assert (len(batch.weak), len(batch.strong)) == (weak, strong), method


def test_with_every_label_nothing_is_unlabeled(load, synthesizer):
    images = load()
    assert len(images.unlabeled) == 0
    assert batch_counts(images, synthesizer, TINY, 3) == Counts(16, 16, 0, 4)


def test_pre_training_is_on_drawn_characters(load, synthesizer):
    images = load("data.labels_per_class=1")
    settings = load_settings("tiny", ["train.pretrain_epochs=1"])
    assert batch_counts(images, synthesizer, settings, 3) == Counts(0, 32, 0, 4)
    assert batch_counts(images, synthesizer, settings, 4) == Counts(16, 16, 8, 4)
    assert batch_counts(images, None, settings, 3).given == 32


def test_unlabeled_images_join_later(load, synthesizer):
    images = load("data.labels_per_class=1")
    settings = load_settings("tiny", ["train.unlabeled_from=0.5"])
    half = settings.train.steps // 2
    assert batch_counts(images, synthesizer, settings, half - 1).unlabeled == 0
    assert batch_counts(images, synthesizer, settings, half) == Counts(16, 16, 8, 4)


def test_few_given_images_are_not_learned_by_heart(load, synthesizer):
    images = load("data.labels_per_class=1")
    few = len(images.labeled)
    steps = 20
    for most in (4, 10, 30):
        settings = load_settings("tiny", ["train.epochs=5", f"train.most_passes={most}"])
        counts = [batch_counts(images, synthesizer, settings, step) for step in range(steps)]
        given = sum(count.given for count in counts)
        assert abs(given - most * few) <= steps / 2  # whole images in each step
        assert {count.given + count.drawn for count in counts} == {32}
        assert batch_counts(images, None, settings, 0).given == 32  # nothing to put in their place
    plenty = load_settings("tiny", ["train.most_passes=1000"])
    assert batch_counts(images, synthesizer, plenty, 3) == Counts(16, 16, 8, 4)


def test_both_views_of_an_unlabeled_image_show_it(load):
    images = load("data.labels_per_class=1")
    batch = BatchMaker(images, None, TINY).batch(0)
    canvases = np.load(images.canvases)[images.unlabeled]
    padded = np.pad(canvases, ((0, 0), (3, 3), (3, 3)), mode="edge")
    likest = 0
    for weak, strong in zip(batch.weak, batch.strong, strict=True):
        shifted = (padded[:, y : y + 64, x : x + 64] for y in range(7) for x in range(7))
        found = [k for some in shifted for k, canvas in enumerate(some) if shows(weak, canvas)]
        assert len(set(found)) == 1, "one image, shifted by a few pixels"
        order = sorted(range(len(canvases)), key=lambda k: -likeness(strong, canvases[k]))
        likest += order.index(found[0]) < len(canvases) // 4
    assert likest >= len(batch.weak) - 2  # a strong change may hide much


def test_quarter_turns_change_nothing_else(load, synthesizer):
    """All or some images, to both sides; the views by which classes are guessed stay."""
    images = load("data.labels_per_class=1")

    def batch(probability):
        settings = load_settings("tiny", [f"augment.quarter_turn_probability={probability}"])
        return BatchMaker(images, synthesizer, settings).batch(3)

    plain, some, turned = batch(0), batch(0.5), batch(1)
    assert np.array_equal(plain.weak, turned.weak)
    sides = set()
    for part in ("given", "drawn", "strong", "negatives"):
        for a, b, c in zip(*(getattr(k, part) for k in (plain, some, turned)), strict=True):
            side = [k for k in (1, 3) if np.array_equal(np.rot90(a, k), c)]
            assert side, part
            assert np.array_equal(b, a) or np.array_equal(b, c), part
            sides.add((side[0], np.array_equal(b, c)))
    assert sides == {(1, False), (1, True), (3, False), (3, True)}


def test_a_turned_input_is_the_input_of_a_turned_image():
    canvas = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    for quarters in (1, -1):
        turned = np.ascontiguousarray(np.rot90(canvas, quarters))
        assert np.array_equal(preprocess(turned), np.rot90(preprocess(canvas), quarters))


def shows(view, canvas):
    return np.array_equal(view[..., 0], preprocess(canvas)[..., 0])


def likeness(view, canvas):
    """Correlation of their pixels, light on dark or dark on light."""
    pixels = preprocess(canvas).ravel().astype(float)
    return abs(np.corrcoef(view.ravel().astype(float), pixels)[0, 1])


def test_balanced_classes_come_alike(load):
    images = load()
    rare = np.flatnonzero(images.classes[images.labeled] == 3)[1:]
    images = dataclasses.replace(images, labeled=np.delete(images.labeled, rare))
    common = (images.classes[images.labeled] == 5).sum()
    assert common > 1
    settings = load_settings("tiny", ["train.class_balance=1.0", "train.method=supervised"])
    maker = BatchMaker(images, None, settings)
    classes = np.concatenate([maker.batch(step).given_classes for step in range(40)])
    shares = np.bincount(classes, minlength=10) / len(classes)
    assert abs(shares[3] - shares[5]) < 0.04
    assert shares.min() > 0.05


def same_classes(found, given):
    return set(found.tolist()) <= set(given.tolist())


def test_every_image_comes_once_a_pass(load):
    images = load()
    maker = BatchMaker(images, None, TINY)
    picked = np.concatenate([maker._pick(images.labeled, step, 7, 1) for step in range(30)])
    n = len(images.labeled)
    for k in range(len(picked) // n):
        assert sorted(picked[k * n : (k + 1) * n]) == sorted(images.labeled)


def test_hidden_labels_are_really_hidden(load):
    images = load("data.labels_per_class=1")
    assert sorted(images.classes[images.labeled]) == list(range(10))
    assert len(images.unlabeled) == 20
    assert not set(images.labeled) & set(images.unlabeled)
    assert set(images.classes[images.unlabeled]) == {-1}


def test_without_labels_all_that_teaches_is_drawn(load, synthesizer):
    images = load("data.labels_per_class=0")
    assert (len(images.labeled), len(images.unlabeled)) == (0, 30)
    batch = BatchMaker(images, synthesizer, TINY).batch(0)
    assert (len(batch.given), len(batch.drawn)) == (0, 32)
    assert batch.drawn_classes.min() >= 0
    with pytest.raises(InputError, match="no labeled image to train on"):
        BatchMaker(images, None, TINY).batch(0)


def test_a_synthetic_set_is_only_a_sample_of_what_is_drawn(load, synthesizer):
    images = load(source="synthetic")
    assert len(images.labeled) == len(images.unlabeled) == 0
    assert batch_counts(images, synthesizer, TINY, 0) == Counts(0, 32, 0, 4)


def test_non_characters_are_those_of_the_training_split(load):
    images = load()
    assert len(images.negatives) == 6 * 3  # kinds that training sees; two of 5 are held out
    assert set(images.classes[images.negatives]) == {-1}


def test_drawn_characters_never_hold_out_real_ones(load, tmp_path):
    load("data.added_per_class=4")
    held_out = itertools.chain.from_iterable(
        find_labeled_images(tmp_path / "manifest.csv", DIGITS, split)
        for split in ("validation", "test")
    )
    assert {image.source for image in held_out} == {"folder"}


def test_frequencies_are_those_of_signs():
    even = symbol_frequencies(ALPHABET_62, "even")
    assert np.allclose(even, 1 / 62)
    signs = dict(zip(ALPHABET_62.symbols, symbol_frequencies(ALPHABET_62, "signs"), strict=True))
    assert sum(signs.values()) == pytest.approx(1)
    assert signs["E"] > signs["e"] > signs["z"]
    assert sum(p for s, p in signs.items() if s.isupper()) == pytest.approx(0.63)
    assert signs["0"] == signs["9"]
    assert np.allclose(symbol_frequencies(DIGITS, "signs"), 0.1)
    counted = expected_frequencies(DIGITS, "labels", np.array([7] * 60 + [2] * 20))
    assert np.allclose(counted, [0.02] * 2 + [0.22] + [0.02] * 4 + [0.62] + [0.02] * 2)
    assert np.allclose(expected_frequencies(DIGITS, "labels", np.empty(0, int)), 0.1)
    greek = symbol_frequencies(parse_alphabet("αβγΩ"), "signs")
    assert greek.sum() == pytest.approx(1)
    assert greek[3] > greek[0] == greek[1]
