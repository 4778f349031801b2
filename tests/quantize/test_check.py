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
    assert [v.where for v in report.verdicts] == ["DPU"] * 8 + ["CPU"]  # the softmax at its end
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


def test_unfit_networks_end_with_two(tmp_path: Path, run_cli: Cli) -> None:
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
    code, out, err = run_cli(main, "check", tmp_path / "m.onnx")
    assert len(err.strip().splitlines()) == 1
    assert "1 of 1 operators do not run on B1152; the first is y (LeakyRelu): put it" in err
    assert code == 2
    assert "y (LeakyRelu): unsupported; put it directly behind" in out
    assert "verdict: not one DPU kernel" in out


def frozen(tmp_path: Path, build: Any) -> Path:
    """Write the graph that ``build`` makes of an input 8×8×2."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        build(tf, tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 2], name="input_real"))
    path = tmp_path / "unknown.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def rows(report: check.Report) -> list[tuple[str, str, str]]:
    return [(v.name, v.op, v.where) for v in report.verdicts]


def test_every_operator_of_a_frozen_graph_is_listed(tmp_path: Path, run_cli: Cli) -> None:
    """Two operators that the quantizer does not know, and one that it knows in another form."""

    def build(tf: Any, x: Any) -> None:
        w = tf.constant(np.ones((3, 3, 2, 4), np.float32))
        x = tf.nn.elu(tf.nn.conv2d(x, w, 1, "SAME", name="first"), name="bend")
        w = tf.constant(np.ones((3, 3, 4, 4), np.float32))
        x = tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME", dilations=2, name="holes"))
        x = tf.nn.leaky_relu(tf.nn.conv2d(x, w, 1, "VALID", name="third"), 0.2, name="leaky")
        x = tf.reduce_mean(tf.tanh(x, name="squash"), [1, 2], keepdims=True)
        y = tf.nn.conv2d(x, tf.ones((1, 1, 4, 3)), 1, "VALID", name="y")
        tf.argmax(tf.reshape(y, [-1, 3], name="flat"), 1, name="answer")

    path = frozen(tmp_path, build)
    code, out, err = run_cli(main, "check", path)
    assert code == 2
    assert "4 of 10 operators do not run on B1152; the first is bend (Elu): use Relu" in err
    assert "holes (Conv2D): unsupported; dilation is not supported; use a larger" in out
    assert "a leaky ReLU of slope 0.2 cannot be quantized" in out
    assert "squash (Tanh): unsupported; use Relu inside the network" in out
    report = check.check(path, "B1152")
    assert rows(report) == [
        ("first", "Conv2D", "DPU"),
        ("bend", "Elu", "unsupported"),
        ("holes", "Conv2D", "unsupported"),
        ("Relu", "Relu", "DPU"),
        ("third", "Conv2D", "DPU"),
        ("leaky", "LeakyRelu", "unsupported"),
        ("squash", "Tanh", "unsupported"),
        ("Mean", "Mean", "DPU"),
        ("y", "Conv2D", "DPU"),
        ("answer", "ArgMax", "CPU"),
    ]
    assert report.kernels == 3
    # The first convolution and what bends it are sized; behind the holes kinds alone are known.
    assert [v.output for v in report.verdicts] == [(8, 8, 4)] * 2 + [()] * 8
    code, _, err = run_cli(main, "run", path, "--calibration", path, "--output", tmp_path)
    assert code == 2
    assert "node 'squash': operator Tanh is not supported" in err
    assert len(err.strip().splitlines()) == 1


def test_operators_behind_an_unknown_size_are_listed_by_kind(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        w = tf.constant(np.ones((3, 3, 2, 4), np.float32))
        x = tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME", name="first"), name="r")
        x = tf.image.resize(x, (3, 5), "nearest")
        x = tf.nn.conv2d(x, tf.ones((3, 5, 4, 3)), 1, "VALID", name="y")

    report = check.check(frozen(tmp_path, build), "B1152", None, "y")
    assert rows(report) == [
        ("first", "Conv2D + relu", "DPU"),
        ("resize/ResizeNearestNeighbor", "ResizeNearestNeighbor", "unsupported"),
        ("y", "Conv2D", "DPU"),
    ]
    assert report.verdicts[0].macs == 8 * 8 * 72
    assert report.verdicts[2].output == ()
    assert "sizes marked ? are not known: " in report.text()
    assert report.kernels == 2
    assert "a classifier needs none" in report.problem


def test_every_operator_of_an_onnx_model_is_listed(tmp_path: Path) -> None:
    """ONNX tells the size of what it knows, here of a resize; its own layout is NCHW."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def weights(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(np.ones(shape, np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Sigmoid", ["c"], ["s"]),
        node("Split", ["s"], ["s1", "s2"], axis=1),
        node("Sum", ["s1", "s2"], ["t"]),
        node("Resize", ["t", "", "scales"], ["up"], mode="nearest"),
        node("Conv", ["up", "v"], ["d"], strides=[2, 2]),
        node("GlobalAveragePool", ["d"], ["g"]),
        node("Flatten", ["g"], ["y"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes, "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 4, 6])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [weights("w", 4, 2, 3, 3), weights("v", 5, 2, 1, 1),
             numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )  # fmt: skip
    onnx.save(model, str(tmp_path / "m.onnx"))
    report = check.check(tmp_path / "m.onnx", "B4096")
    assert [(v.op, v.where, v.output) for v in report.verdicts] == [
        ("Conv2D", "DPU", (4, 6, 4)),
        ("Sigmoid", "unsupported", (4, 6, 4)),
        ("Split", "unsupported", (4, 6, 2)),
        ("Split", "unsupported", (4, 6, 2)),
        ("Sum", "unsupported", (4, 6, 2)),
        ("Resize", "unsupported", (8, 12, 2)),
        ("Conv2D", "DPU", (4, 6, 5)),
        ("AvgPool", "unsupported", (1, 1, 5)),
    ]
    assert report.kernels == 2


def test_weights_that_are_not_frozen_are_named(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        w = tf.compat.v1.get_variable("w", [3, 3, 2, 4], use_resource=False)
        tf.nn.conv2d(x, w, 1, "SAME", name="y")

    report = check.check(frozen(tmp_path, build), "B1152", None, "y")
    found = {v.name: v for v in report.verdicts}
    assert found["w"].op == "VariableV2"
    assert "freeze the graph" in found["w"].reason


def test_unknown_targets_are_refused(onnx_model: Path, run_cli: Cli) -> None:
    with pytest.raises(SettingsError, match="no target 'B2'; there are B512, B800"):
        dpu.target_named("B2")
    code, _, err = run_cli(main, "check", onnx_model, "--target", "B2")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
