"""Fake quantization against exact rounding, and against the integer network layer for layer."""

import json
import math
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.errors import InputError, SettingsError
from quantize.__main__ import main
from quantize.artifacts import read_quantization
from quantize.methods import integer_inputs
from semi_supervised.training.fake_quantization import (
    FakeQuantizer,
    LayerNames,
    fold,
    round_activations,
    round_weights,
)
from tests.quantize.conftest import Cli
from tests.quantize.test_vendor_rules import Network


def exact(x: float, p: int, away: bool) -> float:
    t = Fraction(x) * Fraction(2) ** p
    size = math.floor(abs(t) + Fraction(1, 2)) if away else math.floor(t + Fraction(1, 2))
    q = (-size if t < 0 else size) if away else size
    return float(Fraction(max(-128, min(127, q))) / Fraction(2) ** p)


@settings(max_examples=40)
@given(st.lists(st.integers(-600, 600), min_size=1, max_size=30), st.integers(-6, 14))
def test_rounding_is_exact_at_ties_and_beside_them(quarters: list[int], p: int) -> None:
    values = [math.ldexp(each / 4, -p) for each in quarters]
    x = tf.constant(values, tf.float32)
    assert round_weights(x, p).numpy().tolist() == [exact(v, p, True) for v in values]
    assert round_activations(x, p).numpy().tolist() == [exact(v, p, False) for v in values]


def test_just_below_a_half_is_rounded_down() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    assert round_weights(tf.constant([below, -below, 0.5]), 0).numpy().tolist() == [0, 0, 1]


@pytest.mark.parametrize("rounded", [round_weights, round_activations])
def test_the_gradient_passes_where_nothing_is_clipped(rounded: Any) -> None:
    x = tf.Variable([-40.0, -32.0, -0.3, 0.0, 0.124, 31.75, 31.9, 32.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(rounded(x, 2) * tf.range(1.0, 9.0))
    assert tape.gradient(y, x).numpy().tolist() == [0, 2, 3, 4, 5, 6, 0, 0]


def norm_of(network: Network) -> Any:
    arrays = {k: getattr(network, k) for k in ("gamma", "beta", "mean", "variance")}
    return SimpleNamespace(**{k: tf.Variable(v) for k, v in arrays.items()})


def layers(fake: FakeQuantizer, network: Network, norm: Any, w1: Any, x: Any) -> list[Any]:
    """The network of the frozen graph, written with fake quantization."""
    x = fake.activation("image", x)
    first = fake.convolution(LayerNames("w1", "beta", "r1"), x, w1, norm, 2, "SAME", 1e-3)
    kernel, bias = fake.weights("w2", network.w2), fake.bias("b2", network.b2)
    second = tf.nn.relu(tf.nn.conv2d(first, kernel, 1, "VALID") + bias)
    second = fake.activation("r2", second)
    pooled = fake.activation("pool", tf.reduce_mean(second, [1, 2]))
    names = LayerNames("dense", "dense_bias", "logits")
    return [first, second, pooled, fake.dense(names, pooled, network.dense, network.dense_bias)]


@pytest.mark.parametrize("head", ["dpu", "cpu"])
@pytest.mark.parametrize("seed", [2, 5, 11])  # maps of 2×2 and 4×4 before the mean
def test_every_layer_is_the_integer_network(
    seed: int, head: str, tmp_path: Path, run_cli: Cli
) -> None:
    """Two of them have a bias that is finer than its sums, which is rounded twice."""
    network = Network(seed)
    network.write(tmp_path / "net.pb")
    np.savez(tmp_path / "x.npz", x=network.inputs)
    arguments = ("--calibration", tmp_path / "x.npz", "--method", "min-mse", "--head", head)
    assert run_cli(main, "run", tmp_path / "net.pb", "--output", tmp_path, *arguments)[0] == 0
    integers = read_quantization(tmp_path).network
    fake = FakeQuantizer.read(tmp_path / "quantization.json")
    x = np.concatenate([network.inputs, network.inputs[::-1] * np.float32(7.3)])  # some saturate
    found = layers(fake, network, norm_of(network), network.w1, x)
    wanted = integer.run_layers(integers, integer_inputs(integers, x))
    for y, q, layer in zip(found, wanted, integers.layers, strict=True):
        values = np.ldexp(q.astype(np.float64), -layer.fix_point)
        np.testing.assert_array_equal(y.numpy().reshape(q.shape), values)


def test_folding_is_batch_normalization() -> None:
    network = Network(1)
    x, norm = tf.constant(network.inputs), norm_of(network)
    kernel, bias = fold(network.w1, norm, 1e-3)
    wanted = tf.nn.batch_normalization(
        tf.nn.conv2d(x, network.w1, 1, "SAME"), norm.mean, norm.variance, norm.beta, norm.gamma,
        1e-3,
    )  # fmt: skip
    found = tf.nn.conv2d(x, kernel, 1, "SAME") + bias
    scale = float(tf.reduce_max(tf.abs(wanted)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * scale)


def test_training_through_it_brings_the_rounded_network_nearer() -> None:
    """A disturbed kernel learns its outputs back, though all that it shows are integers."""
    network = Network(5)
    names = ("image", "w1", "beta", "r1", "w2", "b2", "r2", "pool", "dense", "dense_bias", "logits")
    expected = network.expected("min-mse", 4, False)
    free = FakeQuantizer(dict.fromkeys(names))
    fake = FakeQuantizer(dict.fromkeys(names) | {"w1": expected["w1"], "r1": expected["r1"]})
    noise = np.random.default_rng(0).normal(0, 0.3, network.w1.shape)
    disturbed = network.w1 * (1 + noise).astype(np.float32)
    norm, w1 = norm_of(network), tf.Variable(disturbed)
    x = tf.constant(network.inputs)
    target = layers(free, network, norm, network.w1, x)[0]

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layers(fake, network, norm, w1, x)[0] - target))
        return loss, tape.gradient(loss, w1)

    losses = []
    size = float(np.abs(network.w1).max())
    for i in range(60):
        loss, gradient = step()
        losses.append(float(loss))
        w1.assign_sub(0.01 * size * (1 - i / 60) * tf.sign(gradient))
    assert losses[-1] < 0.2 * losses[0]


def test_names_and_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no fix point is known for tensor 'w3'; there are w1"):
        FakeQuantizer({"w1": 3}).weights("w3", tf.zeros(1))
    for text in ("", "{}", json.dumps({"tensors": {}, "layers": []})):
        (tmp_path / "q.json").write_text(text)
        with pytest.raises(InputError, match=r"q\.json: not a quantization\.json"):
            FakeQuantizer.read(tmp_path / "q.json")
