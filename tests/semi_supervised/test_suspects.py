"""Wrong labels: the ranking with injected predictions, and the folds that predictions come from."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.audit.folds import deal_folds
from semi_supervised.audit.suspects import find_suspects

DIGITS = parse_alphabet("0123456789")


def predictions(true, alphabet, seed, sharpness=6.0):
    """Predictions of a network that is mostly right: softmax of noise, the true class lifted."""
    logits = np.random.default_rng(seed).normal(0, 1, (len(true), len(alphabet)))
    logits[np.arange(len(true)), true] += sharpness
    p = np.exp(logits)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_planted_wrong_labels_are_flagged_first():
    rng = np.random.default_rng(0)
    alphabet = parse_alphabet("2345678ABDEFGHQRT")  # no look-alikes
    true = rng.integers(0, len(alphabet), 3000)
    given_labels = true.copy()
    flipped = rng.choice(3000, 90, replace=False)
    given_labels[flipped] = (true[flipped] + rng.integers(1, len(alphabet), 90)) % len(alphabet)
    labels = [alphabet.symbols[k] for k in given_labels]
    places = [7 * k for k in range(3000)]  # positions in some longer list
    suspects = find_suspects(predictions(true, alphabet, 1), labels, places, alphabet)
    flagged = [s.image // 7 for s in suspects.wrong]
    hits = set(flagged) & set(flipped.tolist())
    assert len(hits) >= 0.9 * 90
    assert len(hits) >= 0.8 * len(flagged)
    assert suspects.ambiguous == []
    assert [s.odds for s in suspects.wrong] == sorted(s.odds for s in suspects.wrong)
    first = suspects.wrong[0]
    assert first.suggested == alphabet.symbols[true[first.image // 7]]
    assert first.label == labels[first.image // 7]


def test_right_labels_are_not_flagged():
    true = np.repeat(np.arange(62), 20)
    labels = [ALPHABET_62.symbols[k] for k in true]
    suspects = find_suspects(
        predictions(true, ALPHABET_62, 2, 12.0), labels, range(len(true)), ALPHABET_62
    )
    assert (suspects.wrong, suspects.ambiguous) == ([], [])
    assert suspects.accuracy == suspects.accuracy_alike == 1


def test_look_alikes_are_ambiguous_not_wrong():
    """Rows: an o read as 0, an o read as O with little more, an I read as l, an A read as B."""
    alphabet = parse_alphabet("0OoIlAB")
    sure = np.eye(7) * 0.94 + 0.01
    rows = [*sure, *sure]
    labels = list("0OoIlAB") * 2
    unsure = np.full(7, 0.01)
    unsure[[1, 2]] = 0.5, 0.45
    rows += [sure[0], unsure, sure[4], sure[6]]
    labels += list("ooIA")
    p = np.array(rows, np.float32)
    suspects = find_suspects(p / p.sum(axis=1, keepdims=True), labels, range(18), alphabet)
    assert [(s.image, s.label, s.suggested) for s in suspects.wrong] == [(17, "A", "B")]
    doubtful = {(s.image, s.label, s.suggested) for s in suspects.ambiguous}
    assert doubtful == {(14, "o", "0"), (16, "I", "l")}
    assert suspects.accuracy == pytest.approx(14 / 18)
    assert suspects.accuracy_alike == pytest.approx(17 / 18)


def test_the_number_flagged_is_that_of_the_confident_joint():
    """By hand: 20 images labeled A of which 3 are surely B, 10 labeled B of which 1 is unsure."""
    alphabet = parse_alphabet("AB")
    p = np.array([[0.9, 0.1]] * 17 + [[0.1, 0.9]] * 3 + [[0.2, 0.8]] * 9 + [[0.6, 0.4]], np.float32)
    labels = ["A"] * 20 + ["B"] * 10
    suspects = find_suspects(p, labels, range(30), alphabet)
    # Mean of p(A) over A is 0.78, of p(B) over B 0.76; the last row reaches neither.
    assert sorted(s.image for s in suspects.wrong) == [17, 18, 19]


@st.composite
def grouped_images(draw):
    labels = draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=60))
    images = [LabeledImage(Path(f"{k}.png"), c, "scene", "", f"{k}") for k, c in enumerate(labels)]
    pairs = st.tuples(*[st.integers(0, len(labels) - 1)] * 2).map(list)
    return images, draw(st.lists(pairs, max_size=8))


@given(grouped_images(), st.integers(2, 5), st.randoms(use_true_random=False))
def test_groups_share_a_fold_and_order_has_no_say(grouped, count, random):
    images, groups = grouped
    folds = deal_folds(images, groups, count, 1)
    assert set(folds.tolist()) <= set(range(count))
    for a, b in groups:
        assert folds[a] == folds[b]
    if not groups:
        for label in "abc":
            sizes = Counter(f for f, i in zip(folds, images, strict=True) if i.label == label)
            full = [sizes[k] for k in range(count)]
            assert max(full) - min(full) <= 1
    order = list(range(len(images)))
    random.shuffle(order)
    moved = deal_folds(
        [images[k] for k in order], [[order.index(i) for i in g] for g in groups], count, 1
    )
    assert moved.tolist() == [folds[k] for k in order]


def test_no_network_learns_what_it_predicts(class_folders, monkeypatch):
    """Two steps of training each: the numbers mean nothing, but they are those of every run."""
    from semi_supervised.audit import out_of_fold
    from semi_supervised.sources import find_images

    images = find_images([str(class_folders)], DIGITS)[::2]
    groups = [[0, 1], [4, 9]]
    folds = deal_folds(images, groups, 2, 1)
    learned = []
    learn = out_of_fold._Learner.learn

    def watched(self, pool, steps, part):
        learned.append(set(pool.tolist()))
        learn(self, pool, steps, part)

    monkeypatch.setattr(out_of_fold._Learner, "learn", watched)
    small = out_of_fold.FoldSettings(
        folds=2, batch=8, steps=2, least_steps=1, drawn_per_class=1, drawn_steps=1
    )
    first = out_of_fold.predict_out_of_fold(images, groups, DIGITS, small, workers=0)
    drawn = set(range(len(images), len(images) + 10))
    assert learned[0] == drawn
    for k in range(2):
        assert learned[k + 1] == {i for i, fold in enumerate(folds) if fold != k} | drawn
    assert first.shape == (len(images), 10)
    assert np.allclose(first.sum(axis=1), 1, atol=1e-5)
    again = out_of_fold.predict_out_of_fold(images, groups, DIGITS, small, workers=0)
    assert np.array_equal(first, again)
