"""The figures and the page about what quantization did to each layer."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import integer
from quantize import execute
from quantize.__main__ import main
from quantize.analysis import COUNT, analyze
from quantize.fix_points import half_up, quantized
from quantize.ir import Graph
from quantize.lower import layers_of
from quantize.methods import Options, Quantized, integer_inputs, quantize
from tests.quantize.conftest import Cli
from tests.quantize.test_best import chain, images
from tests.quantize.test_calibrate import batch, branched


@pytest.fixture(scope="module")
def result() -> Quantized:
    return quantize(chain(), images(100), Options("min-mse", 25))


def test_figures_are_what_they_say(result: Quantized) -> None:
    x = images(60, seed=3)
    found = analyze(result, x)
    assert found.count == 60
    outputs = list(integer.run_layers(result.network, integer_inputs(result.network, x)))
    exact = execute.values(result.source, x)
    names = [node.name for node in layers_of(result.source)]
    for layer, name, q, kept in zip(
        found.layers, names, outputs, result.network.layers, strict=True
    ):
        assert layer.saturated == pytest.approx(np.mean((q == 127) | (q == -128)))
        error = q * 2.0**-kept.fix_point - np.asarray(exact[name], np.float64)
        ratio = np.square(np.asarray(exact[name], np.float64)).mean() / np.square(error).mean()
        assert layer.snr_db == pytest.approx(10 * np.log10(ratio))
        assert sum(layer.before) == sum(layer.after) == q.size
        assert 0.5 < layer.agreement_alone <= 1


def test_a_layer_alone_costs_what_rounding_it_alone_does(result: Quantized) -> None:
    """On exact inputs, only the last layer's own constants and output are rounded."""
    x = images(40, seed=4)
    alone = analyze(result, x).layers[-1].agreement_alone
    graph, positions = result.source, result.positions
    values = {name: np.asarray(v, np.float32) for name, v in execute.values(graph, x).items()}
    node = graph["y"]
    weights, bias = (
        np.float32(np.round(np.asarray(graph.value(n), np.float64) * 2.0 ** positions[n]))
        * np.float32(2.0 ** -positions[n])
        for n in node.inputs[1:]
    )
    exact = execute.evaluate(node, [values[node.inputs[0]], weights, bias])
    rounded = quantized(np.asarray(exact, np.float32), positions["y"], half_up).reshape(40, -1)
    wanted = values["y"].reshape(40, -1).argmax(axis=1)
    assert alone == np.mean(rounded.argmax(axis=1) == wanted)


def test_the_worst_inputs_come_first(result: Quantized) -> None:
    worst = analyze(result, images(80, seed=5)).worst
    moved = [each.moved for each in worst]
    assert moved == sorted(moved, reverse=True)
    assert 0 < moved[0] <= 1


def test_branches_and_more_inputs_than_needed() -> None:
    of: Graph = branched()
    found = analyze(quantize(of, batch(of, 40), Options("min-mse", 10)), batch(of, COUNT + 50))
    assert found.count == COUNT
    assert len(found.layers) == 9


def test_the_page_is_one_file_with_every_layer(copy: Path, run_cli: Cli) -> None:
    text = (copy / "quantization.html").read_text("utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)  # nothing is fetched
    table = json.loads((copy / "quantization.json").read_text())
    for layer in table["layers"]:
        assert layer["name"] in text
        assert set(table["analysis"][layer["name"]]) == {
            "saturated",
            "snr_db",
            "agreement_alone",
            "cost_alone_points",
        }
    assert text.count("<svg") == len(table["layers"])
    assert text.count("data:image/png;base64,") == 10  # of the ten validation images
    code, out, _ = run_cli(main, "info", copy)
    assert code == 0
    assert "agreement alone" in out
    assert " dB" in out
