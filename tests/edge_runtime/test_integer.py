"""The NumPy reference against exact rational arithmetic, over random layers and extreme values."""

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    IntegerNetwork,
    MaxPool,
)
from tests.conftest import toy_network

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["random", "extreme", "sparse"])
ACTIVATIONS = st.sampled_from(list(Activation))
ZERO: Any = np.zeros((1, 1, 1, 1), np.int8)
PADS = st.tuples(*[st.integers(0, 2)] * 4)
STRIDES = st.tuples(*[st.integers(1, 3)] * 2)


def values(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Any:
    """Random, saturating or nearly empty int8 values."""
    if kind == "extreme":
        return rng.choice([-128, 127], shape).astype(np.int8)
    if kind == "sparse":
        return rng.choice([-1, 0, 0, 1], shape).astype(np.int8)
    return rng.integers(-128, 128, shape).astype(np.int8)


def exact(value: Fraction, activation: Activation, p: int) -> int:
    """What the DPU makes of a real number: activation, one rounding half up at 2^-p, clip."""
    if activation is not Activation.NONE and value < 0:
        value = value * Fraction(26, 256) if activation is Activation.LEAKY_RELU else Fraction(0)
    if activation is Activation.RELU6:
        value = min(value, Fraction(6))
    return max(-128, min(127, floor(value * Fraction(2) ** p + Fraction(1, 2))))


def window(x: Any, row: int, column: int, layer: Any, kernel: Any) -> list[tuple[int, int, Any]]:
    """Entries (i, j, pixel) of a kernel window that lie on the map."""
    found = []
    for i, j in np.ndindex(*kernel):
        r = row * layer.stride[0] + i - layer.pad[0]
        c = column * layer.stride[1] + j - layer.pad[2]
        if 0 <= r < x.shape[0] and 0 <= c < x.shape[1]:
            found.append((i, j, x[r, c].tolist()))
    return found


def slow_conv(layer: Conv, x: Any, input_p: int) -> Any:
    """A convolution in fractions: real weights and inputs, as their fix points say."""
    weight_p = layer.shift_cut + layer.fix_point - input_p
    bias_p = weight_p + input_p - layer.shift_bias
    height, width, out = layer.output_shape([x.shape])
    y = np.empty((height, width, out), np.int64)
    for r, c, o in np.ndindex(y.shape):
        total = int(layer.bias[o]) / Fraction(2) ** bias_p
        for i, j, pixel in window(x, r, c, layer, layer.weights.shape[1:3]):
            kernel = layer.weights[o, i, j].tolist()
            if layer.depthwise:
                pixel = [pixel[o // (out // x.shape[2])]]
            products = sum(a * b for a, b in zip(pixel, kernel, strict=True))
            total += products / Fraction(2) ** (weight_p + input_p)
        if layer.int32_output:
            y[r, c, o] = int(total * Fraction(2) ** layer.fix_point)
        else:
            y[r, c, o] = exact(total, layer.activation, layer.fix_point)
    return y


@settings(max_examples=80)
@given(
    SEEDS, st.tuples(*[st.integers(1, 6)] * 2), st.integers(1, 4), st.integers(1, 4),
    st.integers(1, 3), STRIDES, PADS, ACTIVATIONS, st.integers(0, 16), st.integers(0, 16), KINDS,
    st.integers(-8, 12), st.integers(-4, 9), st.booleans(), st.booleans(),
)  # fmt: skip
def test_convolution(
    seed: int, size: Any, channels: int, out: int, kernel: int, stride: Any, pad: Any,
    activation: Activation, cut: int, bias_shift: int, kind: str, input_p: int, output_p: int,
    depthwise: bool, int32: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    kh, kw = min(kernel, size[0]), min(kernel, size[1])
    out = out * channels if depthwise else out
    if int32:
        activation, cut = Activation.NONE, 0
    layer = Conv(
        "c", -1, values(rng, (out, kh, kw, 1 if depthwise else channels), kind),
        values(rng, (out,), kind), stride, pad, activation, cut, bias_shift, output_p,
        depthwise, int32,
    )  # fmt: skip
    x = values(rng, (2, *size, channels), kind)
    found = integer.run_layer(layer, [x])
    assert found.dtype == (np.int32 if int32 else np.int8)
    assert np.array_equal(found, np.stack([slow_conv(layer, one, input_p) for one in x]))


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), st.integers(1, 99), st.integers(-3, 20), KINDS)
def test_average_pool(
    seed: int, kernel: int, stride: int, multiplier: int, shift: int, kind: str
) -> None:
    x = values(np.random.default_rng(seed), (2, 5, 6, 3), kind)
    layer = AvgPool("p", -1, (kernel, kernel), (stride, stride), multiplier, shift, 0)
    found = integer.run_layer(layer, [x])
    for n, i, j, c in np.ndindex(found.shape):
        rows, columns = (
            slice(i * stride, i * stride + kernel),
            slice(j * stride, j * stride + kernel),
        )
        total = sum(x[n, rows, columns, c].ravel().tolist()) * multiplier
        assert found[n, i, j, c] == exact(total / Fraction(2) ** shift, Activation.NONE, 0)


@settings(max_examples=60)
@given(
    SEEDS, st.tuples(*[st.integers(3, 6)] * 2), st.tuples(*[st.integers(1, 3)] * 2), STRIDES, PADS,
    st.integers(-3, 9), st.integers(-3, 9), KINDS,
)  # fmt: skip
def test_max_pool(
    seed: int, size: Any, kernel: Any, stride: Any, pad: Any, input_p: int, output_p: int, kind: str
) -> None:
    pad = (*(min(p, kernel[0] - 1) for p in pad[:2]), *(min(p, kernel[1] - 1) for p in pad[2:]))
    x = values(np.random.default_rng(seed), (2, *size, 3), kind)
    layer = MaxPool("p", -1, kernel, stride, pad, input_p - output_p, output_p)
    found = integer.run_layer(layer, [x])
    for n, i, j, c in np.ndindex(found.shape):
        largest = max(pixel[c] for _, _, pixel in window(x[n], i, j, layer, kernel))
        wanted = exact(largest / Fraction(2) ** input_p, Activation.NONE, output_p)
        assert found[n, i, j, c] == wanted


@settings(max_examples=60)
@given(SEEDS, *[st.integers(-4, 9)] * 3, ACTIVATIONS, KINDS)
def test_add(
    seed: int, first_p: int, second_p: int, output_p: int, activation: Activation, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    a, b = values(rng, (2, 2, 3, 5), kind), values(rng, (2, 2, 3, 5), kind)
    finer = max(first_p, second_p)
    shifts = (finer - first_p, finer - second_p)
    layer = Add("a", (-1, 0), shifts, activation, finer - output_p, output_p)
    found = integer.run_layer(layer, [a, b])
    for index in np.ndindex(a.shape):
        total = int(a[index]) / Fraction(2) ** first_p + int(b[index]) / Fraction(2) ** second_p
        assert found[index] == exact(total, activation, output_p)


def test_concat_keeps_the_order_of_its_sources() -> None:
    rng = np.random.default_rng(0)
    maps = [values(rng, (2, 3, 2, channels), "random") for channels in (1, 4, 2)]
    found = integer.run_layer(Concat("c", (0, 1, 2), 5), maps)
    assert found.shape == (2, 3, 2, 7)
    assert np.array_equal(found[..., 1:5], maps[1])


def test_ties_round_up_and_negative_shifts_multiply() -> None:
    acc = np.array([-3, -2, -1, 0, 1, 2, 3, 300, -300], np.int64)
    assert integer.requantize(acc, 1).tolist() == [-1, -1, 0, 0, 1, 1, 2, 127, -128]
    assert integer.requantize(acc, -2).tolist() == [-12, -8, -4, 0, 4, 8, 12, 127, -128]


@pytest.mark.parametrize(
    ("p", "cap"), [(5, 127), (4, 96), (0, 6), (-1, 3), (-2, 2), (-3, 1), (-9, 0)]
)
def test_relu6_caps_where_six_is_below_127(p: int, cap: int) -> None:
    kernel, bias = np.full((1, 1, 1, 1), 127, np.int8), np.zeros(1, np.int8)
    layer = Conv("c", -1, kernel, bias, (1, 1), (0,) * 4, Activation.RELU6, 0, 0, p)
    x = np.array([-128, 127], np.int8).reshape(2, 1, 1, 1)
    assert integer.run_layer(layer, [x]).ravel().tolist() == [0, cap]


def test_the_worst_sum_is_exact() -> None:
    """1,152 products of 128 · 128: the largest accumulator of the standard network."""
    weights = np.full((1, 3, 3, 128), -128, np.int8)
    x = np.full((1, 3, 3, 128), -128, np.int8)
    bias = np.array([127], np.int8)
    layer = Conv("c", -1, weights, bias, (1, 1), (0, 0, 0, 0), Activation.NONE, 16, 16, 0)
    total = 1152 * 128 * 128 + (127 << 16)
    assert integer.run_layer(layer, [x]).ravel().tolist() == [min(127, (total + (1 << 15)) >> 16)]
    assert layer.accumulator_bound() == total + (1 << 15)


def conv(source: int, weights: Any, **changes: Any) -> Conv:
    settings: dict[str, Any] = {
        "stride": (1, 1), "pad": (0, 0, 0, 0), "activation": Activation.NONE, "shift_cut": 4,
        "shift_bias": 0, "fix_point": 5,
    } | changes  # fmt: skip
    return Conv("c", source, weights, np.zeros(len(weights), np.int8), **settings)


def test_a_network_of_several_sources() -> None:
    """Two branches are added, joined to the first one, and end in int32 logits."""
    rng = np.random.default_rng(4)
    kernels = [values(rng, (3, 1, 1, 2), "random"), values(rng, (3, 1, 1, 2), "random")]
    head = values(rng, (4, 1, 1, 6), "random")
    network = IntegerNetwork(
        (1, 1, 2),
        7,
        (
            conv(-1, kernels[0]),
            conv(-1, kernels[1], fix_point=3),
            Add("a", (0, 1), (0, 2), Activation.RELU, 0, 5),
            Concat("j", (2, 0), 5),
            conv(3, head, shift_cut=0, fix_point=9, int32_output=True),
        ),
    )
    x = values(rng, (3, 1, 1, 2), "random")
    one, two, both, joined, logits = integer.run_layers(network, x)
    assert np.array_equal(both, np.clip(one.astype(int) + 4 * two.astype(int), 0, 127))
    assert np.array_equal(joined, np.concatenate([both, one], 3))
    assert logits.dtype == np.int32
    assert np.array_equal(integer.run(network, x), joined[:, 0, 0].astype(int) @ head[:, 0, 0].T)
    assert integer.output_bytes(logits) == logits.astype("<i4").tobytes()


def test_batches_do_not_matter() -> None:
    network = toy_network(5)
    x = np.random.default_rng(3).integers(-128, 128, (9, 32, 32, 1)).astype(np.int8)
    whole = integer.run(network, x)
    assert np.array_equal(
        whole, np.concatenate([integer.run(network, x[i : i + 1]) for i in range(9)])
    )
    assert whole.shape == (9, 5)


def test_wrong_inputs_and_impossible_networks() -> None:
    network = toy_network(5)
    with pytest.raises(ValueError, match="not int8"):
        integer.run(network, np.zeros((1, 32, 32, 1), np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs 1 channels"):
        IntegerNetwork((32, 32, 2), 7, network.layers)
    with pytest.raises(ValueError, match="comes later"):
        IntegerNetwork((32, 32, 1), 7, network.layers[1:])
    with pytest.raises(ValueError, match="not 1×1"):
        IntegerNetwork((32, 32, 1), 7, network.layers[:1])
    for shifts in ((17, 0), (-1, 0), (0, 17), (0, -1)):
        with pytest.raises(ValueError, match=r"outside 0\.\.16"):
            conv(-1, ZERO, shift_cut=shifts[0], shift_bias=shifts[1])
    with pytest.raises(ValueError, match="do not fit in 32 bits"):
        conv(-1, np.full((1, 16, 16, 512), -128, np.int8))
    with pytest.raises(ValueError, match="int32 output takes no shift"):
        conv(-1, ZERO, int32_output=True)
    with pytest.raises(ValueError, match="depthwise weights"):
        conv(-1, np.zeros((4, 1, 1, 2), np.int8), depthwise=True)
    with pytest.raises(ValueError, match="3 depthwise kernels for 2 channels"):
        conv(-1, np.zeros((3, 1, 1, 1), np.int8), depthwise=True).output_shape([(1, 1, 2)])
    with pytest.raises(ValueError, match="lies in the padding"):
        MaxPool("p", -1, (2, 2), (2, 2), (0, 2, 0, 0), 0, 7)
    with pytest.raises(ValueError, match="left shifts"):
        Add("a", (-1, -1), (1, 1), Activation.NONE, 0, 7)
    with pytest.raises(ValueError, match="concatenates 1 maps"):
        Concat("c", (0,), 7)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Add("a", (-1, -1), (0, 1), Activation.NONE, 0, 7), "a: its shifts do not lead"),
        (Concat("a", (-1, -1), 6), "a: its shifts do not lead"),
        (MaxPool("a", -1, (1, 1), (1, 1), (0, 0, 0, 0), 0, 6), "a: its shifts do not lead"),
        (
            conv(-1, np.zeros((1, 1, 1, 1), np.int8), shift_cut=0, int32_output=True),
            "only the last",
        ),
    ],
)
def test_fix_points_and_shifts_must_agree(layer: Any, message: str) -> None:
    channels = layer.output_shape([(1, 1, 1)] * len(layer.sources))[2]
    last = conv(0, np.zeros((2, 1, 1, channels), np.int8))
    with pytest.raises(ValueError, match=message):
        IntegerNetwork((1, 1, 1), 7, (layer, last))
