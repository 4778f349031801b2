"""The float ONNX model, made ready to be converted: cut at its logits, bytes in."""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import GraphError
from edge_runtime.formats.format import BYTES, LOGITS, Source, need
from edge_runtime.preprocess import FIX_POINT, SIDE

INPUT, BIAS_ADD = "input_real", "discriminator/dense/BiasAdd"  # names of model.onnx


def load_cut(path: Path) -> Any:
    """Read model.onnx without what follows the logits; float32 [N, 32, 32, 1] in."""
    onnx = need("onnx", "quantize")
    model = onnx.load(str(path))
    graph = model.graph
    needed, kept = {BIAS_ADD}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    if INPUT not in needed or not kept:
        raise GraphError(f"{path}: has no node {BIAS_ADD!r} that depends on {INPUT!r}")
    classes = len(_bias(model))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    graph.node[-1].output[0] = LOGITS
    del graph.output[:]
    kind = onnx.TensorProto.FLOAT
    graph.output.append(onnx.helper.make_tensor_value_info(LOGITS, kind, ["N", classes]))
    return model


def _bias(model: Any) -> Any:
    onnx = need("onnx", "quantize")
    last = next(node for node in model.graph.node if BIAS_ADD in node.output)
    for given in model.graph.initializer:
        if given.name == last.input[-1]:
            return onnx.numpy_helper.to_array(given).ravel()
    raise GraphError(f"{BIAS_ADD}: has no constant bias")


def write_cut(source: Source, to: Path) -> None:
    """Write the float model up to its logits."""
    need("onnx", "quantize").save(load_cut(source.model("model.onnx")), str(to))


def take_bytes(model: Any) -> Any:
    """Let a model take int8 inputs, which a first node turns into q / 128."""
    onnx = need("onnx", "quantize")
    graph = model.graph
    scale, zero = np.array(2.0**-FIX_POINT, np.float32), np.array(0, np.int8)
    graph.initializer.append(onnx.numpy_helper.from_array(scale, "input_scale"))
    graph.initializer.append(onnx.numpy_helper.from_array(zero, "input_zero"))
    node = onnx.helper.make_node("DequantizeLinear", [BYTES, "input_scale", "input_zero"], [INPUT])
    graph.node.insert(0, node)
    del graph.input[:]
    shape = ["N", SIDE, SIDE, 1]
    graph.input.append(onnx.helper.make_tensor_value_info(BYTES, onnx.TensorProto.INT8, shape))
    return model
