"""Importers against TensorFlow: the same logits before and after all passes, and bad files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import GraphError
from quantize import execute
from quantize.import_graph import import_graph
from quantize.ir import Op
from quantize.passes import simplify
from tests.quantize.conftest import VARIANTS
from tests.quantize.source_graphs import LOGITS, SourceNetwork, session_runner

SIMPLE = [Op.INPUT, *[Op.CONV] * 6, Op.AVG_POOL, Op.CONV]


@pytest.mark.parametrize("suffix", [".pb", ".onnx"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_tensorflows_before_and_after_passes(
    variant: str,
    suffix: str,
    sources: dict[str, SourceNetwork],
    models: dict[tuple[str, str], Path],
    images: Any,
) -> None:
    wanted = sources[variant].logits(images)
    graph = import_graph(models[variant, suffix])
    np.testing.assert_allclose(execute.run(graph, images), wanted, atol=1e-5)
    simple = simplify(graph)
    assert simple.operators() == SIMPLE
    np.testing.assert_allclose(execute.run(simple, images)[:, 0, 0], wanted, atol=1e-5)


def test_names_are_those_of_the_source(models: dict[tuple[str, str], Path]) -> None:
    graph = simplify(import_graph(models["batch norm", ".pb"]))
    first, last = graph["discriminator/Relu"], graph[LOGITS]
    norm = "discriminator/batch_normalization"
    assert first.inputs == ("input_real", "discriminator/conv2d/kernel", f"{norm}/beta")
    assert first.layer == "discriminator/conv2d/Conv2D"
    assert last.inputs[1:] == ("discriminator/dense/kernel", "discriminator/dense/bias")
    assert last.layer == "discriminator/dense/MatMul"
    assert "discriminator/Mean" in graph.nodes


def test_both_routes_give_layers_and_activations_the_same_names(
    models: dict[tuple[str, str], Path],
) -> None:
    rows = []
    for suffix in (".pb", ".onnx"):
        nodes = simplify(import_graph(models["batch norm", suffix])).nodes.values()
        rows.append([(node.name, node.layer) for node in nodes if node.op is not Op.CONST])
    assert rows[0] == rows[1]


def test_a_biased_convolution_keeps_the_names_of_its_constants(
    models: dict[tuple[str, str], Path],
) -> None:
    graph = simplify(import_graph(models["bias", ".pb"]))
    assert graph["discriminator/Relu_1"].inputs[2] == "discriminator/conv2d_1/bias"


def test_output_may_be_the_softmax_or_any_node(onnx_model: Path) -> None:
    assert simplify(import_graph(onnx_model, None, "discriminator/out")).output == LOGITS
    inner = simplify(import_graph(onnx_model, "input_real", "discriminator/Relu_1"))
    assert inner.operators() == [Op.INPUT, Op.CONV, Op.CONV, Op.TRANSPOSE]  # its own order, NCHW


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (9, 2), (8, 3), (7, 1), (5, 4)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_padding_is_tensorflows(size: int, stride: int, kernel: int, tmp_path: Path) -> None:
    import tensorflow as tf

    rng = np.random.default_rng(size)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, size, size + 1, 2], name="input_real")
        weights = tf.constant(rng.normal(0, 1, (kernel, kernel, 2, 3)).astype(np.float32))
        tf.nn.conv2d(x, weights, stride, "SAME", name="y")
    path = tmp_path / "same.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    images = rng.normal(0, 1, (2, size, size + 1, 2)).astype(np.float32)
    simple = simplify(import_graph(path))
    found = execute.run(simple, images)
    np.testing.assert_allclose(found, session_runner(graph, "y:0")(images), atol=1e-5)


def test_a_decomposed_batch_norm_and_a_computed_shape_are_understood(tmp_path: Path) -> None:
    """What Keras writes: Rsqrt, Mul, Sub and AddV2, and a Reshape to [its own batch, 12]."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 2], name="input_real")
        kernel = tf.constant(rng.normal(0, 1, (3, 3, 2, 3)).astype(np.float32))
        x = tf.nn.conv2d(x, kernel, 2, "SAME")
        mean, offset, scale = (tf.constant(rng.normal(0, 1, 3).astype(np.float32)) for _ in "abc")
        variance = tf.constant(rng.uniform(0.3, 2, 3).astype(np.float32))
        x = tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3))
        x = tf.reshape(x, tf.stack([tf.shape(x)[0], 12]))
        tf.matmul(x, tf.constant(rng.normal(0, 1, (12, 3)).astype(np.float32)), name="y")
    path = tmp_path / "keras.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    images = rng.normal(0, 1, (6, 4, 4, 2)).astype(np.float32)
    simple = simplify(import_graph(path, output_node="y"))
    assert simple.operators() == [Op.INPUT, Op.CONV, Op.CONV]
    wanted = session_runner(graph, "y:0")(images)
    np.testing.assert_allclose(execute.run(simple, images)[:, 0, 0], wanted, atol=1e-5)


