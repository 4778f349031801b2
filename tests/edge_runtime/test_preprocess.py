"""The preprocessing against exact rational arithmetic and against OpenCV where they agree."""

import hashlib
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.preprocess import area_resize, normalize_contrast, preprocess, to_float


def exact_area_resize(gray, side):
    """Mean over each output cell by fractions, from the definition alone."""
    height, width = gray.shape
    out = np.empty((side, side), np.uint8)
    for i in range(side):
        for j in range(side):
            y0, y1 = Fraction(i * height, side), Fraction((i + 1) * height, side)
            x0, x1 = Fraction(j * width, side), Fraction((j + 1) * width, side)
            total = Fraction(0)
            for y in range(int(y0), -(-y1.numerator // y1.denominator)):
                for x in range(int(x0), -(-x1.numerator // x1.denominator)):
                    overlap = (min(y1, y + 1) - max(y0, y)) * (min(x1, x + 1) - max(x0, x))
                    total += overlap * int(gray[y, x])
            out[i, j] = int(total / ((y1 - y0) * (x1 - x0)) + Fraction(1, 2))
    return out


@settings(max_examples=40)
@given(st.integers(1, 17), st.integers(1, 17), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_area_resize_is_exact(height, width, side, seed):
    gray = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    assert np.array_equal(area_resize(gray, side), exact_area_resize(gray, side))


def test_area_resize_is_opencv_area_where_the_ratio_is_whole():
    gray = np.random.default_rng(0).integers(0, 256, (96, 160), np.uint8)
    theirs = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(area_resize(gray, 32).astype(int) - theirs).max() <= 1  # they round ties to even


def test_the_largest_sums_do_not_overflow():
    white = np.full((16_000, 4_000), 255, np.uint8)
    assert (area_resize(white, 32) == 255).all()


def slow_contrast(gray):
    values = sorted(int(v) for v in gray.ravel())
    n = len(values)
    lo = next(v for i, v in enumerate(values, 1) if Fraction(i, n) >= Fraction(2, 100))
    hi = next(v for i, v in enumerate(values, 1) if Fraction(i, n) >= Fraction(98, 100))
    # i counts pixels up to this one; equal values later only raise the share, never lo or hi
    if hi - lo < 8:
        return np.zeros(gray.shape, np.int8)
    u = [(2 * (int(v) - lo) * 255 + (hi - lo)) // (2 * (hi - lo)) for v in gray.ravel()]
    return (np.clip(u, 0, 255) - 128).astype(np.int8).reshape(gray.shape)


@settings(max_examples=60)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_contrast_from_its_definition(a, b, seed):
    low, high = min(a, b), max(a, b)
    gray = np.random.default_rng(seed).integers(low, high + 1, (32, 32)).astype(np.uint8)
    found, expected = normalize_contrast(gray), slow_contrast(gray)
    # (x·255 + span // 2) // span is the specified rounding; for odd spans it equals half up
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() == 0


def test_flat_pictures_become_zero_and_contrast_fills_the_range():
    assert not normalize_contrast(np.full((32, 32), 200, np.uint8)).any()
    ramp = np.tile(np.linspace(100, 140, 32).astype(np.uint8), (32, 1))
    stretched = normalize_contrast(ramp)
    assert stretched.min() == -128
    assert stretched.max() == 127


@pytest.mark.parametrize("shape", [(1, 1), (3, 600), (600, 3), (32, 32), (31, 33), (1000, 700)])
def test_any_size_gives_one_input(shape):
    gray = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    found = preprocess(gray)
    assert found.shape == (32, 32, 1)
    assert found.dtype == np.int8


def test_golden_input():
    """Fixed text for every implementation: this pattern must give these bytes."""
    y, x = np.mgrid[0:57, 0:41]
    gray = ((x * 7 + y * 13 + (x * y) % 31) % 256).astype(np.uint8)
    digest = hashlib.sha256(preprocess(gray).tobytes()).hexdigest()
    assert digest == "9bc9ded4c0fe5e495bbb48508cb00334fd3b59bc7f48238b43a9445340109da1"


def test_white_does_not_wrap():
    """A plain cast of 1.0 at fix point 7 would be 128 and wrap to -128."""
    gray = np.zeros((32, 32), np.uint8)
    gray[:16] = 255
    inputs = preprocess(gray)
    assert inputs[0, 0, 0] == 127
    assert to_float(inputs).max() == 127 / 128
    assert to_float(inputs).min() == -1
