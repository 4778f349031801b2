"""Fix points, and the integers that follow from them, against exact rational arithmetic."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.errors import GraphError, InputError
from edge_runtime.layers import Activation, AvgPool, Conv
from quantize import execute
from quantize.calibrate import calibrate, limited
from quantize.fix_points import half_away_from_zero, half_up, quantized
from quantize.ir import Graph, Node, Op, constant
from quantize.lower import LAYER_OPS, check_supported, lower
from quantize.methods import integer_inputs
from quantize.passes import complete_layers
from tests.quantize.tiny_graphs import const, conv, graph

NONE = (0, 0, 0, 0)
W1 = const("w1", 2, 3, 3, 3)


def network_of(kernel: int = 2, seed: int = 0) -> Graph:
    """Two convolutions around a pool, with biases; input 6×6×2, four logits."""
    rng = np.random.default_rng(seed)

    def values(name: str, *shape: int) -> Node:
        return constant(name, rng.normal(0, 0.4, shape).astype(np.float32))

    pooled = 6 // kernel
    return graph(
        values("w1", 3, 3, 3, 2), values("b1", 3), conv("c1", "x", "w1", "b1", activation="relu"),
        Node("pool", Op.AVG_POOL, ("c1",), {"kernel": (kernel, kernel), "strides": (kernel,) * 2}),
        values("w2", 4, pooled, pooled, 3), values("b2", 4),
        conv("c2", "pool", "w2", "b2", pads=NONE),
        shape=(6, 6, 2),
    )  # fmt: skip


def batch(of: Graph, n: int = 12, scale: float = 1.0, seed: int = 5) -> Any:
    shape = (n, *of.input_shape)
    return (np.random.default_rng(seed).normal(0, scale, shape)).astype(np.float32)


def exact_rounded(value: Fraction, p: int) -> Fraction:
    """The DPU's activation: half up and clipped, as the value that it stands for."""
    q = math.floor(value * Fraction(2) ** p + Fraction(1, 2))
    return Fraction(max(-128, min(127, q))) / Fraction(2) ** p


def exact_constant(value: float, p: int) -> Fraction:
    t = Fraction(value) * Fraction(2) ** p
    q = int(math.copysign(1, t)) * math.floor(abs(t) + Fraction(1, 2))
    return Fraction(max(-128, min(127, q))) / Fraction(2) ** p


def exact_conv(of: Graph, name: str, x: dict[Any, Fraction], side: int, p: Any, pad: int) -> Any:
    node = of[name]
    weights, bias = np.asarray(of.value(node.inputs[1])), np.asarray(of.value(node.inputs[2]))
    out: dict[Any, Fraction] = {}
    last = side + 2 * pad - weights.shape[1] + 1
    for r, c, o in np.ndindex(last, last, len(weights)):
        total = exact_constant(float(bias[o]), p[node.inputs[2]])
        for kr, kc, i in np.ndindex(*weights.shape[1:]):
            w = exact_constant(float(weights[o, kr, kc, i]), p[node.inputs[1]])
            total += w * x.get((r + kr - pad, c + kc - pad, i), Fraction(0))
        if node.activation is Activation.RELU:
            total = max(total, Fraction(0))
        out[r, c, o] = exact_rounded(total, p[name])
    return out


