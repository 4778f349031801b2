"""The core in simulation against the integer reference: random networks, corners, pauses."""

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.core_model import CYCLES, CoreModel
from edge_runtime.errors import GraphError
from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork
from quantize.core.compiler import CompiledCore, compile_core
from quantize.core.target import CoreTarget
from tests.core.conftest import SINGLE, SMALL, build_model
from tests.core_networks import chain, gentle, images


def check(core: CoreModel, target: CoreTarget, seed: int, pause: int) -> CompiledCore | None:
    """Run a random network; nothing where the core cannot run it."""
    rng = np.random.default_rng(seed)
    network = chain(rng)
    inputs = images(rng, network, 3)
    try:
        compiled = compile_core(network, target)
    except GraphError:
        return None
    core.pauses(seed + 1, pause)
    found = core.classify(compiled.image(), inputs)
    np.testing.assert_array_equal(found, integer.run(network, inputs))
    return compiled


def test_random_networks(small):
    ran = [check(small, SMALL, seed, 0) for seed in range(30)]
    compiled = [c for c in ran if c is not None]
    assert len(compiled) >= 20
    # Both ways of weights, folded and whole tiles, several tiles of a layer, pools, colors.
    tiles = [tile.instruction for c in compiled for tile in c.tiles]
    assert {c.program.resident for c in compiled} == {0, 1}
    assert {t.fold for t in tiles} == {t.pool for t in tiles} == {t.raw for t in tiles} == {0, 1}
    assert max(tile.first_channel for c in compiled for tile in c.tiles) > 0
    assert max(t.k_step for t in tiles if t.from_image) > 1


@pytest.mark.parametrize("pause", [64, 200])
def test_random_back_pressure_changes_no_logit(small, pause):
    ran = [check(small, SMALL, seed, pause) for seed in range(100, 110)]
    assert sum(c is not None for c in ran) >= 5


def test_one_product_per_multiplier():
    core = CoreModel(build_model(SINGLE))
    ran = [check(core, SINGLE, seed, 16) for seed in range(200, 215)]
    assert sum(c is not None for c in ran) >= 8


def test_predicted_cycles_within_one_percent(small):
    worst = 0.0
    for seed in range(300, 320):
        rng = np.random.default_rng(seed)
        network = chain(rng)
        try:
            compiled = compile_core(network, SMALL)
        except GraphError:
            continue
        if not compiled.program.resident:  # the time between images is the weights'
            continue
        small.classify(compiled.image(), images(rng, network, 2))
        simulated = small.read(CYCLES)
        worst = max(worst, abs(compiled.image_cycles / simulated - 1))
    assert 0 < worst <= 0.01


def test_sums_that_lose_nothing(small):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        network = gentle(rng)
        inputs = images(rng, network, 4) // 8
        found = small.classify(compile_core(network, SMALL).image(), inputs)
        np.testing.assert_array_equal(found, integer.run(network, inputs))


@pytest.mark.parametrize("pauses", [0, 100])
def test_pools_alone(small, pauses):
    """A network without any weights: none are waited for."""
    pools = (
        AvgPool("a", -1, (2, 2), (2, 2), 1, 2, 3),
        AvgPool("b", 0, (4, 4), (4, 4), 21, 5, 3),
    )
    network = IntegerNetwork((8, 8, 5), 7, pools)
    inputs = np.random.default_rng(1).integers(-128, 128, (3, 8, 8, 5)).astype(np.int8)
    small.pauses(1, pauses)
    found = small.classify(compile_core(network, SMALL).image(), inputs)
    np.testing.assert_array_equal(found, integer.run(network, inputs))


def corner_network(weight: int, bias: int, shift: int, shift_bias: int) -> IntegerNetwork:
    """One convolution whose sums are as large as they can be."""
    weights = np.full((40, 4, 4, 15), weight, np.int8)
    biases = np.full(40, bias, np.int8)
    return IntegerNetwork(
        (4, 4, 15),
        7,
        (
            Conv(
                "all",
                -1,
                weights,
                biases,
                (1, 1),
                (0, 0, 0, 0),
                Activation.NONE,
                shift,
                shift_bias,
                0,
            ),
        ),
    )


@pytest.mark.parametrize("weight", [-128, 127])
@pytest.mark.parametrize("bias", [-128, 127])
@pytest.mark.parametrize(("shift", "shift_bias"), [(0, 0), (0, 16), (16, 16), (15, 1), (1, 0)])
def test_largest_sums(small, weight, bias, shift, shift_bias):
    network = corner_network(weight, bias, shift, shift_bias)
    inputs = np.stack([np.full((4, 4, 15), value, np.int8) for value in (-128, 127, 0, 1, -1)])
    found = small.classify(compile_core(network, SMALL).image(), inputs)
    np.testing.assert_array_equal(found, integer.run(network, inputs))


def test_ties_round_up(small):
    """Sums of every remainder around zero: half goes up, also below zero."""
    weights = np.zeros((64, 1, 1, 1), np.int8)
    weights[:, 0, 0, 0] = np.arange(-32, 32)
    for shift in (1, 2, 3, 5):
        layer = Conv(
            "tie", -1, weights, np.zeros(64, np.int8), (1, 1), (0, 0, 0, 0), Activation.NONE,
            shift, 0, 0,
        )  # fmt: skip
        network = IntegerNetwork((1, 1, 1), 7, (layer,))
        inputs = np.array([[[[1]]], [[[-1]]], [[[3]]]], np.int8)
        found = small.classify(compile_core(network, SMALL).image(), inputs)
        np.testing.assert_array_equal(found, integer.run(network, inputs))
