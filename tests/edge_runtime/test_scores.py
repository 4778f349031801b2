import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.scores import (
    ScoreTable,
    WideScoreTable,
    decimal,
    float_probabilities,
    predictions,
)


def exact(logits, fix_point):
    """Softmax and sigmoid(logsumexp) in Python floats, from their definitions."""
    z = [v * 2.0**-fix_point for v in logits]
    top = max(z)
    total = sum(math.exp(v - top) for v in z)
    log_total = top + math.log(total)
    real = 1 / (1 + math.exp(-log_total)) if log_total > -700 else 0.0  # exp would overflow
    return [math.exp(v - log_total) for v in z], real


@settings(max_examples=100)
@given(st.lists(st.integers(-128, 127), min_size=2, max_size=80), st.integers(0, 6))
def test_integer_scores_are_the_definition_to_six_decimals(values, fix_point):
    table = ScoreTable.build(fix_point, 1.0, 1.0)
    probabilities, p_real = table.probabilities(np.array([values], np.int8))
    expected, real = exact(values, fix_point)
    assert np.abs(probabilities[0] / 1e6 - expected).max() <= 1e-6
    assert abs(p_real[0] / 1e6 - real) <= 1e-6


@settings(max_examples=100)
@given(st.lists(st.integers(-(2**24), 2**24), min_size=2, max_size=80), st.integers(10, 24))
def test_scores_of_int32_logits_are_the_definition_to_six_decimals(values, fix_point):
    table = WideScoreTable.build(fix_point, 1.0, 1.0)
    probabilities, p_real = table.probabilities(np.array([values], np.int32))
    expected, real = exact(values, fix_point)
    assert np.abs(probabilities[0] / 1e6 - expected).max() <= 2e-6
    assert abs(p_real[0] / 1e6 - real) <= 2e-6


@pytest.mark.parametrize(("fix_point", "shift"), [(-3, 0), (16, 0), (19, 0), (20, 1), (26, 7)])
def test_the_table_of_int32_logits_reaches_to_nothing(fix_point, shift):
    """2^24 steps span at least 22, behind which a weight of 2^30 rounds to 0."""
    table = WideScoreTable.build(fix_point, 1.0, 1.0)
    assert table.shift == shift
    assert math.ldexp(2**24, shift - fix_point) >= 22
    extremes = np.array([[-(2**31), 2**31 - 1]], np.int32)
    probabilities, p_real = table.probabilities(extremes)
    assert probabilities.tolist() == [[0, 10**6]]
    assert p_real.tolist() == [10**6]
    assert table.probabilities(extremes[:, :1])[1].tolist() == [0]


@pytest.mark.parametrize("classes", [2, 62, 4096])
@pytest.mark.parametrize("value", [-128, 0, 127])
def test_all_equal_logits_do_not_overflow(classes, value):
    table = ScoreTable.build(0, 1.0, 1.0)
    logits = np.full((1, classes), value, np.int8)
    probabilities, p_real = table.probabilities(logits)
    total, fake = classes * table.softmax[0], table.fake[value + 128]
    each = (2 * 10**6 * table.softmax[0] + total) // (2 * total)
    assert set(probabilities[0].tolist()) == {each}
    assert p_real[0] == (2 * 10**6 * total + total + fake) // (2 * (total + fake))


def test_temperature_and_scale_flatten():
    logits = np.array([[40, 20, 0]], np.int8)
    sharp = ScoreTable.build(3, 1.0, 1.0).probabilities(logits)[0][0, 0]
    flat = ScoreTable.build(3, 1.0, 2.0).probabilities(logits)[0][0, 0]
    assert ScoreTable.build(4, 1.0, 1.0).probabilities(logits)[0][0, 0] == flat
    assert ScoreTable.build(4, 0.5, 1.0).probabilities(logits)[0][0, 0] == sharp
    assert flat < sharp


def test_float_scores_are_the_same_definition():
    values = np.random.default_rng(0).normal(0, 5, (20, 62)).astype(np.float32)
    probabilities, p_real = float_probabilities(values)
    for row, p, real in zip(values, probabilities, p_real, strict=True):
        expected, expected_real = exact([float(v) for v in row], 0)
        assert np.abs(p / 1e6 - expected).max() <= 1e-6
        assert abs(real / 1e6 - expected_real) <= 1e-6


def test_float_scores_divide_by_the_temperature_as_the_tables_do():
    logits = np.random.default_rng(1).integers(-128, 128, (50, 10)).astype(np.int8)
    found = float_probabilities(logits.astype(np.float32) / 8, 2.5)
    table = ScoreTable.build(3, 1.0, 2.5).probabilities(logits)
    for a, b in zip(found, table, strict=True):
        assert np.abs(a - b).max() <= 1  # millionths


def test_ties_go_to_the_lowest_class():
    logits = np.zeros((1, 62), np.int8)
    logits[0, [40, 12, 50]] = 9
    probabilities, p_real = ScoreTable.build(3, 1.0, 1.0).probabilities(logits)
    (found,) = predictions(logits, probabilities, p_real, ALPHABET_62, 4)
    assert found.label == "C"
    assert [label for label, _ in found.top] == ["C", "e", "o", "0"]
    assert found.logits == tuple(logits[0].tolist())


def test_decimals_have_six_places():
    assert [decimal(v) for v in (0, 1, 999_999, 1_000_000)] == [
        "0.000000",
        "0.000001",
        "0.999999",
        "1.000000",
    ]


def test_impossible_tables_are_refused():
    table = ScoreTable.build(3, 1.0, 1.0)
    with pytest.raises(ValueError, match="256 entries"):
        ScoreTable(table.softmax[:-1], table.fake)
    with pytest.raises(ValueError, match="the first is"):
        ScoreTable((1, *table.softmax[1:]), table.fake)
    with pytest.raises(ValueError, match="fake table"):
        ScoreTable(table.softmax, (2**63, *table.fake[1:]))
