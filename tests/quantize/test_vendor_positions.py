"""The vendor's fix points beside ours, from graphs that a vendor's quantizer might have written."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import graph_def
from quantize.__main__ import main
from quantize.artifacts import read_quantization
from quantize.vendor.positions import our_positions, vendor_positions
from tests.quantize.conftest import Cli

GRAPHS = ("deploy_model.pb", "quantize_eval_model.pb")
CONV = "discriminator/conv2d_1/Conv2D"


@pytest.fixture
def vendor(quantized_for_dpu: Path, tmp_path: Path) -> Path:
    """A folder where the vendor's quantizer has found what ours did."""
    for name in GRAPHS:
        shutil.copy(quantized_for_dpu / name, tmp_path / name)
    return tmp_path


def change(path: Path, name: str, edit: Any) -> None:
    graph = graph_def.read(path)
    (node,) = (node for node in graph.node if node.name == name)
    edit(node)
    path.write_bytes(graph.SerializeToString())


def test_equal_graphs(vendor: Path, quantized_for_dpu: Path, run_cli: Cli) -> None:
    ours = our_positions(read_quantization(quantized_for_dpu))
    assert len(ours) == 1 + 7 * 3 + 1  # input, seven products, one mean
    for name in GRAPHS:
        assert vendor_positions(vendor / name) == ours
    code, out, _ = run_cli(main, "verify", quantized_for_dpu, "--vendor", vendor)
    assert code == 0
    for name in GRAPHS:
        assert f"ok  {name} of the vendor: all 23 fix points are ours" in out


def test_differences_are_a_table(vendor: Path, quantized_for_dpu: Path, run_cli: Cli) -> None:
    def other_bias(node: Any) -> None:
        node.attr["bpos"].list.i[1] += 2

    def other_weights(node: Any) -> None:
        node.attr["quantize_pos"].i -= 1

    ours = our_positions(read_quantization(quantized_for_dpu))
    change(vendor / GRAPHS[0], CONV, other_bias)
    names = [node.name for node in graph_def.read(vendor / GRAPHS[1]).node]
    fixed = next(name for name in names if "conv2d_1/kernel" in name and "wquant" in name)
    change(vendor / GRAPHS[1], fixed, other_weights)
    code, out, _ = run_cli(main, "verify", quantized_for_dpu, "--vendor", vendor)
    assert code == 1
    assert out.count("1 of 23 fix points") == 2
    rows = [line.split() for line in out.splitlines() if line.startswith(CONV)]
    bias, weights = ours[CONV, "bias"], ours[CONV, "weights"]
    assert rows == [
        [CONV, "bias", str(bias), str(bias + 2)],
        [CONV, "weights", str(weights), str(weights - 1)],
    ]


def test_missing_layers_are_differences(
    vendor: Path, quantized_for_dpu: Path, run_cli: Cli
) -> None:
    def unquantized(node: Any) -> None:
        del node.attr["opos"]

    change(vendor / GRAPHS[0], CONV, unquantized)
    code, out, _ = run_cli(main, "verify", quantized_for_dpu, "--vendor", vendor)
    assert code == 1
    assert [line.split()[-1] for line in out.splitlines() if line.startswith(CONV)] == ["none"]


def test_the_folder_vendor_is_compared_by_itself(
    vendor: Path, quantized_for_dpu: Path, tmp_path: Path, run_cli: Cli
) -> None:
    folder = tmp_path / "q"
    shutil.copytree(quantized_for_dpu, folder)
    assert "vendor" not in run_cli(main, "verify", folder)[1]
    (folder / "vendor").mkdir()
    code, _, err = run_cli(main, "verify", folder)
    assert code == 2
    assert "vendor: holds no deploy_model.pb and no quantize_eval_model.pb" in err
    shutil.copy(vendor / GRAPHS[1], folder / "vendor")
    code, out, _ = run_cli(main, "verify", folder)
    assert code == 0
    assert "all 23 fix points are ours" in out


def test_graphs_without_fix_points(vendor: Path, quantized_for_dpu: Path, run_cli: Cli) -> None:
    frozen = Path(__file__).parents[2] / "models/scene62/frozen_model.pb"
    shutil.copy(frozen, vendor / GRAPHS[0])
    code, _, err = run_cli(main, "verify", quantized_for_dpu, "--vendor", vendor)
    assert code == 2
    assert "has no fix points" in err


def test_a_kernel_of_other_integers_does_not_get_into_a_bundle(
    vendor: Path, quantized_for_dpu: Path, tmp_path: Path, run_cli: Cli
) -> None:
    line = ("compile", "--quantized", quantized_for_dpu, "--output", tmp_path / "b.egb",
            "--board", "zedboard", "--vendor", vendor)  # fmt: skip
    assert run_cli(main, *line)[0] == 0

    def one_weight(node: Any) -> None:
        tensor = node.attr["weights"].tensor
        values = np.frombuffer(tensor.tensor_content, np.float32).copy()
        at = np.flatnonzero(values)[0]  # nearer to zero by one
        values[at] -= np.sign(values[at]) * 2.0 ** -node.attr["wpos"].list.i[1]
        tensor.tensor_content = values.tobytes()

    change(vendor / GRAPHS[0], CONV, one_weight)
    code, _, err = run_cli(main, *line)
    assert code == 1
    assert f"the weights of {CONV} are other integers than ours" in err

    def other_output(node: Any) -> None:
        node.attr["opos"].list.i[1] += 1

    change(vendor / GRAPHS[0], CONV, other_output)
    code, _, err = run_cli(main, *line)
    assert code == 1
    assert f"1 of 23 fix points are not ours, first the output of {CONV}" in err
    assert "ROUTE=ours" in err
