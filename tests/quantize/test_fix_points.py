"""Rounding and the vendor's rules against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize import fix_points
from quantize.fix_points import half_away_from_zero, half_up, to_integers

HALF = Fraction(1, 2)
floats = st.floats(-1e4, 1e4, width=32)
positions = st.integers(-6, 14)


def clip(value: int) -> int:
    return max(-128, min(127, value))


def exact_half_up(x: float, p: int) -> int:
    return clip(math.floor(Fraction(x) * Fraction(2) ** p + HALF))


def exact_away(x: float, p: int) -> int:
    t = Fraction(x) * Fraction(2) ** p
    return clip(int(math.copysign(1, t)) * math.floor(abs(t) + HALF))


def quarters(values: list[int], p: int) -> np.ndarray:
    """Values at every quarter step of fix point p: ties and their neighbors."""
    return np.ldexp(np.array(values, np.float64) / 4, -p)


@given(st.lists(st.integers(-600, 600), min_size=1, max_size=30), positions)
def test_rounding_is_exact_at_ties_and_beside_them(steps: list[int], p: int) -> None:
    x = quarters(steps, p)
    assert to_integers(x, p, half_up).tolist() == [exact_half_up(v, p) for v in x]
    assert to_integers(x, p, half_away_from_zero).tolist() == [exact_away(v, p) for v in x]


def test_the_two_roundings_differ_on_negative_ties_alone() -> None:
    ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert half_up(ties).tolist() == [-2, -1, 0, 1, 2, 3]
    assert half_away_from_zero(ties).tolist() == [-3, -2, -1, 1, 2, 3]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_constants_are_rounded_as_c_does_just_below_a_half(kind: type) -> None:
    """There floor(x + ½) is wrong in floating point: the sum itself is rounded up to 1."""
    half = kind(0.5)
    below, above = np.nextafter(half, kind(0)), np.nextafter(half, kind(1))
    x = np.array([below, half, above, 1.5, 126.5, -below, -half, -126.5], kind)
    assert half_away_from_zero(x).tolist() == [0, 1, 1, 2, 127, 0, -1, -127]
    near = np.nextafter(x, kind(0))
    assert half_away_from_zero(near).tolist() == [exact_away(float(v), 0) for v in near]


def test_white_saturates_where_a_cast_would_wrap() -> None:
    assert to_integers(np.array([1.0, -1.0, -1.01]), 7, half_up).tolist() == [127, -128, -128]


def exact_step(x: np.ndarray) -> Fraction:
    return max(
        Fraction(float(x.min())) / Fraction("-128.5"), Fraction(float(x.max())) / Fraction("127.5")
    )


@given(st.lists(floats, min_size=1, max_size=20))
def test_non_overflow_is_the_floor_of_the_logarithm(values: list[float]) -> None:
    x = np.array(values, np.float32)
    step, p = exact_step(x), fix_points.non_overflow(x)
    if step == 0:
        assert p == 127
    else:  # 2^p <= 1 / step < 2^(p + 1); the quotient in floating point may be one ulp off
        slack = 1 + Fraction(1, 2**50)
        assert Fraction(2) ** p * step <= slack
        assert Fraction(2) ** (p + 1) * step * slack > 1


@pytest.mark.parametrize(
    ("values", "p"),
    [([127.5], 0), ([127.6], -1), ([-128.5], 0), ([-1.0], 7), ([1.0], 6), ([0.0], 127),
     ([-1.0, 127 / 128], 7), ([3e-5, -1e-5], 22)],
)  # fmt: skip
def test_non_overflow_on_known_values(values: list[float], p: int) -> None:
    assert fix_points.non_overflow(np.array(values, np.float64)) == p


def brute_force(values: list[float], exact: object) -> int:
    """Smallest p of p0..p0+4 with the least squared error, in fractions."""
    first = fix_points.non_overflow(np.array(values, np.float32))

    def error(p: int) -> Fraction:
        scale = Fraction(2) ** p
        return sum((Fraction(v) - exact(v, p) / scale) ** 2 for v in values)  # type: ignore[operator]

    return min(range(first, first + 5), key=lambda p: (error(p), p))


@given(st.lists(st.integers(-2000, 2000), min_size=1, max_size=12), st.integers(-3, 9))
def test_min_mse_is_the_brute_force_search(integers: list[int], scale: int) -> None:
    values = [math.ldexp(i, -scale) for i in integers]
    x = np.array(values, np.float32)
    if not x.any():
        assert fix_points.min_mse(x, half_up) == 127
        return
    assert fix_points.min_mse(x, half_up) == brute_force(values, exact_half_up)
    assert fix_points.min_mse(x, half_away_from_zero) == brute_force(values, exact_away)


def test_min_mse_clips_an_outlier_to_resolve_the_rest() -> None:
    x = np.array([1.02] + [k / 512 for k in range(-200, 200)], np.float32)
    assert fix_points.non_overflow(x) == 6
    assert fix_points.min_mse(x) == 7


def test_min_mse_ties_keep_the_smaller_position() -> None:
    """At -1 they are -112 and -128, at 0 they are -111 and -128: 0.25 and 1 both times."""
    assert fix_points.min_mse(np.array([-111.5, -129.0], np.float32)) == -1


@pytest.mark.parametrize(
    ("votes", "p"), [([5, 4, 5], 5), ([5, 4], 4), ([7, 3, 3, 7, 9], 3), ([2], 2)]
)
def test_the_most_frequent_position_wins_and_the_smaller_on_a_tie(votes: list[int], p: int) -> None:
    assert fix_points.most_frequent(votes) == p


@given(*[st.integers(-20, 30)] * 4)
def test_limits_move_the_weight_then_the_bias_as_little_as_possible(
    pi: int, pw: int, pb: int, po: int
) -> None:
    weight, bias = fix_points.limited(pi, pw, pb, po)
    allowed = [w for w in range(-100, 100) if 0 <= w + pi - po <= 16]
    assert weight == min(allowed, key=lambda w: abs(w - pw))
    cut = weight + pi - po
    allowed = [b for b in range(-200, 200) if -(24 - (8 + cut)) <= weight + pi - b <= 16]
    assert bias == min(allowed, key=lambda b: abs(b - pb))


def test_a_bias_finer_than_its_sums_is_rounded_as_the_vendors_compiler_does() -> None:
    """Seen in a vendor's ELF: pw 8, pi 1, pb 10; the compiler emits (b + 1) >> 1 at pb 9."""
    assert fix_points.limited(1, 8, 10, 4) == (8, 10)
    biases = np.arange(-128, 128).astype(np.int8)
    assert fix_points.board_bias(biases, 0) is biases
    assert fix_points.board_bias(biases, 1).tolist() == [(b + 1) >> 1 for b in range(-128, 128)]
    assert fix_points.board_bias(biases, 3).tolist() == [
        math.floor(Fraction(b, 8) + HALF) for b in range(-128, 128)
    ]


