"""Batches: functions of the step alone, whoever makes them; what training may see."""

import itertools

import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import EdgeGlyphError, InputError
from edge_runtime.labeled_images import find_labeled_images
from semi_supervised.batches import BatchMaker, drawn_per_batch, make_batches
from semi_supervised.data import make_data
from semi_supervised.frequencies import symbol_frequencies
from semi_supervised.settings import load_settings
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.training_images import load_training_images

DIGITS = parse_alphabet("0123456789")
TINY = load_settings("tiny")


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(DIGITS, find_faces(DIGITS), 1)


@pytest.fixture
def load(class_folders, tmp_path):
    def with_settings(*overrides, source=class_folders):
        settings = load_settings("tiny", ["data.negatives_per_kind=0", *overrides])
        make_data(str(source), tmp_path, DIGITS, settings.data)
        return load_training_images(tmp_path / "manifest.csv", DIGITS, tmp_path)

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


def test_half_a_batch_is_drawn_and_its_labels_are_true(load, synthesizer):
    images = load()
    batch = BatchMaker(images, synthesizer, TINY).batch(3)
    drawn = drawn_per_batch(images, synthesizer, TINY)
    assert drawn == 16
    assert batch.labeled.shape == (32, 32, 32, 1)
    assert batch.labeled.dtype == np.int8
    assert batch.unlabeled.shape == (8, 32, 32, 1)
    assert batch.labels.dtype == np.int32
    none = BatchMaker(images, None, TINY).batch(3)
    assert none.labels.shape == (32,)
    assert same_classes(none.labels, images.classes[images.labeled])


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
    assert images.hidden_labels == 20
    assert not set(images.labeled) & set(images.unlabeled)
    assert set(images.classes[images.unlabeled]) == {-1}


def test_without_labels_all_that_teaches_is_drawn(load, synthesizer):
    images = load("data.labels_per_class=0")
    assert (len(images.labeled), images.hidden_labels) == (0, 30)
    batch = BatchMaker(images, synthesizer, TINY).batch(0)
    assert len(batch.labels) == TINY.train.batch_labeled
    assert batch.labels.min() >= 0
    with pytest.raises(InputError, match="no labeled image to train on"):
        BatchMaker(images, None, TINY).batch(0)


def test_a_synthetic_set_is_only_a_sample_of_what_is_drawn(load, synthesizer):
    images = load(source="synthetic")
    assert len(images.labeled) == 0
    assert len(images.unlabeled) > 0
    assert drawn_per_batch(images, synthesizer, TINY) == TINY.train.batch_labeled


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
    greek = symbol_frequencies(parse_alphabet("αβγΩ"), "signs")
    assert greek.sum() == pytest.approx(1)
    assert greek[3] > greek[0] == greek[1]
