"""model_int8.onnx against the reference: identical integers, also at the edge of exactness."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.errors import VerificationError
from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork
from quantize.check_onnx import probes, verify_onnx
from quantize.export_onnx import channel_ranges, export, fits_float32
from tests.conftest import branched_network


def int8(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-128, 128, shape).astype(np.int8)


def conv(
    weights: Any, bias: Any, cut: int, shift: int, relu: bool = False, name: str = "c",
    source: int = -1, stride: tuple[int, int] = (1, 1), pad: tuple[int, ...] = (0, 0, 0, 0),
) -> Conv:  # fmt: skip
    top, bottom, left, right = pad
    function = Activation.RELU if relu else Activation.NONE
    return Conv(
        name, source, weights, bias, stride, (top, bottom, left, right), function, cut, shift, 0
    )


def run(model: bytes, inputs: Any) -> Any:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["logits_q"], {"input_real": inputs})[0]


def deep_network(seed: int) -> IntegerNetwork:
    rng = np.random.default_rng(seed)
    cut, pool = int(rng.integers(0, 17)), int(rng.integers(-3, 9))
    return IntegerNetwork(
        (9, 8, 2),
        7,
        (
            conv(int8(rng, 5, 3, 2, 2), int8(rng, 5), cut, int(rng.integers(0, 17)), True,
                 stride=(2, 1), pad=(0, 1, 1, 0)),
            AvgPool("p", 0, (2, 3), (2, 2), int(rng.integers(1, 200)), pool, 0),
            conv(int8(rng, 4, 2, 3, 5), int8(rng, 4), 12, 3, source=1),
        ),
    )  # fmt: skip


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_networks_with_any_shifts_give_the_references_integers(seed: int) -> None:
    network = deep_network(seed)
    inputs = int8(np.random.default_rng(seed), 16, *network.input_shape)
    assert verify_onnx(export(network), network, inputs, "model") > 100


@pytest.mark.parametrize("seed", range(6))
def test_every_kind_of_layer_gives_the_references_integers(seed: int) -> None:
    """Pools, additions, concatenation, depthwise, three activations and int32 logits."""
    network = branched_network(5, seed)
    inputs = int8(np.random.default_rng(seed), 8, *network.input_shape)
    model = export(network)
    verify_onnx(model, network, inputs, "model")
    assert run(model, inputs).dtype == np.int32


@pytest.mark.parametrize("cut", [0, 1, 5, 16])
@pytest.mark.parametrize("channels", [4, 700, 1100])
def test_a_leaky_slope_is_exact_with_one_rounding(cut: int, channels: int) -> None:
    rng = np.random.default_rng(cut)
    weights = rng.choice(np.array([-128, 127], np.int8), (2, 1, 1, channels))
    leaky = Activation.LEAKY_RELU
    layer = replace(conv(weights, int8(rng, 2), cut, 3), activation=leaky)
    network = IntegerNetwork((1, 1, channels), 7, (layer,))
    inputs = np.concatenate(
        [int8(rng, 40, 1, 1, channels), np.broadcast_to(weights[:1], (1, 1, 1, channels))]
    )
    verify_onnx(export(network), network, inputs, "model")


def exact(layer: Conv, x: Any) -> list[list[int]]:
    """A dense layer in Python's own integers."""
    rows = []
    for image in x.reshape(len(x), -1).tolist():
        row = []
        for kernel, bias in zip(layer.weights.reshape(len(layer.weights), -1), layer.bias,
                                strict=True):  # fmt: skip
            acc = sum(a * int(b) for a, b in zip(image, kernel, strict=True))
            acc += int(bias) << layer.shift_bias
            acc = max(acc, 0) if layer.activation is Activation.RELU else acc
            rounded = (acc * 2 + (1 << layer.shift_cut)) // (2 << layer.shift_cut)
            row.append(max(-128, min(127, rounded)))
        rows.append(row)
    return rows


def dense(channels: int, weight: int, bias: int, cut: int, shift: int) -> Conv:
    weights = np.full((3, 1, 1, channels), weight, np.int8)
    weights[1] = -weights[1] if weight != -128 else 127
    weights[2, ..., ::2] = 0
    return conv(weights, np.full(3, bias, np.int8), cut, shift)


@pytest.mark.parametrize(
    ("channels", "weight", "bias", "cut", "shift", "ranges"),
    [
        # The bound is 1,023·127·128 = 16,629,888; the bias and the rounding term use up the rest.
        (1023, 127, 0, 16, 0, 1),
        (1023, 127, 3, 16, 14, 1),
        (1023, 127, 7, 16, 14, 1),  # + 114,688 + 32,768 = 2^24 + 128: just too much
        (1024, 127, 127, 16, 16, 1),  # 2^24 is passed by the bias alone
        (1032, 127, 0, 16, 0, 1),
        (1200, -128, -128, 16, 5, 2),
        (3000, -128, 100, 16, 16, 3),
    ],
)
def test_sums_beside_and_beyond_two_to_the_24th(
    channels: int, weight: int, bias: int, cut: int, shift: int, ranges: int
) -> None:
    layer = dense(channels, weight, bias, cut, shift)
    assert len(channel_ranges(layer)) == ranges
    network = IntegerNetwork((1, 1, channels), 7, (layer,))
    rng = np.random.default_rng(channels)
    inputs = np.concatenate([
        np.full((1, channels), -128), np.full((1, channels), 127),
        rng.choice([-128, -127, 126, 127], (6, channels)), rng.integers(-128, 128, (6, channels)),
    ]).astype(np.int8).reshape(-1, 1, 1, channels)  # fmt: skip
    wanted = exact(layer, inputs)
    assert integer.run(network, inputs).tolist() == wanted
    model = export(network)
    assert run(model, inputs).tolist() == wanted
    verify_onnx(model, network, inputs, "model")


def operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def double_constants(model: bytes) -> int:
    constants = onnx.load_from_string(model).graph.initializer
    return sum(each.data_type == onnx.TensorProto.DOUBLE for each in constants)


def test_a_layer_beyond_the_bound_is_split_and_added_in_float64() -> None:
    """float32 alone would be wrong there: the odd sum 2^24 + 1 does not exist in it."""
    weights = np.full((1, 1, 1, 1025), -128, np.int8)
    weights[..., -1] = 1
    layer = conv(weights, np.array([0], np.int8), 0, 0)
    assert np.float32(2**24 + 1) == 2**24
    assert channel_ranges(layer) == [(0, 1023), (1023, 1025)]
    model = export(IntegerNetwork((1, 1, 1025), 7, (layer,)))
    assert operators(model).count("Conv") == 2
    assert double_constants(model) > 0
    small = export(IntegerNetwork((1, 1, 4), 7, (dense(4, 5, 1, 2, 0),)))
    assert operators(small).count("Conv") == 1
    assert double_constants(small) == 0


def test_the_rounding_term_counts_towards_the_bound() -> None:
    """A sum below 2^24 that the rounding term takes over it is no longer exact in float32."""
    fits = conv(np.full((1, 1, 1, 1023), 127, np.int8), np.array([114], np.int8), 16, 10)
    total = 1023 * 127 * 128 + (114 << 10)
    assert total < 2**24 - 2**14 < total + 2**15
    model = export(IntegerNetwork((1, 1, 1023), 7, (fits,)))
    beyond = total + 2**15 >= 2**24
    assert fits_float32(fits) is False
    assert beyond
    assert double_constants(model) > 0
    bias_only = conv(fits.weights, np.array([80], np.int8), 16, 10)
    assert fits_float32(bias_only)


def test_ties_are_rounded_half_up_on_both_sides_of_zero() -> None:
    """With weights of 1 and a shift of 1 every odd input is a tie."""
    layer = conv(np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int8), 1, 0)
    network = IntegerNetwork((1, 1, 1), 7, (layer,))
    inputs = np.arange(-128, 128).astype(np.int8).reshape(-1, 1, 1, 1)
    wanted = [[(q + 1) // 2] for q in range(-128, 128)]
    assert run(export(network), inputs).tolist() == wanted
    assert integer.run(network, inputs).tolist() == wanted


def test_a_difference_of_one_is_found_and_placed() -> None:
    def network(bias: int) -> IntegerNetwork:
        weights = np.ones((2, 1, 1, 1), np.int8)
        layer = conv(weights, np.array([0, bias], np.int8), 0, 0)
        return IntegerNetwork((1, 1, 1), 7, (layer,))

    message = r"model, flat inputs: 6 of 14 integers differ; the first is input 0, class 1: -127 in"
    with pytest.raises(VerificationError, match=message):
        verify_onnx(export(network(1)), network(0), np.zeros((1, 1, 1, 1), np.int8), "model")


def test_a_damaged_model_is_reported() -> None:
    with pytest.raises(VerificationError, match="ONNX Runtime does not load it"):
        verify_onnx(b"nothing", deep_network(0), int8(np.random.default_rng(0), 1, 9, 8, 2), "m")


def test_probes_saturate_tie_and_reach_negative_values() -> None:
    layer = conv(np.ones((1, 3, 3, 1), np.int8), np.zeros(1, np.int8), 3, 0)
    reached = probes(IntegerNetwork((3, 3, 1), 7, (layer,)), np.zeros((1, 3, 3, 1), np.int8))
    sums = np.concatenate([x.astype(int).sum(axis=(1, 2, 3)) for x in reached.values()])
    assert (sums % 8 == 4).sum() > 5  # exact halves at shift 3
    assert (sums / 8 > 127.5).any()
    assert (sums / 8 < -128.5).any()
    assert (np.abs(sums) < 8).any()


def test_the_same_network_gives_the_same_bytes() -> None:
    assert export(deep_network(4)) == export(deep_network(4))


def test_any_batch_will_do() -> None:
    network = deep_network(5)
    model = export(network)
    inputs = int8(np.random.default_rng(0), 7, 9, 8, 2)
    for n in (1, 3, 7):
        assert np.array_equal(run(model, inputs[:n]), integer.run(network, inputs[:n]))
