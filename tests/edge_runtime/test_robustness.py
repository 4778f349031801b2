"""Corruptions, curves and paired figures, against other implementations."""

import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from edge_runtime.evaluation.corruptions import CORRUPTIONS, SEVERITIES, to_working_size
from edge_runtime.evaluation.details import by_range, reliability
from edge_runtime.evaluation.roc import area, curve, thinned
from edge_runtime.gate import auroc
from edge_runtime.images import read_gray
from edge_runtime.metrics import calibration_error, mcnemar, paired_difference, wilson
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from tests.conftest import draw_character, toy_bundle


@pytest.fixture(scope="module")
def letter():
    return to_working_size(np.asarray(draw_character("R", 50)))


def test_there_are_fifteen_and_they_need_a_name_each():
    assert len({c.name for c in CORRUPTIONS}) == 15
    for c in CORRUPTIONS:
        steps = np.diff(c.values)
        assert (steps > 0).all() or (steps < 0).all(), c.name


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: c.name)
def test_a_corruption_depends_on_the_picture_alone(corruption, letter):
    before = letter.copy()
    others = [CORRUPTIONS[k](letter, 3) for k in range(3)]  # what ran before does not matter
    first = [corruption(letter, s) for s in SEVERITIES]
    again = [corruption(letter, s) for s in reversed(SEVERITIES)][::-1]
    assert others[0].shape == letter.shape
    for a, b in zip(first, again, strict=True):
        assert a.dtype == np.uint8
        assert a.shape == letter.shape
        assert np.array_equal(a, b)
        assert not np.array_equal(a, letter)
    assert np.array_equal(letter, before)
    # A mean over many pictures grows with severity; of this one the ends are enough.
    far = [float(np.abs(x.astype(int) - letter).mean()) for x in (first[0], first[-1])]
    assert far[1] > far[0]


def test_full_severity_is_what_its_parameter_says(letter):
    by_name = {c.name: c for c in CORRUPTIONS}
    assert np.array_equal(by_name["inversion"](letter, 5), 255 - letter)
    small = by_name["pixelation"](letter, 5)
    assert len(np.unique(small, axis=0)) <= 6
    contrast = by_name["contrast"](letter, 3)
    assert np.ptp(contrast) == pytest.approx(0.12 * np.ptp(letter), abs=1.1)
    lighter = np.abs(by_name["brightness"](letter, 2).astype(int) - letter)
    assert lighter.max() == 51
    # A disk about the middle stays one when it is turned.
    y, x = np.mgrid[:64, :64] - 31.5
    disk = np.where(x * x + y * y < 400, 0, 255).astype(np.uint8)
    turned = by_name["rotation"](disk, 5)
    assert np.abs(turned.astype(int) - disk).mean() < 4


@pytest.mark.parametrize(
    ("shape", "size"), [((10, 20), (64, 128)), ((300, 200), (96, 64)), ((1, 5000), (64, 512))]
)
def test_the_shorter_side_has_64_pixels(shape, size):
    assert to_working_size(np.zeros(shape, np.uint8)).shape == size


VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=30)


@given(VALUES, VALUES)
def test_the_curve_has_the_area_that_ranks_give(characters, others):
    a, b = np.array(characters), np.array(others)
    points = curve(a, b)
    statistic = scipy.stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert area(points) == pytest.approx(statistic)
    assert area(points) == pytest.approx(auroc(a, b).value)
    assert points[0, 1:].tolist() == [0, 0]
    assert points[-1, 1:].tolist() == [1, 1]
    for threshold, let_in, accepted in points:
        assert let_in == pytest.approx(np.mean(b >= threshold))
        assert accepted == pytest.approx(np.mean(a >= threshold))


def test_a_thinned_curve_keeps_its_area():
    rng = np.random.default_rng(0)
    points = curve(rng.normal(7e5, 1e5, 3000).astype(int), rng.normal(5e5, 2e5, 4000).astype(int))
    few = np.array(thinned(points))
    assert len(few) <= 103
    assert np.trapezoid(few[:, 2], few[:, 1]) == pytest.approx(area(points), abs=2e-3)


PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


