"""Method best: its rewriting computes the same in float, and its integers are nearer to that."""

from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.layers import Conv
from quantize import execute, logits
from quantize.calibrate import calibrate
from quantize.equalize import equalize, pairs
from quantize.fix_points import half_away_from_zero, quantized
from quantize.ir import Graph, Node, Op, constant
from quantize.layerwise import optimize
from quantize.lower import lower
from quantize.methods import Options, dequantized_logits, quantize
from tests.quantize.tiny_graphs import graph

ONE: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0)}


def chain(seed: int = 0, spread: float = 0.0, classes: int = 6) -> Graph:
    """Six convolutions with pools between; channels are rescaled by up to 2^±spread."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = []
    shape, x, before = 2, "x", np.ones(2)
    for i, (width, kernel) in enumerate([(8, 3), (12, 3), (12, 1), (16, 3), (16, 1)]):
        after = 2.0 ** rng.uniform(-spread, spread, width)
        weights = rng.normal(
            0, (2 / (kernel * kernel * shape)) ** 0.5, (width, kernel, kernel, shape)
        )
        bias = rng.normal(0, 0.2, width)
        scaled = weights * after.reshape(-1, 1, 1, 1) / before
        nodes.append(constant(f"w{i}", scaled.astype(np.float32)))
        nodes.append(constant(f"b{i}", (bias * after).astype(np.float32)))
        pad = (kernel // 2,) * 4
        attributes = {"strides": (1, 1), "pads": pad, "activation": "relu"}
        nodes.append(Node(f"c{i}", Op.CONV, (x, f"w{i}", f"b{i}"), attributes))
        x, shape, before = f"c{i}", width, after
        if i in (0, 3):
            op = Op.MAX_POOL if i else Op.AVG_POOL
            nodes.append(Node(f"p{i}", op, (x,), {"kernel": (2, 2), "strides": (2, 2)}))
            x = f"p{i}"
    weights = rng.normal(0, 0.3, (classes, 2, 2, shape)) / before
    nodes += [
        constant("w", weights.astype(np.float32)),
        constant("b", rng.normal(0, 0.3, classes).astype(np.float32)),
        Node("y", Op.CONV, (x, "w", "b"), {"strides": (1, 1), "pads": (0, 0, 0, 0)}),
    ]
    return graph(*nodes, shape=(8, 8, 2))


def images(n: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 0.5, (n, 4, 4, 2)).repeat(2, 1).repeat(2, 2)
    return np.clip(smooth + rng.normal(0, 0.1, smooth.shape), -1, 0.99).astype(np.float32)


def logits_of(of: Graph, x: Any) -> Any:
    return execute.run(of, x).reshape(len(x), -1)


def error(of: Graph, network: Any, scale: float = 1.0) -> float:
    """Mean squared error of logits on images that nothing was fitted to."""
    x = images(200, seed=99)
    found = dequantized_logits(network, x) / scale
    return float(np.square(found - logits_of(of, x)).mean())


def test_equalization_finds_pairs_across_pools() -> None:
    found = [(pair.first, pair.second) for pair in pairs(chain())]
    assert found == [("c0", "c1"), ("c1", "c2"), ("c2", "c3"), ("c3", "c4"), ("c4", "y")]


def test_equalization_stops_at_relu6_branches_and_the_output() -> None:
    def layer(name: str, x: str, activation: str) -> list[Node]:
        rng = np.random.default_rng(len(name))
        weights = constant(f"w{name}", rng.normal(0, 1, (3, 1, 1, 3)).astype(np.float32))
        attributes = {"strides": (1, 1), "pads": (0, 0, 0, 0), "activation": activation}
        bias = constant(f"b{name}", np.zeros(3, np.float32))
        return [weights, bias, Node(name, Op.CONV, (x, f"w{name}", f"b{name}"), attributes)]

    of = graph(
        *layer("a", "x", "relu6"), *layer("b", "a", "leaky_relu"), *layer("c", "b", "none"),
        Node("s", Op.ADD, ("c", "b")), *layer("d", "s", "relu"),
    )  # fmt: skip
    assert pairs(of) == []


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_an_equalized_network_computes_the_same(strength: float) -> None:
    of = chain(1, spread=3.0)
    x = images(40)
    after = equalize(of, x, strength)
    assert after.operators() == of.operators()
    assert np.abs(np.asarray(after.value("w1")) - np.asarray(of.value("w1"))).max() > 0.01
    np.testing.assert_allclose(logits_of(after, x), logits_of(of, x), rtol=1e-3, atol=1e-4)


def test_full_equalization_gives_channels_one_range() -> None:
    of = chain(2, spread=1.5)
    x = images(60)
    after = equalize(of, x, 1.0)

    def ranges(of: Graph, name: str) -> Any:
        values = execute.until(of, x, name)
        return np.percentile(values.reshape(-1, values.shape[-1]), 99.5, axis=0)

    alive = ranges(of, "c1") > 0
    before, now = ranges(of, "c1")[alive], ranges(after, "c1")[alive]
    assert now.max() / now.min() < 0.5 * before.max() / before.min()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fitted_layers_are_nearer_than_the_vendors_rule(seed: int) -> None:
    of, x = chain(seed), images(300, seed)
    start = calibrate(of, x, "min-mse", 50)
    graph_found, positions = optimize(of, x, start)
    fitted = lower(graph_found, positions, int32_logits=True)
    assert error(of, fitted) < 0.8 * error(of, lower(of, start, int32_logits=True))


def test_rounding_is_adaptive_and_within_one_step() -> None:
    """Weights go up or down for the sake of the output, which rounding to nearest does not know."""
    of, x = chain(3), images(300)
    start = calibrate(of, x, "min-mse", 50)
    found, positions = optimize(of, x, start)
    name, p = "w2", positions["w2"]
    steps = np.asarray(found.value(name), np.float64) * 2.0**p
    assert np.array_equal(steps, steps.round())
    nearest = quantized(np.asarray(of.value(name), np.float64), p, half_away_from_zero) * 2.0**p
    assert 0.02 < np.mean(steps != nearest) < 0.9


def test_equalization_saves_a_badly_conditioned_network() -> None:
    """Channels of one tensor differ by up to 2^8: one fix point serves few of them."""
    of, x = chain(4, spread=4.0), images(300)
    vendor = quantize(of, x, Options("min-mse", 50))
    best = quantize(of, x, Options("best", 50, head="cpu"))
    assert "equalized" in best.method
    assert error(of, best.network) < 0.1 * error(of, vendor.network)


@pytest.mark.parametrize("seed", [4, 5])
def test_a_very_badly_conditioned_network_keeps_its_answers(seed: int) -> None:
    """Channels differ by up to 2^10, which leaves the vendor's rule next to nothing.

    Random weights leave classes close: with seed 4 and no spread, best agrees on 98.5 % and
    min-mse on 97 %. Measured here: best 97.3 % and 95.0 %, min-mse 24 % and 63 %.
    """
    of, x = chain(seed, spread=5.0), images(300)
    unseen = images(400, seed=99)
    wanted = logits_of(of, unseen).argmax(axis=1)

    def agreement(method: str) -> float:
        network = quantize(of, x, Options(method, 50)).network
        return float(np.mean(dequantized_logits(network, unseen).argmax(axis=1) == wanted))

    assert agreement("min-mse") < 0.7
    assert agreement("best") >= 0.94


def test_best_keeps_what_is_nearest_on_inputs_that_it_did_not_fit() -> None:
    of, x = chain(5), images(200)
    found = quantize(of, x, Options("best", 50))
    names = {"min-mse", "non-overflow", "fitted, equalized 0.5", "fitted, equalized 1"}
    assert set(found.logit_errors) == names
    assert found.logit_errors[found.method] == min(found.logit_errors.values())


@pytest.mark.parametrize("head", ["dpu", "cpu"])
def test_the_logits_scale_is_recorded(head: str) -> None:
    of, x = chain(6), images(300)
    found = quantize(of, x, Options("best", 50, head=head))
    assert found.network.int32_logits == (head == "cpu")
    assert (found.logit_scale == 1.0) == (head == "cpu")
    variance = float(logits_of(of, images(200, seed=99)).var())
    assert error(of, found.network, found.logit_scale) < 0.01 * variance


def test_int8_logits_use_their_range_and_tie_less() -> None:
    of, x = chain(7), images(400)
    plain = quantize(of, x, Options("min-mse", 50))
    scaled = quantize(of, x, Options("best", 50, head="dpu"))
    unseen = images(600, seed=98)

    def ties(network: Any) -> float:
        return logits.tie_share(dequantized_logits(network, unseen))

    assert ties(scaled.network) <= ties(plain.network)
    largest = np.abs(dequantized_logits(scaled.network, unseen)).max()
    assert largest * 2.0**scaled.network.logits_fix_point > 80


def test_auto_leaves_the_last_layer_to_the_cpu_where_int8_logits_tie() -> None:
    """Two classes of nearly equal weights tie in eight bits, and do not in 32."""
    of = chain(8)
    weights = np.asarray(of.value("w"), np.float32).copy()
    weights[1] = weights[0] + np.random.default_rng(0).normal(0, 1e-3, weights[0].shape)
    bias = np.asarray(of.value("b")).copy()
    bias[1], bias[2:] = bias[0], -9
    nodes = [
        constant(node.name, {"w": weights, "b": bias.astype(np.float32)}[node.name])
        if node.name in ("w", "b")
        else node
        for node in of.nodes.values()
    ]
    twins = Graph.of(nodes, of.input, of.output)
    found = quantize(twins, images(200), Options("best", 50))
    assert found.network.int32_logits
    narrow = quantize(twins, images(200), Options("best", 50, head="dpu"))
    assert narrow.ties > logits.MAX_TIES
    assert found.ties < narrow.ties
    assert not quantize(twins, images(200), Options("min-mse", 50)).network.int32_logits


def test_biases_are_never_finer_than_their_sums() -> None:
    of, x = chain(9), images(200)
    found = quantize(of, x, Options("best", 50, head="dpu"))
    p = found.positions
    for node in found.graph.nodes.values():
        if node.op is Op.CONV:
            entry, weight, bias = (p[name] for name in node.inputs)
            assert bias <= weight + entry
    assert all(isinstance(layer, Conv) or layer.shift <= 40 for layer in found.network.layers)  # type: ignore[union-attr]


def test_steps_and_ties_of_logits() -> None:
    tied = np.array([[3, 3, 1], [2, 1, 0], [5, 5, 5], [0, -1, -1]])
    assert logits.count_ties(tied).tolist() == [True, False, True, False]
    assert logits.tie_share(tied) == 0.5
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (2000, 10))
    step = logits.best_step(z)
    assert 0.4 < np.abs(z).max() / (127 * step) < 2.5


def test_a_network_that_cannot_be_fitted_keeps_the_vendors_rule() -> None:
    """A layer that is alive on one input alone, which judges, gives fitting nothing to see."""
    rng = np.random.default_rng(0)
    nodes = [
        constant("w", rng.normal(0, 1, (3, 1, 1, 2)).astype(np.float32)),
        constant("b", np.full(3, -50, np.float32)),
        Node("c", Op.CONV, ("x", "w", "b"), ONE | {"activation": "relu"}),
        constant("w2", rng.normal(0, 1, (2, 1, 1, 3)).astype(np.float32)),
        constant("b2", np.zeros(2, np.float32)),
        Node("y", Op.CONV, ("c", "w2", "b2"), ONE),
    ]
    x = rng.normal(0, 1, (40, 1, 1, 2)).astype(np.float32)
    x[0] = 500
    found = quantize(graph(*nodes, shape=(1, 1, 2)), x, Options("best", 8, head="cpu"))
    assert found.method in ("min-mse", "non-overflow")


def test_a_layer_of_zeros_is_no_obstacle() -> None:
    of = chain(2)
    zeros = {"w": np.zeros_like(np.asarray(of.value("w"))), "b": np.zeros(6, np.float32)}
    nodes = [
        constant(node.name, zeros[node.name]) if node.name in zeros else node
        for node in of.nodes.values()
    ]
    with pytest.raises(InputError, match="'y' is zero for every calibration input"):
        quantize(Graph.of(nodes, of.input, of.output), images(40), Options("best", 20))
    zeros["b"][0] = 1.0
    nodes = [
        constant(node.name, zeros[node.name]) if node.name in zeros else node
        for node in of.nodes.values()
    ]
    found = quantize(Graph.of(nodes, of.input, of.output), images(40), Options("min-mse", 20))
    assert dequantized_logits(found.network, images(4)).argmax(axis=1).tolist() == [0] * 4
