"""The float ONNX model, made ready for other engines: int8 bytes in, logits out."""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bench.engine import Network, need
from edge_runtime.errors import GraphError
from edge_runtime.preprocess import FIX_POINT, SIDE

INPUT, LOGITS = "input_real", "discriminator/dense/BiasAdd"
PACKAGES = "onnx"


def load_cut(path: Path) -> Any:
    """Read model.onnx without what follows the logits."""
    onnx = need("onnx")
    model = onnx.load(str(path))
    graph = model.graph
    needed, kept = {LOGITS}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    if INPUT not in needed or not kept:
        raise GraphError(f"{path}: has no node {LOGITS!r} that depends on {INPUT!r}")
    del graph.node[:]
    graph.node.extend(reversed(kept))
    shape: list[str | int] = ["N", len(_bias(model))]
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, shape))
    return model


def _bias(model: Any) -> Any:
    onnx = need("onnx")
    last = next(node for node in model.graph.node if LOGITS in node.output)
    for given in model.graph.initializer:
        if given.name == last.input[-1]:
            return onnx.numpy_helper.to_array(given).ravel()
    raise GraphError(f"{LOGITS}: has no constant bias")


def float_model(network: Network) -> Path:
    """Return the float model up to its logits, as a file."""

    def make(to: Path) -> None:
        need("onnx").save(load_cut(network.model("model.onnx")), str(to))

    return network.converted(network.model("model.onnx"), "float.onnx", PACKAGES, make)


def take_bytes(model: Any) -> Any:
    """Let a model take int8 inputs, which a first node turns into q / 128."""
    onnx = need("onnx")
    graph = model.graph
    scale, zero = np.array(2.0**-FIX_POINT, np.float32), np.array(0, np.int8)
    graph.initializer.append(onnx.numpy_helper.from_array(scale, "input_scale"))
    graph.initializer.append(onnx.numpy_helper.from_array(zero, "input_zero"))
    node = onnx.helper.make_node(
        "DequantizeLinear", ["input_bytes", "input_scale", "input_zero"], [INPUT]
    )
    graph.node.insert(0, node)
    del graph.input[:]
    shape = ["N", SIDE, SIDE, 1]
    kind = onnx.TensorProto.INT8
    graph.input.append(onnx.helper.make_tensor_value_info("input_bytes", kind, shape))
    return model
