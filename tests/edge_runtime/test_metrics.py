import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.metrics import (
    calibration_error,
    group_of,
    macro_average,
    mcnemar,
    measure,
    rank,
    wilson,
)
from edge_runtime.per_class import confusions, per_class


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),  # from Newcombe 1998, table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes, n, low, high):
    found = wilson(successes, n)
    assert found.value == successes / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_holds_its_own_value():
    for n in range(1, 300):
        for successes in {0, n // 2, n}:
            found = wilson(successes, n)
            assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_refuses_nonsense():
    with pytest.raises(ValueError, match="5 successes of 3"):
        wilson(5, 3)


@pytest.mark.parametrize(
    ("a", "b", "case", "merged"),
    [
        ("a", "A", True, True),
        ("O", "0", False, True),
        ("o", "0", False, True),
        ("I", "l", False, True),
        ("1", "I", False, True),
        ("L", "l", True, True),
        ("8", "B", False, False),
        ("2", "Z", False, False),
    ],
)
def test_groups(a, b, case, merged):
    assert (group_of(a, False) == group_of(b, False)) is case
    assert (group_of(a, True) == group_of(b, True)) is merged


def test_all_metrics_on_a_case_done_by_hand():
    index = ALPHABET_62.index
    labels = np.array([index(s) for s in "AaO0"])
    logits = np.zeros((4, 62))
    for row, symbol in enumerate("AA0Q"):  # right, wrong case, look-alike, wrong
        logits[row, index(symbol)] = 5
    logits[3, index("0")] = 4  # third-best at least
    probabilities = np.zeros((4, 62), np.int64)
    probabilities[np.arange(4), labels] = [800_000, 100_000, 0, 200_000]
    probabilities[1, index("A")] = 900_000
    ranked = rank(logits, 3)
    rows = np.arange(4)
    confidence, own = probabilities[rows, ranked[:, 0]], probabilities[rows, labels]
    found = measure(ranked, confidence, own, labels, ALPHABET_62)
    assert [found[k].value for k in ("top1_62", "top1_36", "top1_merged")] == [0.25, 0.5, 0.75]
    # zeros rank by class number, so "0" is among the first three of the third image too
    assert found["top3"].value == 0.5
    assert found["macro"].value == 0.25
    assert found["nll"].value == pytest.approx(-np.log([0.8, 0.1, 0.5e-6, 0.2]).mean())
    assert all(m.n == 4 and m.low <= m.value <= m.high for m in found.values())


def test_macro_average_weighs_classes_not_images():
    labels = np.array([0] * 98 + [1] * 2)
    correct = np.array([True] * 98 + [False] * 2)
    assert macro_average(correct, labels).value == 0.5


def test_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 20_000)
    honest = rng.random(20_000) < confidence
    assert calibration_error(confidence, honest).value < 0.02
    assert calibration_error(np.full(1000, 0.9), np.arange(1000) < 500).value == pytest.approx(0.4)


def binomial_tail(n, k):
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_mcnemar_is_the_binomial_test(answers):
    first, second = (np.array(column) for column in zip(*answers, strict=True))
    found = mcnemar(first, second)
    b = sum(a and not z for a, z in answers)
    c = sum(z and not a for a, z in answers)
    assert (found.only_first, found.only_second, found.n) == (b, c, len(answers))
    assert found.p == pytest.approx(min(1.0, 2 * binomial_tail(b + c, min(b, c))))
    assert mcnemar(second, first).p == found.p


def test_mcnemar_of_many_images():
    """Against the normal approximation, with continuity correction (Edwards 1948)."""
    first = np.array([True] * 5200 + [False] * 4800)
    found = mcnemar(first, ~first)
    chi = (abs(5200 - 4800) - 1) / math.sqrt(10_000)
    assert found.p == pytest.approx(math.erfc(chi / math.sqrt(2)), rel=0.05)
    assert found.as_json()["p"] == pytest.approx(found.p, rel=1e-5)
    assert mcnemar(first, first).p == 1


def test_labels_that_a_classifier_lacks_are_wrong():
    """Two classes that it knows, 0 and 1, and "O", which ignoring look-alikes is a 0."""
    alphabet = parse_alphabet("01O")
    labels = np.array([0, 2, 2])
    confidence, own = np.full(3, 900_000), np.array([900_000, 0, 0])
    found = measure(np.array([[0, 1]] * 3), confidence, own, labels, alphabet)
    assert found["top1_62"].value == pytest.approx(1 / 3)
    assert found["top1_merged"].value == 1
    assert found["macro"].value == 0.5
    assert found["nll"].value == pytest.approx(-(math.log(0.9) + 2 * math.log(0.5e-6)) / 3)


SYMBOLS = parse_alphabet("abcde")
ANSWERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=60)


@given(ANSWERS)
def test_precision_and_recall_count_their_images(answers):
    labels, best = (np.array(column) for column in zip(*answers, strict=True))
    found = per_class(best, labels, SYMBOLS)
    for i, symbol in enumerate(SYMBOLS.symbols):
        answered = [label for label, answer in answers if answer == i]
        labeled = [answer for label, answer in answers if label == i]
        assert (symbol in found) == bool(answered or labeled)
        if symbol not in found:
            continue
        each = found[symbol]
        for metric, outcomes in ((each.precision, answered), (each.recall, labeled)):
            assert (metric is None) == (not outcomes)
            if metric is not None:
                assert metric == wilson(outcomes.count(i), len(outcomes))
        shown = each.as_json()
        assert shown["recall"] == (each.recall.as_json() if each.recall else None)


@given(ANSWERS)
def test_confusions_are_the_most_frequent_mistakes(answers):
    labels, best = (np.array(column) for column in zip(*answers, strict=True))
    found = confusions(best, labels, SYMBOLS, 100)
    wrong = Counter((a, b) for a, b in answers if a != b)
    named = {(SYMBOLS.index(c.label), SYMBOLS.index(c.found)): c for c in found}
    assert {pair: c.count for pair, c in named.items()} == dict(wrong)
    assert all(c.n == sum(label == a for label, _ in answers) for (a, _), c in named.items())
    keys = [(-c.count, SYMBOLS.index(c.label), SYMBOLS.index(c.found)) for c in found]
    assert keys == sorted(keys)
    assert confusions(best, labels, SYMBOLS, 2) == found[:2]
