"""The NumPy reference against plain Python integers, over random layers and extreme values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.integer import AvgPool, Conv, IntegerNetwork
from tests.conftest import toy_network


def floor_half_up(total, shift):
    """floor(total / 2^shift + 1/2) clipped to int8, in Python's unbounded integers."""
    value = total * 2**-shift if shift <= 0 else (2 * total + 2**shift) // (2 * 2**shift)
    return max(-128, min(127, value))


def slow_conv(layer, x):
    top, bottom, left, right = layer.pad
    height, width, channels = x.shape
    out, kh, kw, _ = layer.weights.shape
    rows = (height + top + bottom - kh) // layer.stride[0] + 1
    columns = (width + left + right - kw) // layer.stride[1] + 1
    y = np.empty((rows, columns, out), np.int8)
    for i, j, o in np.ndindex(rows, columns, out):
        acc = int(layer.bias[o]) * 2**layer.shift_bias
        for a, b, c in np.ndindex(kh, kw, channels):
            row, column = i * layer.stride[0] + a - top, j * layer.stride[1] + b - left
            if 0 <= row < height and 0 <= column < width:
                acc += int(x[row, column, c]) * int(layer.weights[o, a, b, c])
        y[i, j, o] = floor_half_up(max(acc, 0) if layer.relu else acc, layer.shift_cut)
    return y


def values(rng, shape, kind):
    """Random, saturating or nearly empty int8 values."""
    if kind == "extreme":
        return rng.choice([-128, 127], shape).astype(np.int8)
    if kind == "sparse":
        return rng.choice([-1, 0, 0, 1], shape).astype(np.int8)
    return rng.integers(-128, 128, shape).astype(np.int8)


KINDS = st.sampled_from(["random", "extreme", "sparse"])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.booleans(),
    st.integers(0, 16),
    st.integers(0, 16),
    KINDS,
)
def test_convolution(seed, height, width, channels, out, kernel, stride, pad, relu, cut, sb, kind):
    rng = np.random.default_rng(seed)
    kh, kw = min(kernel, height), min(kernel, width)
    layer = Conv(
        "c",
        -1,
        values(rng, (out, kh, kw, channels), kind),
        values(rng, (out,), kind),
        stride,
        pad,
        relu,
        cut,
        sb,
        0,
    )
    x = values(rng, (2, height, width, channels), kind)
    found = integer._run_conv(layer, x)
    assert np.array_equal(found, np.stack([slow_conv(layer, one) for one in x]))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 99),
    st.integers(-3, 20),
    KINDS,
)
def test_average_pool(seed, kernel, stride, multiplier, shift, kind):
    rng = np.random.default_rng(seed)
    x = values(rng, (2, 5, 6, 3), kind)
    layer = AvgPool("p", -1, (kernel, kernel), (stride, stride), multiplier, shift, 0)
    found = integer._run_pool(layer, x)
    for n, i, j, c in np.ndindex(found.shape):
        window = x[n, i * stride : i * stride + kernel, j * stride : j * stride + kernel, c]
        total = sum(int(v) for v in window.ravel()) * multiplier
        assert found[n, i, j, c] == floor_half_up(total, shift)


def test_ties_round_up_and_negative_shifts_floor():
    acc = np.array([-3, -2, -1, 0, 1, 2, 3, 300, -300], np.int64)
    assert integer.requantize(acc, 1).tolist() == [-1, -1, 0, 0, 1, 1, 2, 127, -128]


def test_the_worst_sum_is_exact():
    """1,152 products of 128 · 128: the largest accumulator of the standard network."""
    weights = np.full((1, 3, 3, 128), -128, np.int8)
    x = np.full((1, 3, 3, 128), -128, np.int8)
    layer = Conv("c", -1, weights, np.array([127], np.int8), (1, 1), (0, 0, 0, 0), False, 16, 16, 0)
    assert integer._run_conv(layer, x).ravel().tolist() == [
        min(127, (1152 * 128 * 128 + (127 << 16) + (1 << 15)) >> 16)
    ]


def test_batches_do_not_matter():
    network = toy_network(5)
    x = np.random.default_rng(3).integers(-128, 128, (9, 32, 32, 1)).astype(np.int8)
    whole = integer.run(network, x)
    assert np.array_equal(
        whole, np.concatenate([integer.run(network, x[i : i + 1]) for i in range(9)])
    )
    assert whole.shape == (9, 5)


def test_wrong_inputs_and_impossible_networks():
    network = toy_network(5)
    with pytest.raises(ValueError, match="not int8"):
        integer.run(network, np.zeros((1, 32, 32, 1), np.float32))
    with pytest.raises(ValueError, match="needs 1 channels"):
        IntegerNetwork((32, 32, 2), 7, network.layers)
    with pytest.raises(ValueError, match="comes later"):
        IntegerNetwork((32, 32, 1), 7, network.layers[1:])
    with pytest.raises(ValueError, match="not 1×1"):
        IntegerNetwork((32, 32, 1), 7, network.layers[:1])
    weights, bias = np.zeros((1, 1, 1, 1), np.int8), np.zeros(1, np.int8)
    for shifts in ((17, 0), (-1, 0), (0, 17), (0, -1)):
        with pytest.raises(ValueError, match=r"outside 0\.\.16"):
            Conv("c", -1, weights, bias, (1, 1), (0, 0, 0, 0), False, *shifts, 0)