@pytest.mark.parametrize("rule", ["non-overflow", "min-mse"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_integer_network_is_the_rounded_network_in_fractions(rule: str, kernel: int) -> None:
    """Every layer's integers times 2^-p are what fractions give, rounded once per layer."""
    of = network_of(kernel)
    p = calibrate(of, batch(of), rule, 4)
    network = lower(of, p)
    factor = {2: Fraction(1, 4), 3: Fraction(7, 64)}[kernel]
    for image in (*batch(of, 2, 1.0, 9), *batch(of, 1, 30.0, 9)):  # the last one saturates
        x = {
            index: exact_rounded(Fraction(float(value)), p["x"])
            for index, value in np.ndenumerate(image)
        }
        first = exact_conv(of, "c1", x, 6, p, 1)
        pooled = {}
        for r, c, o in np.ndindex(6 // kernel, 6 // kernel, 3):
            window = (
                first[r * kernel + i, c * kernel + j, o] for i, j in np.ndindex(kernel, kernel)
            )
            pooled[r, c, o] = exact_rounded(sum(window, Fraction(0)) * factor, p["pool"])
        wanted = [first, pooled, exact_conv(of, "c2", pooled, 6 // kernel, p, 0)]
        layers = integer.run_layers(network, integer_inputs(network, image[np.newaxis]))
        for found, exact, layer in zip(layers, wanted, network.layers, strict=True):
            for index, q in np.ndenumerate(found[0]):
                assert Fraction(int(q)) / Fraction(2) ** layer.fix_point == exact[index]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(-12, 12), st.integers(-12, 12), st.integers(-9, 9))
def test_shifts_stay_within_the_limits_for_any_scales(
    seed: int, first: int, second: int, bias: int
) -> None:
    of = network_of(seed=seed)
    scales = {"w1": first, "w2": second, "b1": bias, "b2": bias}
    nodes = [
        node if node.value is None else constant(
            node.name, np.ldexp(np.asarray(node.value, np.float32), scales[node.name])
        )
        for node in of.nodes.values()
    ]  # fmt: skip
    scaled = Graph.of(nodes, of.input, of.output)
    try:
        p = calibrate(scaled, batch(of), "min-mse", 6)
    except InputError:
        return  # a bias so negative that ReLU leaves nothing
    for node in nodes:
        if node.op is Op.CONV:
            x, w, b = (p[name] for name in node.inputs)
            assert 0 <= w + x - p[node.name] <= 16
            assert 0 <= w + x - b + max(b - w - x, 0) <= 16
            assert w + x - b >= w + x - p[node.name] - 16


def test_constants_follow_the_rule_where_no_limit_moves_them() -> None:
    of = network_of()
    p = calibrate(of, batch(of), "non-overflow", 4)
    for name in ("w1", "w2", "b1", "b2"):
        largest = float(np.abs(np.asarray(of.value(name))).max())
        assert 2.0 ** p[name] * largest <= 128.5
        assert 2.0 ** (p[name] + 1) * largest > 127.5


def test_a_batch_votes_by_itself_and_the_majority_wins() -> None:
    of = network_of()
    quiet, loud = batch(of, 4, 0.1), batch(of, 4, 20.0)
    alone = [calibrate(of, each, "non-overflow", 4) for each in (quiet, loud)]
    assert alone[0]["x"] != alone[1]["x"]
    for inputs, winner in (((quiet, loud, quiet), alone[0]), ((loud, loud, quiet), alone[1])):
        found = calibrate(of, np.concatenate(inputs), "non-overflow", 4)
        assert {k: found[k] for k in ("x", "c1", "pool")} == {
            k: winner[k] for k in ("x", "c1", "pool")
        }
    tie = calibrate(of, np.concatenate([quiet, loud]), "non-overflow", 4)
    assert tie["x"] == min(alone[0]["x"], alone[1]["x"])


def pointwise(x: str, name: str, *rows: tuple[float, ...]) -> list[Node]:
    """A 1×1 convolution of weights [out][in]."""
    kernel = np.array(rows, np.float32)[:, np.newaxis, np.newaxis]
    return [constant(f"w_{name}", kernel), conv(name, x, f"w_{name}", pads=NONE)]


def test_activations_are_measured_behind_the_quantized_input() -> None:
    """63.6 is 64 at fix point 0; 127.5 / 64 is just below 2, 127.5 / 63.6 above."""
    of = complete_layers(graph(*pointwise("x", "a", (1.0,)), shape=(1, 1, 1)))
    x = np.full((1, 1, 1, 1), 63.6, np.float32)
    assert calibrate(of, x, "non-overflow", 1, input_fix_point=0)["a"] == 0


def test_activations_are_measured_behind_quantized_activations() -> None:
    """Beside a 100, at fix point 0, a half is 1 for the layer that follows."""
    halve, pick = pointwise("x", "a", (1, 0), (0, 0.5)), pointwise("a", "b", (0, 1))
    of = complete_layers(graph(*halve, *pick, shape=(1, 1, 2)))
    x = np.array([100, 1], np.float32).reshape(1, 1, 1, 2)
    p = calibrate(of, x, "non-overflow", 1, input_fix_point=0)
    assert (p["a"], p["b"]) == (0, 6)  # of 0.5 it would be 7


def test_activations_are_measured_behind_quantized_weights() -> None:
    """Beside a weight of 2, at fix point 5, a weight of 0.99 is 1."""
    of = complete_layers(graph(*pointwise("x", "a", (0.99, 2.0)), shape=(1, 1, 2)))
    x = np.array([64, 0], np.float32).reshape(1, 1, 1, 2)
    assert calibrate(of, x, "non-overflow", 1, input_fix_point=0)["a"] == 0  # 64, not 63.36


def test_a_pool_is_measured_with_the_factor_of_the_dpu() -> None:
    """A 3×3 mean of 64 is 64 · 63/64 = 63 there."""
    pool = Node("pool", Op.AVG_POOL, ("x",), {"kernel": (3, 3), "strides": (3, 3)})
    x = np.full((1, 3, 3, 1), 64, np.float32)
    p = calibrate(graph(pool, shape=(3, 3, 1)), x, "non-overflow", 1, input_fix_point=0)
    assert p["pool"] == 1


def test_an_activation_that_is_never_alive_is_reported() -> None:
    of = graph(
        const("w", 3, 3, 3, 3), constant("b", np.full(3, -100, np.float32)),
        conv("c", "x", "w", "b", activation="relu"),
    )  # fmt: skip
    with pytest.raises(InputError, match="'c' is zero for every calibration input"):
        calibrate(of, batch(of), "min-mse", 4)


def test_a_batch_of_nothing_does_not_vote() -> None:
    of = network_of()
    mixed = np.concatenate([np.zeros((8, 6, 6, 2), np.float32), batch(of, 4)])
    assert calibrate(of, mixed, "min-mse", 4)["x"] == calibrate(of, batch(of, 4), "min-mse", 4)["x"]


def test_lowering_keeps_strides_padding_and_the_pool_factor() -> None:
    of = network_of(3)
    first, pool, last = lower(of, calibrate(of, batch(of), "min-mse", 4)).layers
    assert isinstance(first, Conv)
    assert (first.pad, first.activation, first.source) == ((1, 1, 1, 1), Activation.RELU, -1)
    assert isinstance(pool, AvgPool)
    assert (pool.multiplier, pool.shift) == (7, 6 + first.fix_point - pool.fix_point)
    assert isinstance(last, Conv)
    assert last.activation is Activation.NONE


@pytest.mark.parametrize("p", [65, -65])
def test_a_fix_point_out_of_range_is_refused(p: int) -> None:
    of = network_of()
    positions = calibrate(of, batch(of), "min-mse", 4)
    with pytest.raises(GraphError, match=f"'w1': fix point {p} is outside"):
        lower(of, positions | {"w1": p})


def test_shifts_that_do_not_fit_are_refused() -> None:
    of = network_of()
    positions = calibrate(of, batch(of), "min-mse", 4)
    with pytest.raises(GraphError, match="does not fit the integer format: c1: shifts"):
        lower(of, positions | {"w1": positions["w1"] + 20})


def pool(name: str, x: str, op: Op, **attributes: Any) -> Node:
    return Node(name, op, (x,), {"kernel": (2, 2), "strides": (2, 2)} | attributes)


def branched(seed: int = 0) -> Graph:
    """Every operator that remains: depthwise, pools, ADD and CONCAT, all activations."""
    rng = np.random.default_rng(seed)

    def constants(name: str, out: int, kernel: int, channels: int) -> list[Node]:
        weights = rng.normal(0, 0.4, (out, kernel, kernel, channels)).astype(np.float32)
        bias = rng.normal(0, 0.3, out).astype(np.float32)
        return [constant(f"w_{name}", weights), constant(f"b_{name}", bias)]

    def layer(name: str, x: str, **attributes: Any) -> Node:
        return conv(name, x, f"w_{name}", f"b_{name}", **attributes)

    six, leaky = {"activation": "relu6"}, {"activation": "leaky_relu"}
    return graph(
        *constants("a", 4, 3, 2), layer("a", "x", **six),
        pool("m", "a", Op.MAX_POOL, kernel=(3, 3), pads=(0, 1, 1, 0)),
        *constants("d", 8, 3, 1), layer("d", "m", depthwise=True, **leaky),
        *constants("e", 8, 1, 4), layer("e", "m", pads=NONE),
        Node("s", Op.ADD, ("d", "e"), leaky),
        Node("r", Op.ADD, ("s", "s"), six),
        Node("j", Op.CONCAT, ("r", "e", "m"), {"axis": 3}),
        pool("v", "j", Op.AVG_POOL, kernel=(3, 3)),
        *constants("f", 5, 1, 20), layer("f", "v", pads=NONE),
        shape=(6, 6, 2),
    )  # fmt: skip


def rounded_network(of: Graph, p: dict[str, int], x: Any) -> list[Any]:
    """The graph in float64, every tensor rounded once at its position: what the DPU's rules say."""
    found: dict[str, Any] = {}
    for node in of.nodes.values():
        if node.value is not None:
            wide = np.asarray(node.value, np.float64)
            found[node.name] = quantized(wide, p[node.name], half_away_from_zero)
        elif node.op is Op.INPUT:
            found[node.name] = quantized(x.astype(np.float64), p[node.name], half_up)
        else:
            y = np.asarray(execute.evaluate(node, [found[name] for name in node.inputs]))
            if node.op is Op.AVG_POOL:
                y = y * 9 * 7 / 64
            found[node.name] = quantized(y, p[node.name], half_up)
    return [found[node.name] for node in of.nodes.values() if node.op in LAYER_OPS]


@pytest.mark.parametrize("rule", ["non-overflow", "min-mse"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_operator_becomes_its_rounded_self(rule: str, seed: int) -> None:
    of = branched(seed)
    p = calibrate(of, batch(of), rule, 4)
    for node in of.nodes.values():  # keep to biases that the accumulators can hold exactly
        if node.op is Op.CONV:
            p[node.inputs[2]] = min(p[node.inputs[2]], p[node.inputs[0]] + p[node.inputs[1]])
    network = lower(of, p)
    x = np.concatenate([batch(of, 6, 1.0, 9), batch(of, 2, 30.0, 9)])
    layers = integer.run_layers(network, integer_inputs(network, x))
    for found, wanted, layer in zip(layers, rounded_network(of, p, x), network.layers, strict=True):
        assert np.array_equal(np.ldexp(found.astype(float), -layer.fix_point), wanted), layer.name


def test_concatenated_tensors_share_the_smallest_position() -> None:
    of = branched()
    free = calibrate(of, batch(of), "min-mse", 4)
    assert len({free[name] for name in ("r", "e", "m", "j")}) == 1
    moved = limited(of, free | {"e": 2, "m": 3})
    assert {moved[name] for name in ("r", "e", "m", "j")} == {min(2, 3, free["j"])}


def test_a_concatenated_input_of_known_position_decides() -> None:
    of = graph(
        const("w", 2, 3, 3, 3), const("b", 2), conv("c", "x", "w", "b"),
        Node("j", Op.CONCAT, ("c", "x"), {"axis": 3}),
    )  # fmt: skip
    p = calibrate(of, batch(of, scale=9.0), "min-mse", 4, input_fix_point=7)
    assert (p["x"], p["c"], p["j"]) == (7, 7, 7)


def test_align_pool_gives_a_pools_input_the_position_of_its_output() -> None:
    of = branched(3)
    p = calibrate(of, batch(of), "min-mse", 4)
    aligned = limited(of, p | {"a": 1, "v": 3}, align_pool=True)
    assert aligned["a"] == aligned["m"]
    assert aligned["j"] == aligned["v"] == 3


def test_int32_logits_are_the_last_layers_sums() -> None:
    of = network_of()
    p = calibrate(of, batch(of), "min-mse", 4)
    narrow, wide = lower(of, p), lower(of, p, int32_logits=True)
    assert wide.int32_logits
    last = narrow.layers[-1]
    assert isinstance(last, Conv)
    x = integer_inputs(wide, batch(of))
    rounded = integer.requantize(integer.run(wide, x).astype(np.int64), last.shift_cut)
    assert np.array_equal(rounded, integer.run(narrow, x))
    assert wide.logits_fix_point == p["pool"] + p["w2"]
    relu = graph(W1, const("b", 2), conv("r", "x", "w1", "b", activation="relu"))
    with pytest.raises(GraphError, match=r"'r'.*int32 logits need a convolution or dense layer"):
        lower(relu, dict.fromkeys(relu.nodes, 4), int32_logits=True)


def test_both_readings_of_a_bias_finer_than_its_sums() -> None:
    """0.3125 at fix point 4 is 5; at the sums' fix point 3, 3 on a board and 2 as evaluated."""
    layer = conv("c", "x", "w", "b", pads=NONE)
    ones, bias = np.ones((1, 1, 1, 1), np.float32), np.array([0.3125], np.float32)
    of = graph(constant("w", ones), constant("b", bias), layer, shape=(1, 1, 1))
    p = {"x": 2, "w": 1, "b": 4, "c": 2}
    board, evaluated = (lower(of, p, evaluation_bias=e).layers[0] for e in (False, True))
    assert isinstance(board, Conv)
    assert isinstance(evaluated, Conv)
    assert (board.bias.tolist(), evaluated.bias.tolist()) == ([3], [2])
    assert board.shift_bias == evaluated.shift_bias == 0


def test_operators_that_remain_are_named() -> None:
    two = graph(const("w", 3, 3, 3, 3), conv("a"), Node("sum", Op.SUB, ("a", "x")))
    with pytest.raises(GraphError, match="'sum': operator Sub cannot be quantized"):
        check_supported(two)
    plus = graph(const("w", 3, 4, 4, 3), Node("sum", Op.ADD, ("x", "w")), shape=(4, 4, 3))
    with pytest.raises(GraphError, match="'sum': operator Add of a constant"):
        check_supported(plus)
    rows = graph(Node("j", Op.CONCAT, ("x", "x"), {"axis": 1}))
    with pytest.raises(GraphError, match="'j': concatenates axis 1"):
        check_supported(rows)
