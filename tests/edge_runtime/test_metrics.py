import numpy as np
import pytest

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.metrics import calibration_error, group_of, macro_average, measure, rank, wilson


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
    found = measure(probabilities, rank(logits, 3), labels, ALPHABET_62)
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
