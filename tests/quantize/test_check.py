"""`check`: verdicts, kernels, cost and time, against hand-made numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import SettingsError
from quantize import check, dpu
from quantize.__main__ import main
from quantize.execute import shapes
from quantize.ir import Graph, Node, Op, constant
from tests.quantize.conftest import Cli
from tests.quantize.tiny_graphs import conv, graph


def verdict(of: Graph, target: str = "B1152") -> check.Verdict:
    """The verdict on a graph's last node."""
    maps = {name: check._map_shape(shape) for name, shape in shapes(of).items()}
    return check._verdict(of, of[of.output], maps, dpu.target_named(target))


def layer(out: int, kernel: int, channels: int, size: int, **attributes: Any) -> Graph:
    depth = 1 if attributes.get("depthwise") else channels
    nodes = [
        constant("w", np.zeros((out, kernel, kernel, depth), np.float32)),
        constant("b", np.zeros(out, np.float32)),
    ]
    return graph(*nodes, conv("c", "x", "w", "b", **attributes), shape=(size, size, channels))


def test_the_discriminator_is_one_kernel(onnx_model: Path, run_cli: Cli) -> None:
    code, out, _ = run_cli(main, "check", onnx_model, "--target", "B1152")
    assert code == 0
    assert "B1152: 1 DPU kernel, " in out
    assert "verdict: one DPU kernel holds it" in out
    report = check.check(onnx_model, "b4096")
    assert report.kernels == 1
    assert [v.where for v in report.verdicts] == ["DPU"] * 8
    # 16²·9·6 + 8²·54·6 + 4²·54·6 + 4²·54·8 + 4²·72·8 + 2²·72·8 + 8·5 multiply-adds
    assert sum(v.macs for v in report.verdicts) == 13824 + 20736 + 5184 + 6912 + 9216 + 2304 + 40


def test_a_softmax_is_named_and_left_to_the_cpu(onnx_model: Path) -> None:
    report = check.check(onnx_model, "B1152", None, "discriminator/out")
    assert (report.verdicts[-1].name, report.verdicts[-1].where) == ("discriminator/out", "CPU")
    assert report.kernels == 1
    assert report.fits


def test_cycles_are_groups_of_pixels_and_channels() -> None:
    """14×14×30 outputs, 25 inputs, 3×3 on B1152: 14·4 groups of pixels, 3 of inputs and outputs."""
    found = verdict(layer(30, 3, 25, 14))
    assert found.cycles == 14 * 4 * 3 * 3 * 9
    assert found.macs == 14 * 14 * 30 * 25 * 9
    assert found.weight_bytes == 30 * 25 * 9 + 30
    deep = verdict(layer(30, 3, 30, 14, depthwise=True))
    assert deep.cycles == 14 * 4 * 3 * 9
    assert dpu.target_named("B4096").macs_per_cycle == 2048


def pool(op: Op, kernel: tuple[int, int], size: int) -> Graph:
    attributes = {"kernel": kernel, "strides": (2, 2)}
    return graph(Node("p", op, ("x",), attributes), shape=(size, size, 1))


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (layer(4, 17, 2, 20, pads=(0, 0, 0, 0)), "kernel 17×17 is over 16"),
        (layer(4, 1, 2, 20, strides=(9, 9), pads=(0, 0, 0, 0)), "stride 9 is over 8"),
        (layer(4, 2, 2, 8, pads=(2, 0, 0, 0)), "larger than its kernel"),
        (layer(2, 16, 200, 16, pads=(0, 0, 0, 0)), "needs 4352 rows of weights, over 2048"),
        (layer(3100, 1, 1, 1, pads=(0, 0, 0, 0)), "3100 outputs are over 3072"),
        (layer(8, 3, 4, 8, depthwise=True), "multiplies channels"),
        (layer(4, 3, 4, 8, activation="leaky_relu"), "B1152 build has ReLU and ReLU6 only"),
        (pool(Op.AVG_POOL, (9, 9), 9), "averages squares of 2 to 8"),
        (pool(Op.AVG_POOL, (2, 4), 4), "an average over 2×4"),
        (pool(Op.MAX_POOL, (9, 2), 9), "a maximum over 9×2, over 8"),
        (graph(Node("r", Op.LEAKY_RELU, ("x",), {"alpha": 0.1})), "directly behind a convolution"),
        (graph(Node("t", Op.TRANSPOSE, ("x",), {"perm": (0, 2, 1, 3)})), "restructure"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_what_to_change(of: Graph, message: str) -> None:
    found = verdict(of)
    assert found.where == "unsupported"
    assert message in found.reason


def test_what_fits_a_larger_dpu() -> None:
    leaky = layer(4, 3, 4, 8, activation="leaky_relu")
    assert verdict(leaky, "B4096").where == "DPU"
    assert verdict(layer(3100, 1, 1, 1, pads=(0, 0, 0, 0)), "B4096").where == "DPU"
    both = graph(Node("s", Op.ADD, ("x", "x")))
    assert verdict(both).where == "DPU"
    joined = graph(Node("j", Op.CONCAT, ("x", "x"), {"axis": 3}))
    assert verdict(joined).where == "DPU"


def test_a_cpu_operator_in_the_middle_makes_two_kernels() -> None:
    def made(*places: str) -> check.Report:
        rows = [check.Verdict(str(i), "Conv2D", (1, 1, 1), where) for i, where in enumerate(places)]
        return check.Report(Path("m"), dpu.target_named("B512"), rows, 0)

    assert made("DPU", "DPU", "unsupported", "DPU").kernels == 2
    assert made("unsupported").kernels == 0
    assert not made("DPU", "unsupported").fits


def test_unfit_networks_end_with_one(tmp_path: Path, run_cli: Cli) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("LeakyRelu", ["input_real"], ["y"], alpha=0.1)
    model = helper.make_model(
        helper.make_graph(
            [node], "g",
            [helper.make_tensor_value_info("input_real", TensorProto.FLOAT, ["N", 4, 4, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
    )  # fmt: skip
    onnx.save(model, str(tmp_path / "m.onnx"))
    code, out, _ = run_cli(main, "check", tmp_path / "m.onnx")
    assert code == 1
    assert "y (LeakyRelu): unsupported; put it directly behind" in out
    assert "verdict: not one DPU kernel" in out


def test_unknown_targets_are_refused(onnx_model: Path, run_cli: Cli) -> None:
    with pytest.raises(SettingsError, match="no target 'B2'; there are B512, B800"):
        dpu.target_named("B2")
    code, _, err = run_cli(main, "check", onnx_model, "--target", "B2")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
