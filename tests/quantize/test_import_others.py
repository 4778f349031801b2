"""Networks of other people: TensorFlow 1 with what training left in it, and PyTorch-like ONNX."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import GraphError
from quantize import execute
from quantize.import_graph import import_graph
from quantize.ir import Op
from quantize.lower import check_supported
from quantize.passes import simplify

RNG = np.random.default_rng(3)


def weights(*shape: int) -> Any:
    return RNG.normal(0, 0.4, shape).astype(np.float32)


def frozen(tmp_path: Path, build: Callable[[Any, Any], Any]) -> tuple[Path, Callable[[Any], Any]]:
    """Write the graph that ``build`` makes of an input 8×8×2; the other result runs it."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 2], name="input_real")
        tf.identity(build(tf, x), name="y")
    path = tmp_path / "old.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())

    def run(inputs: Any, **others: Any) -> Any:
        fed = {"input_real:0": inputs} | {f"{key}:0": value for key, value in others.items()}
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run("y:0", fed)

    return path, run


def images(n: int = 6) -> Any:
    return RNG.normal(0, 1, (n, 8, 8, 2)).astype(np.float32)


def check(path: Path, wanted: Any, x: Any, *remaining: Op, output: str = "y") -> None:
    source = import_graph(path, output_node=output)
    np.testing.assert_allclose(execute.run(source, x), wanted, rtol=1e-4, atol=1e-5)
    simple = simplify(source)
    check_supported(simple)
    assert simple.operators() == [Op.INPUT, *remaining]
    found = execute.run(simple, x).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
def test_every_fused_batch_norm(version: str, tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> Any:
        conv = tf.nn.conv2d(x, weights(3, 3, 2, 4), 2, "SAME")
        one = np.abs(weights(4)) + 0.5
        norm = getattr(tf.raw_ops, version)(
            x=conv, scale=one, offset=weights(4), mean=weights(4), variance=one, epsilon=1e-3,
            is_training=False,
        )  # fmt: skip
        return tf.nn.relu(norm.y)

    path, run = frozen(tmp_path, build)
    x = images()
    check(path, run(x), x, Op.CONV)


@pytest.mark.parametrize("style", ["keep_prob", "rate"])
def test_a_dropout_is_its_input(style: str, tmp_path: Path) -> None:
    """TensorFlow 1 divides by keep_prob, a placeholder; later ones multiply by 1 / (1 - rate)."""

    def build(tf: Any, x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 2, 4), 1, "SAME"))
        if style == "rate":
            y = tf.compat.v1.nn.dropout(y, rate=0.4)
        else:
            keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
            mask = tf.floor(keep + tf.random.uniform(tf.shape(y)))
            y = tf.math.divide(y, keep) * mask
        return tf.nn.conv2d(y, weights(3, 3, 4, 3), 2, "SAME")

    path, run = frozen(tmp_path, build)
    x = images()
    if style == "keep_prob":
        check(path, run(x, keep_prob=1.0), x, Op.CONV, Op.CONV)
        return
    simple = simplify(import_graph(path, output_node="y"))
    assert simple.operators() == [Op.INPUT, Op.CONV, Op.CONV]
    mean = np.mean([run(x) for _ in range(400)], axis=0)  # dropout keeps expectations
    np.testing.assert_allclose(execute.run(simple, x), mean, atol=0.6)


