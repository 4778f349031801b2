"""What the chosen golden vectors are good for."""

import numpy as np

from edge_runtime import integer
from quantize import golden
from tests.conftest import branched_network, toy_network


def test_the_choice_ties_saturates_and_goes_negative():
    network = toy_network(10)
    real = np.random.default_rng(0).integers(-60, 60, (40, 32, 32, 1)).astype(np.int8)
    chosen = golden.choose(network, real, seed=1)
    assert 6 <= len(chosen) <= 9
    assert chosen.dtype == np.int8
    logits = np.sort(integer.run(network, chosen).astype(int), axis=1)
    assert (logits[:, -1] == logits[:, -2]).any()
    assert logits.min() < 0
    rows = {image.tobytes() for image in real}
    assert sum(image.tobytes() in rows for image in chosen) >= golden.REAL_VECTORS
    layers = list(integer.run_layers(network, chosen))
    assert max((np.abs(y.astype(int)) >= 127).mean() for y in layers) > 0.01


def test_few_real_inputs_and_int32_logits_are_enough():
    real = np.zeros((1, 32, 32, 1), np.int8)
    chosen = golden.choose(branched_network(5), real, seed=1)
    assert len(chosen) >= 5
    assert np.array_equal(chosen, golden.choose(branched_network(5), real, seed=1))
