"""The standard QDQ model is near the integers: ties, frequent in means of four, go to even."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edge_runtime import integer
from quantize.calibrate import calibrate
from quantize.export_qdq import export_qdq
from quantize.lower import lower
from quantize.methods import integer_inputs
from tests.quantize.test_best import chain, images
from tests.quantize.test_calibrate import batch, branched


def run(model: bytes, x: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input_real": x})[0]


@pytest.mark.parametrize("head", [False, True])
def test_logits_are_near_the_integers(head: bool) -> None:
    of, x = chain(), images(100)
    network = lower(of, calibrate(of, x, "min-mse", 25), int32_logits=head)
    found = run(export_qdq(network), x) * 2.0**network.logits_fix_point
    wanted = integer.run(network, integer_inputs(network, x)).astype(float)
    steps = np.abs(found - wanted) * (1 if not head else 2.0 ** -(network.logits_fix_point - 4))
    assert np.mean(steps < 3.5) > 0.98
    assert np.mean(found.argmax(axis=1) == wanted.argmax(axis=1)) > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_every_operator_is_there(seed: int) -> None:
    of = branched(seed)
    x = batch(of, 50, seed=11)
    network = lower(of, calibrate(of, x, "min-mse", 10))
    model = export_qdq(network)
    found = run(model, x) * 2.0**network.logits_fix_point
    wanted = integer.run(network, integer_inputs(network, x))
    assert np.mean(np.abs(found - wanted) < 3.5) > 0.98
    operators = {node.op_type for node in onnx.load_from_string(model).graph.node}
    assert operators >= {"Conv", "MaxPool", "AveragePool", "Add", "Concat", "LeakyRelu", "Clip"}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