@given(st.integers(-5000, 5000), st.integers(-128, 127), st.integers(1, 8), st.integers(1, 8))
def test_a_bias_rounded_down_is_read_as_the_evaluation_graph_reads_it(
    total: int, bias: int, excess: int, cut: int
) -> None:
    """Acc = (sum << excess) + b, and the shift grows by the excess."""
    wanted = math.floor(Fraction((total << excess) + bias, 2 ** (cut + excess)) + HALF)
    down = int(fix_points.board_bias(np.array([bias], np.int8), excess, evaluation=True)[0])
    assert (total + down + (1 << (cut - 1))) >> cut == wanted


@pytest.mark.parametrize(
    ("kernel", "factor"),
    [((3, 3), (7, 6)), ((5, 5), (10, 8)), ((6, 6), (7, 8)), ((7, 7), (21, 10)),
     ((14, 14), (21, 12)), ((2, 2), (1, 2)), ((4, 4), (1, 4)), ((8, 8), (1, 6)), ((1, 1), (1, 0))],
)  # fmt: skip
def test_pool_factors_of_the_specification(kernel: tuple[int, int], factor: object) -> None:
    assert fix_points.pool_factor(*kernel) == factor


@given(st.integers(1, 8), st.integers(1, 8))
def test_other_pool_factors_are_the_nearest_fractions(height: int, width: int) -> None:
    area = height * width
    if height == width and height in (3, 5, 6, 7):
        return
    multiplier, shift = fix_points.pool_factor(height, width)
    limit = math.ceil(math.log2(128 * area))
    best = min(
        abs(Fraction(k, 2**n) - Fraction(1, area))
        for n in range(limit)
        for k in range(1, 2**n // area + 2)
    )
    assert abs(Fraction(multiplier, 2**shift) - Fraction(1, area)) == best
    assert shift < limit