@given(PAIRS)
def test_paired_figures_as_scipy_and_the_formula_have_them(pairs):
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    test = mcnemar(first, second)
    b, c = test.only_first, test.only_second
    if b + c:
        assert test.p == pytest.approx(scipy.stats.binomtest(b, b + c).pvalue)
    points = paired_difference(first, second)
    assert points.value == pytest.approx(100 * (first.mean() - second.mean()))
    n = len(pairs) + 2
    table = np.array([b + 0.5, c + 0.5]) / n
    spread = scipy.stats.norm.ppf(0.975) * np.sqrt((table.sum() - np.diff(table)[0] ** 2) / n)
    center = table[0] - table[1]
    wanted = (max(-100, 100 * (center - spread)), min(100, 100 * (center + spread)))
    assert (points.low, points.high) == pytest.approx(wanted)
    swapped = paired_difference(second, first)
    assert (swapped.low, swapped.high) == pytest.approx((-points.high, -points.low))


def test_the_paired_interval_covers_the_truth():
    """Of 2,000 draws with a known difference, 93 to 97.5 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    draws = rng.multinomial(300, [0.8, 0.08, 0.05, 0.07], 2000)
    held = 0
    for both, only_first, only_second, none in draws:
        first = np.repeat([True, True, False, False], [both, only_first, only_second, none])
        second = np.repeat([True, False, True, False], [both, only_first, only_second, none])
        points = paired_difference(first, second)
        held += points.low <= 3.0 <= points.high
    assert 0.93 < held / 2000 < 0.975


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts):
    successes, n = counts
    wanted = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_reliability_adds_up(rows):
    confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
    bins = reliability(confidence, correct)
    assert sum(row["accuracy"]["n"] for row in bins) == len(rows)
    gaps = sum(
        abs(row["confidence"] - row["accuracy"]["value"]) * row["accuracy"]["n"] for row in bins
    )
    assert gaps / len(rows) == pytest.approx(calibration_error(confidence, correct).value, abs=1e-5)


def test_ranges_hold_every_image_once():
    values = np.array([0, 11, 12, 95, 96, 4000])
    rows = by_range(values, (0, 12, 96), np.array([True, False, True, True, False, True]))
    shown = [(r["from"], r["to"], r["accuracy"]["value"], r["accuracy"]["n"]) for r in rows]
    assert shown == [(0, 12, 0.5, 2), (12, 96, 1.0, 2), (96, None, 0.5, 2)]


def test_the_command_measures_what_it_says(tmp_path, run_cli):
    """Against a loop over the same images, one by one."""
    write_bundle(tmp_path / "a.egb", toy_bundle())
    rows = ["file,label"]
    for i, symbol in enumerate("0A1b"):
        draw_character(symbol, 30 + i).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{symbol}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    noise = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (tmp_path / "negatives.csv").write_text(
        "file,kind,split,source,sha256\nnoise.png,noise,test,drawn,\n"
    )
    code, out, err = run_cli(
        main, "robustness", "--bundle", tmp_path / "a.egb", "--images", tmp_path / "labels.csv",
        "--rungs", "int8", "--output", tmp_path / "out", "--negatives", tmp_path / "negatives.csv",
    )  # fmt: skip
    assert code == 0, err
    figures = json.loads((tmp_path / "out/robustness.json").read_text())
    recognizer = Recognizer.open(tmp_path / "a.egb", "int8")
    clean = [to_working_size(read_gray(tmp_path / f"{i}.png")) for i in range(4)]
    for corruption in CORRUPTIONS[6:9]:
        shown = figures["corruptions"][corruption.name]
        for severity in (1, 5):
            pictures = np.stack([preprocess(corruption(gray, severity)) for gray in clean])
            logits = recognizer.scores(pictures)[0]
            labels = [recognizer.bundle.alphabet.index(symbol) for symbol in "0A1b"]
            right = np.mean(logits.argmax(axis=1) == labels)
            assert shown["accuracy"]["int8"][severity - 1]["value"] == pytest.approx(right)
    assert figures["n"] == 4
    assert figures["rejection"]["int8"]["noise"]["n_others"] == 1
    assert "n = 4 images in 75 corruptions" in out
    for name, least in [("robustness.png", 700), ("rejection.png", 400), ("corruptions.png", 500)]:
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > least
    for more, words in [
        (("--rungs", "gpu"), "no network 'gpu'"),
        (("--count", "-1"), "--count and --jobs are at least 0"),
    ]:
        code, _, err = run_cli(
            main, "robustness", "--bundle", tmp_path / "a.egb", "--images",
            tmp_path / "labels.csv", "--output", tmp_path / "out", *more,
        )  # fmt: skip
        assert code == 2
        assert words in err
