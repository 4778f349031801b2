"""The three exported .pb files: nodes and attributes, and stock TensorFlow against the integers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import integer
from quantize import graph_def
from quantize.calibrate import calibrate
from quantize.export_deploy import deploy_model
from quantize.export_eval import eval_model, stock_model
from quantize.import_graph import import_graph
from quantize.ir import Graph
from quantize.lower import lower
from quantize.methods import integer_inputs
from quantize.passes import simplify
from quantize.tf_nodes import Source
from tests.quantize.source_graphs import LOGITS, SourceNetwork
from tests.quantize.test_calibrate import batch, branched

FOLDED = "discriminator/batch_normalization"


@pytest.fixture(scope="module")
def vendor(models: dict[tuple[str, str], Path], images: Any) -> tuple[Source, dict[str, int]]:
    """The discriminator by the vendor's rule."""
    source = import_graph(models["batch norm", ".pb"])
    graph = simplify(source, vendor=True)
    return Source(graph, source), calibrate(graph, images, "min-mse", 10, 7)


def nodes_of(data: bytes, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "written.pb"
    path.write_bytes(data)
    return {node.name: node for node in graph_def.read(path).node}


def run_tensorflow(data: bytes, output: str, x: Any, input_name: str = "input_real") -> Any:
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(data)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(definition, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run(f"{output}:0", {f"{input_name}:0": x})


def test_the_evaluation_graph_has_the_vendors_nodes(
    vendor: tuple[Source, dict[str, int]], tmp_path: Path
) -> None:
    source, positions = vendor
    nodes = nodes_of(eval_model(source, positions, "min-mse"), tmp_path)
    fixed = {name: node for name, node in nodes.items() if node.op == "FixNeuron"}
    assert {name.rpartition("/")[0] for name in fixed} == set(positions)
    for name, node in fixed.items():
        tensor, _, kind = name.rpartition("/")
        assert node.attr["quantize_pos"].i == positions[tensor]
        assert node.attr["bit_width"].i == 8
        assert node.attr["method"].i == 1
        assert node.attr["mode"].i == {"wquant": 0, "aquant": 1}[kind]
        assert "phase" in node.attr
    conv, relu = nodes["discriminator/conv2d/Conv2D"], nodes["discriminator/Relu"]
    assert list(conv.input) == ["input_real/aquant", "discriminator/conv2d/kernel/wquant"]
    assert conv.attr["padding"].s == b"SAME"
    assert nodes[relu.input[0]].op == "BiasAdd"
    assert list(nodes[relu.input[0]].input)[1] == f"{FOLDED}/beta/wquant"
    assert nodes["discriminator/Mean"].op == "Mean"
    assert nodes["discriminator/dense/MatMul"].op == "MatMul"
    assert nodes[LOGITS].op == "BiasAdd"
    assert nodes["discriminator/flatten/Reshape"].op == "Reshape"
    unrounded = graph_def.array_of(nodes["discriminator/dense/kernel"])
    source_kernel = np.asarray(source.source.value("discriminator/dense/kernel"))
    np.testing.assert_array_equal(unrounded, source_kernel)


def test_the_evaluation_graph_without_its_fix_neurons_is_the_float_network(
    vendor: tuple[Source, dict[str, int]],
    sources: dict[str, SourceNetwork],
    images: Any,
    tmp_path: Path,
) -> None:
    source, positions = vendor
    data = eval_model(source, positions, "min-mse")
    path = tmp_path / "eval.pb"
    path.write_bytes(data)
    definition = graph_def.read(path)
    for node in definition.node:
        if node.op == "FixNeuron":
            node.op = "Identity"
            for key in ("bit_width", "mode", "method", "phase", "quantize_pos"):
                del node.attr[key]
    found = run_tensorflow(definition.SerializeToString(), LOGITS, images)
    np.testing.assert_allclose(found, sources["batch norm"].logits(images), atol=1e-5)


def test_the_deploy_graph_carries_rounded_constants_and_positions(
    vendor: tuple[Source, dict[str, int]], tmp_path: Path
) -> None:
    source, positions = vendor
    nodes = nodes_of(deploy_model(source, positions), tmp_path)

    def ints(name: str, key: str) -> list[int]:
        return list(nodes[name].attr[key].list.i)

    conv, weight, bias = "discriminator/conv2d_1/Conv2D", "discriminator/conv2d_1/kernel", ""
    bias = f"{FOLDED}_1/beta"
    assert ints(conv, "ipos") == [8, positions["discriminator/Relu"]]
    assert ints(conv, "wpos") == [8, positions[weight]]
    assert ints(conv, "bpos") == [8, positions[bias]]
    assert ints(conv, "opos") == [8, positions["discriminator/Relu_1"]]
    assert ints("discriminator/Relu_1", "ipos") == ints("discriminator/Relu_1", "opos")
    assert ints("input_real", "opos") == [8, 7]
    sizes = [dim.size for dim in nodes["input_real"].attr["shape"].shape.dim]
    assert sizes == [1, 32, 32, 1]
    assert nodes["discriminator/dense/MatMul"].op == "MatMul"
    assert ints("discriminator/Mean", "opos") == [8, positions["discriminator/Mean"]]
    assert "BiasAdd" not in {node.op for node in nodes.values()}

    kernel = nodes[conv].attr["weights"].tensor
    values = np.frombuffer(kernel.tensor_content, np.float32) * 2.0 ** positions[weight]
    assert np.array_equal(values, values.round())
    assert np.abs(values).max() <= 128
    assert [dim.size for dim in kernel.tensor_shape.dim] == [3, 3, 6, 6]


def check_stock(graph: Graph, source: Graph, network: Any, x: Any) -> None:
    """TensorFlow's values times 2^p are the reference's integers, in batches of 1 and of many."""
    data, output = stock_model(Source(graph, source), network)
    wanted = integer.run(network, integer_inputs(network, x))
    for batched in ([x], [each[np.newaxis] for each in x[:4]]):
        found = np.concatenate(
            [run_tensorflow(data, output, part, graph.input) for part in batched]
        )
        scaled = found.reshape(len(found), -1) * 2.0**network.logits_fix_point
        assert np.array_equal(scaled, wanted[: len(found)])


@pytest.mark.parametrize("variant", ["batch norm", "mean without dims", "squeeze"])
@pytest.mark.parametrize("head", [False, True])
def test_stock_operators_give_the_references_integers(
    variant: str, head: bool, models: dict[tuple[str, str], Path], images: Any
) -> None:
    source = import_graph(models[variant, ".onnx"])
    graph = simplify(source)
    positions = calibrate(graph, images, "min-mse", 10, 7)
    loud = np.concatenate([images, 30 * images])
    check_stock(graph, source, lower(graph, positions, head), loud)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_operator_in_stock_tensorflow(seed: int) -> None:
    graph = branched(seed)
    network = lower(graph, calibrate(graph, batch(graph), "min-mse", 4))
    x = np.concatenate([batch(graph, 20, 1.0, 9), batch(graph, 10, 30.0, 9)])
    check_stock(graph, graph, network, x)


def test_stock_sums_beyond_float32_are_split(images: Any) -> None:
    from quantize.ir import constant
    from tests.quantize.tiny_graphs import conv, graph

    rng = np.random.default_rng(0)
    weights = rng.choice(np.array([-127, 126, 127], np.float32) / 128, (3, 1, 1, 1300))
    weights[0] = 127 / 128
    of = graph(
        constant("w", weights.astype(np.float32)), constant("b", np.full(3, 1 / 128, np.float32)),
        conv("y", "x", "w", "b", pads=(0, 0, 0, 0)), shape=(1, 1, 1300),
    )  # fmt: skip
    network = lower(of, {"x": 7, "w": 7, "b": 7, "y": 4}, int32_logits=True)
    x = rng.choice(np.array([-128, 127], np.float32) / 128, (20, 1, 1, 1300)).astype(np.float32)
    x[0] = 127 / 128
    x[0, ..., 0] = 126 / 128
    check_stock(of, of, network, x)