def small_onnx(tmp_path: Path, *nodes: Any, weights: Any = None, shape: Any = None) -> Path:
    """Write a model of "input_real" (NHWC 1×1×4) through ``nodes`` to "y", weights "w"."""
    values = np.ones((4, 3), np.float32) if weights is None else weights
    model = helper.make_model(
        helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info("input_real", TensorProto.FLOAT, shape or [1, 1, 1, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    path = tmp_path / "small.onnx"
    onnx.save(model, str(path))
    return path


FLAT = helper.make_node("Flatten", ["input_real"], ["flat"])


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(tmp_path: Path, transposed: int) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(0, 1, (3, 4) if transposed else (4, 3)).astype(np.float32)
    node = helper.make_node("Gemm", ["flat", "w"], ["y"], transB=transposed)
    graph = simplify(import_graph(small_onnx(tmp_path, FLAT, node, weights=matrix)))
    x = rng.normal(0, 1, (7, 1, 1, 4)).astype(np.float32)
    wanted = x[:, 0, 0] @ (matrix.T if transposed else matrix)
    np.testing.assert_allclose(execute.run(graph, x)[:, 0, 0], wanted, atol=1e-5)
    assert graph.operators() == [Op.INPUT, Op.CONV]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Gemm", ["flat", "w"], ["y"], alpha=2.0), r"'y' \(Gemm\): only alpha"),
        (helper.make_node("Tanh", ["flat"], ["y"]), "'y': operator Tanh is not supported"),
        (helper.make_node("MatMul", ["flat", "lost"], ["y"]), "'lost' is used but nothing makes"),
    ],
)
def test_an_unusable_node_is_named(tmp_path: Path, node: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        import_graph(small_onnx(tmp_path, FLAT, node))


def conv_node(**attributes: Any) -> Any:
    return helper.make_node("Conv", ["input_real", "w"], ["y"], **attributes)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (conv_node(group=4), "grouped convolutions are not"),
        (conv_node(dilations=[2, 2]), "dilation"),
        (conv_node(auto_pad="SAME_LOWER"), "SAME_LOWER"),
        (
            helper.make_node(
                "AveragePool", ["input_real"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]
            ),
            "pooling with padding",
        ),
        (
            helper.make_node("BatchNormalization", ["input_real", *"wwww"], ["y"], training_mode=1),
            "training mode",
        ),
        (helper.make_node("Reshape", ["input_real", "input_real"], ["y"]), "must be constant"),
    ],
)
def test_an_unsupported_variant_is_named(tmp_path: Path, node: Any, message: str) -> None:
    with pytest.raises(GraphError, match=f"node 'y' .*{message}"):
        import_graph(small_onnx(tmp_path, node))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(tmp_path: Path, bad: float) -> None:
    weights = np.ones((4, 3), np.float32)
    weights[2, 1] = bad
    node = helper.make_node("MatMul", ["flat", "w"], ["y"])
    with pytest.raises(GraphError, match="constant 'w' holds NaN or infinity"):
        import_graph(small_onnx(tmp_path, FLAT, node, weights=weights))


def test_an_input_of_unknown_size_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["input_real"], ["y"])
    with pytest.raises(GraphError, match=r"'input_real' has shape \[\?, \?, 32, 1\]"):
        import_graph(small_onnx(tmp_path, node, shape=["N", "H", 32, 1]))


@pytest.mark.parametrize("suffix", [".pb", ".onnx"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_damaged_files_are_named(
    suffix: str, damage: str, models: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    whole = models["batch norm", suffix].read_bytes()
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(
        {"truncated": whole[: len(whole) // 2], "text": b"no graph at all\n", "empty": b""}[damage]
    )
    with pytest.raises(GraphError, match=f"damaged{suffix}"):
        import_graph(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="no such model file"):
        import_graph(tmp_path / "missing.onnx")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(GraphError, match=r"expected a frozen graph \.pb"):
        import_graph(tmp_path / "weights.h5")


@pytest.mark.parametrize("suffix", [".pb", ".onnx"])
def test_a_missing_node_is_answered_with_near_names(
    suffix: str, models: dict[tuple[str, str], Path]
) -> None:
    path = models["batch norm", suffix]
    with pytest.raises(
        GraphError, match=r"no node 'discriminator/dense/BiasAd'; near it: .*BiasAdd"
    ):
        import_graph(path, None, "discriminator/dense/BiasAd")
    with pytest.raises(GraphError, match=r"no node 'input'; near it: input_real.*--input-node"):
        import_graph(path, "input", None)


def frozen(tmp_path: Path, build: Any) -> Path:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        build(tf, tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 2], name="image"))
    path = tmp_path / "other.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_a_graph_of_other_names_needs_no_options_where_they_are_clear(tmp_path: Path) -> None:
    graph = import_graph(frozen(tmp_path, lambda tf, x: tf.nn.relu(x, name="end")))
    assert (graph.input, graph.output) == ("image", "end")


def test_several_ends_must_be_chosen_from(tmp_path: Path) -> None:
    path = frozen(tmp_path, lambda tf, x: (tf.nn.relu(x, name="a"), tf.identity(x, name="b")))
    with pytest.raises(GraphError, match="it ends at a, b; choose the logits with --output-node"):
        import_graph(path)


def test_tensorflow_operators_that_are_unknown_are_named(tmp_path: Path) -> None:
    path = frozen(tmp_path, lambda tf, x: tf.nn.elu(x, name="bend"))
    with pytest.raises(GraphError, match=r"'bend': operator Elu is not supported.*use Relu"):
        import_graph(path)
    path = frozen(tmp_path, lambda tf, x: tf.nn.relu(tf.math.lgamma(x, name="bend")))
    with pytest.raises(GraphError, match=r"'bend': operator Lgamma is not supported.*it knows Add"):
        import_graph(path)


def test_a_batch_norm_in_training_mode_is_refused(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        ones = tf.ones([2])
        tf.compat.v1.nn.fused_batch_norm(x, ones, ones, is_training=True, name="norm")

    with pytest.raises(GraphError, match=r"'norm'.*training mode; freeze the inference graph"):
        import_graph(frozen(tmp_path, build), None, "norm")