def test_the_inference_side_of_is_training(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> Any:
        training = tf.compat.v1.placeholder(tf.bool, [], name="is_training")
        y = tf.nn.conv2d(x, weights(3, 3, 2, 4), 2, "SAME")
        # What tf.cond was in TensorFlow 1: Switch before both sides, Merge behind them.
        off, on = tf.raw_ops.Switch(data=y, pred=training)
        merged = tf.raw_ops.Merge(inputs=[tf.nn.relu(off), tf.nn.relu(on) * 100.0])
        return merged.output

    path, run = frozen(tmp_path, build)
    x = images()
    check(path, run(x, is_training=False), x, Op.CONV)


def test_a_leaky_relu_of_tensorflow_one_and_a_stem_with_pads(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> Any:
        y = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        y = tf.nn.conv2d(y, weights(3, 3, 2, 4), 1, "VALID") + weights(4)
        y = tf.maximum(y, tf.constant(26 / 256, tf.float32) * y)
        y = tf.nn.max_pool2d(y, 3, 2, "SAME")
        y = tf.nn.depthwise_conv2d(y, weights(3, 3, 4, 2), [1, 1, 1, 1], "SAME")
        y = tf.nn.relu6(y + weights(8))
        return tf.concat([y, tf.nn.relu(tf.nn.conv2d(y, weights(1, 1, 8, 3), 1, "SAME"))], -1)

    path, run = frozen(tmp_path, build)
    x = images()
    check(path, run(x), x, Op.CONV, Op.MAX_POOL, Op.CONV, Op.CONV, Op.CONCAT)


def onnx_model(tmp_path: Path, nodes: list[Any], constants: dict[str, Any], shape: Any) -> Path:
    model = helper.make_model(
        helper.make_graph(
            nodes, "torch",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)], ir_version=8,
    )  # fmt: skip
    path = tmp_path / "torch.onnx"
    onnx.save(model, str(path))
    return path


def residual(tmp_path: Path) -> Path:
    """A residual network as PyTorch exports it: NCHW input, and a computed flattening."""
    node = helper.make_node
    constants = {
        "w1": weights(4, 2, 3, 3), "b1": weights(4), "w2": weights(4, 1, 3, 3),
        "w3": weights(4, 4, 1, 1), "wd": weights(5, 4), "bd": weights(5),
        "zero": np.array(0, np.int64), "axis": np.array([0], np.int64),
        "rest": np.array([-1], np.int64), "low": np.array(0, np.float32),
        "six": np.array(6, np.float32), "gamma": np.abs(weights(4)) + 0.5, "beta": weights(4),
        "mean": weights(4), "variance": np.abs(weights(4)) + 0.5,
    }  # fmt: skip
    nodes = [
        node("Conv", ["input", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[1, 1]),
        node("BatchNormalization", ["c1", "gamma", "beta", "mean", "variance"], ["n1"]),
        node("Clip", ["n1", "low", "six"], ["r1"]),
        node("MaxPool", ["r1"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m", "w2"], ["c2"], pads=[1, 1, 1, 1], group=4),
        node("LeakyRelu", ["c2"], ["r2"], alpha=0.1015625),
        node("Conv", ["r2", "w3"], ["c3"]),
        node("Add", ["c3", "m"], ["s"]),
        node("Relu", ["s"], ["r3"]),
        node("AveragePool", ["r3"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
             count_include_pad=1),
        node("GlobalAveragePool", ["a"], ["g"]),
        node("Shape", ["g"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["batch"]),
        node("Concat", ["batch", "rest"], ["flat_shape"], axis=0),
        node("Reshape", ["g", "flat_shape"], ["flat"]),
        node("Gemm", ["flat", "wd", "bd"], ["y"], transB=1),
    ]  # fmt: skip
    return onnx_model(tmp_path, nodes, constants, ["N", 2, 8, 8])


def test_a_pytorch_export_with_nchw_input(tmp_path: Path) -> None:
    path, x = residual(tmp_path), images()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = session.run(["y"], {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0]
    pads = [Op.CONV, Op.AVG_POOL]  # a convolution that only pads, and the pool
    check(
        path, wanted, x,
        Op.CONV, Op.MAX_POOL, Op.CONV, Op.CONV, Op.ADD, *pads, Op.AVG_POOL, Op.CONV,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Clip", ["input", "low"], ["y"]), "clips to .*only ReLU6"),
        (helper.make_node("MaxPool", ["input"], ["y"], kernel_shape=[2], ceil_mode=1), "ceil_mode"),
        (helper.make_node("Pad", ["input", "pads"], ["y"], mode="reflect"), "constant zero"),
        (helper.make_node("Pad", ["input", "channels"], ["y"]), "only height and width"),
        (helper.make_node("ConvTranspose", ["input", "w"], ["y"]), "not supported.*strided Conv2D"),
        (helper.make_node("Sigmoid", ["input"], ["y"]), "cut before it with --output-node"),
    ],
)  # fmt: skip
def test_what_is_not_understood_says_what_to_use(node: Any, message: str, tmp_path: Path) -> None:
    constants = {
        "low": np.array(-1, np.float32), "w": weights(2, 2, 3, 3),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "channels": np.array([0, 1, 0, 1, 0, 0, 0, 0], np.int64),
    }  # fmt: skip
    path = onnx_model(tmp_path, [node], constants, ["N", 2, 8, 8])
    with pytest.raises(GraphError, match=message):
        import_graph(path)
