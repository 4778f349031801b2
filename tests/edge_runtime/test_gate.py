"""The gate's figures against brute force and plain formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.gate import (
    auroc,
    headline,
    measure_gate,
    passing,
    summary_table,
    threshold_at,
)

MILLIONTHS = st.lists(st.integers(0, 10**6), min_size=1, max_size=40)
FEW = st.lists(st.integers(0, 5), min_size=1, max_size=40)  # many ties


def pairs(characters, others):
    """AUROC by its definition: every pair counts, ties half."""
    won = sum((c > o) + 0.5 * (c == o) for c in characters for o in others)
    return won / (len(characters) * len(others))


@given(st.one_of(MILLIONTHS, FEW), st.one_of(MILLIONTHS, FEW))
def test_auroc_counts_pairs(characters, others):
    found = auroc(np.array(characters), np.array(others))
    assert found.value == pytest.approx(pairs(characters, others), abs=1e-12)
    assert found.n == len(characters) + len(others)
    assert 0 <= found.low <= found.value <= found.high <= 1
    mirrored = auroc(np.array(others), np.array(characters))
    assert mirrored.value == pytest.approx(1 - found.value, abs=1e-12)
    assert mirrored.low == pytest.approx(1 - found.high, abs=1e-9)


def test_the_interval_of_auroc_is_where_its_variance_says():
    """Scan all areas in place of solving: Hanley and McNeil's variance in Newcombe's form."""
    rng = np.random.default_rng(0)
    m, n = 30, 50
    found = auroc(rng.normal(1, 1, m), rng.normal(0, 1, n))
    areas = np.linspace(0, 1, 200_001)
    q1, q2 = areas / (2 - areas), 2 * areas**2 / (1 + areas)
    both = (m + n) / 2 - 1
    variance = areas * (1 - areas) + both * (q1 - areas**2) + both * (q2 - areas**2)
    inside = (areas - found.value) ** 2 <= 1.959964**2 * variance / (m * n)
    assert (found.low, found.high) == pytest.approx(tuple(areas[inside][[0, -1]]), abs=1e-5)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_of_auroc_holds_the_truth_in_95_of_100(shift):
    true_area = 0.5 * (1 + math.erf(shift / 2))  # two normal distributions of variance 1
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(1000):
        found = auroc(rng.normal(shift, 1, 40), rng.normal(0, 1, 60))
        inside += found.low <= true_area <= found.high
    assert 925 <= inside <= 985


def test_a_perfect_gate_is_not_certain():
    found = auroc(np.array([5, 6, 7]), np.array([1, 2]))
    assert (found.value, found.high) == (1, 1)
    assert 0.3 < found.low < 0.9


@given(MILLIONTHS, st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_is_the_largest_that_accepts_enough(values, wanted):
    p_real = np.array(values)
    threshold = threshold_at(p_real, wanted)
    assert passing(p_real, threshold).value >= wanted - 1e-12
    assert np.mean(p_real >= threshold + 1) < wanted


def test_a_report_by_hand():
    characters = np.array([10, 20, 30, 40])
    others = {"held": np.array([25]), "seen": np.array([5, 15])}
    report = measure_gate(characters, others, 20, unseen={"held"})
    assert report.acceptance.value == 0.75
    assert list(report.kinds) == ["seen", "held"]
    assert [f.false_positives.value for f in report.kinds.values()] == [0, 1]
    assert report.kinds["seen"].auroc.value == pytest.approx(7 / 8)
    assert report.every.auroc.value == pytest.approx(pairs(characters, [5, 15, 25]))
    assert report.every.false_positives.value == pytest.approx(1 / 3)
    assert "held (never seen in training)" in report.table()
    assert report.table().splitlines()[-1].startswith("all ")
    found = report.as_json()
    assert found["threshold_millionths"] == 20
    assert found["threshold_from"] == "the bundle"
    assert found["kinds"]["held"]["seen_in_training"] is False
    assert found["kinds"]["seen"]["false_positives"]["n"] == 2
    assert "0.000020" in summary_table({"int8": report})
    assert headline(report) == "The gate at the bundle's threshold"


def test_without_a_threshold_or_others():
    report = measure_gate(np.arange(100), {})
    assert (report.threshold, report.acceptance.value) == (5, 0.95)
    assert report.as_json()["threshold_from"] == "these characters"
    assert report.as_json()["all"] is None
    assert "accepts 95 % of these characters" in headline(report)


def test_nothing_to_measure_is_refused():
    nothing, some = np.array([], np.int64), np.array([1])
    for characters, others in ((nothing, some), (some, nothing)):
        with pytest.raises(ValueError, match="needs characters and others"):
            auroc(characters, others)
    with pytest.raises(ValueError, match="needs characters"):
        threshold_at(nothing)
