"""Frozen graphs of the project that this one grew from, as others wrote them: all can be quantized.

The reference is TensorFlow, which runs the graph with everything that training left in it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import integer
from quantize import execute
from quantize.__main__ import main
from quantize.artifacts import read_quantization
from quantize.import_graph import import_graph
from quantize.ir import Op
from quantize.lower import check_supported
from quantize.methods import integer_inputs
from quantize.passes import simplify
from tests.quantize.conftest import Cli
from tests.quantize.tf1_discriminators import LOGITS, Style, write

STYLES = {
    "plain": Style(),
    "keep_prob, leaky as Mul and Maximum": Style(
        norm="FusedBatchNorm", activation="leaky", dropout="keep_prob", pool="mean"
    ),
    "is_training, 62 classes": Style(
        norm="cond", dropout="cond", classes=62, pool="squeeze", ends=("Softmax", "ArgMax")
    ),
    "is_training is true by default": Style(norm="cond", dropout="cond", default=True),
    "color 28×28, norm behind, computed flatten": Style(
        size=(28, 28, 3), norm="V3", norm_last=True, activation="LeakyRelu", flatten="shape",
        pool="none", dropout="constant", ends=("ArgMax",),
    ),
    "norm in pieces, dense as a convolution": Style(
        size=(48, 40, 3), norm="decomposed", activation="relu6", dense="conv", pool="avg_pool",
        dropout="cond", ends=(),
    ),
    "24×24, two classes": Style(size=(24, 24, 1), classes=2, norm="FusedBatchNorm", norm_last=True),
}  # fmt: skip


def images(style: Style, n: int = 48) -> Any:
    rng = np.random.default_rng(5)
    height, width, channels = style.size
    smooth = rng.normal(0, 0.5, (n, height // 4, width // 4, channels)).repeat(4, 1).repeat(4, 2)
    noisy = smooth + rng.normal(0, 0.1, smooth.shape)
    return np.clip(noisy, -1, 0.99).astype(np.float32)


@pytest.mark.parametrize("name", STYLES)
def test_every_style_is_imported_and_quantized(name: str, tmp_path: Path, run_cli: Cli) -> None:
    style, path = STYLES[name], tmp_path / "frozen.pb"
    run, x = write(path, style), images(STYLES[name])
    wanted = run(x)
    source = import_graph(path)  # without options: input and logits are found by their names
    assert source.output == LOGITS
    graph = simplify(source)
    check_supported(graph)
    assert set(graph.operators()) <= {Op.INPUT, Op.CONV, Op.AVG_POOL}
    found = execute.run(graph, x).reshape(wanted.shape)
    # A leaky ReLU of 0.1 is run at the DPU's 26/256.
    near = (
        {"rtol": 0.02, "atol": 0.05}
        if style.activation == "leaky"
        else {"rtol": 1e-4, "atol": 1e-4}
    )
    np.testing.assert_allclose(found, wanted, **near)

    calibration = tmp_path / "x.npz"
    np.savez(calibration, images=x)
    shared = (
        "run", path, "--calibration", calibration, "--calib-batch-size", "16",
        "--input-node", "input_real", "--output-node", LOGITS,
    )  # fmt: skip
    for method in ("min-mse", "best"):
        folder = tmp_path / method
        code, _, err = run_cli(main, *shared, "--method", method, "--output", folder)
        assert code == 0, err
        quantization = read_quantization(folder)
        network = quantization.network
        logits = integer.run(network, integer_inputs(network, x)).astype(np.float64)
        values = np.ldexp(logits, -network.logits_fix_point) / quantization.logit_scale
        noise = np.square(values - found).mean() / found.var()
        assert noise < (0.05 if method == "min-mse" else 0.02)
    table = json.loads((tmp_path / "min-mse" / "quantization.json").read_text())
    names = table["tensors"]
    assert names["discriminator/conv2d/kernel"]["kind"] == "weight"
    assert names["discriminator/dense/bias"]["kind"] == "bias"
    assert names["input_real"]["kind"] == "input"


def test_a_steep_leaky_relu_is_refused_and_checked(tmp_path: Path, run_cli: Cli) -> None:
    """The DPU knows one slope; the vendor's quantizer leaves others to the CPU."""
    import tensorflow as tf

    path = tmp_path / "frozen.pb"
    write(path, Style(activation="LeakyRelu"))
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    for node in definition.node:
        if node.op == "LeakyRelu":
            node.attr["alpha"].f = 0.2
    path.write_bytes(definition.SerializeToString())
    calibration = tmp_path / "x.npz"
    np.savez(calibration, images=images(Style()))
    code, _, err = run_cli(main, "run", path, "--calibration", calibration, "--output", tmp_path)
    assert code == 2
    assert "'discriminator/LeakyRelu': a leaky ReLU of slope 0.2 cannot be quantized" in err
    code, out, err = run_cli(main, "check", path, "--target", "B4096")
    assert code == 2
    assert out.count("a leaky ReLU of slope 0.2 cannot be quantized") == 5
    assert len(err.strip().splitlines()) == 1
