"""ncnn, float. Its own converter needs PyTorch; these networks are few operators in a row."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bench.engine import Engine, InPython, Network
from edge_runtime.errors import GraphError
from edge_runtime.files import content_bytes
from edge_runtime.formats.format import Load, need
from edge_runtime.formats.onnx_graph import load_cut
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE

_MAGIC = 7767517
_SHAPES = ("Reshape", "Flatten", "Transpose")  # nothing is left to do for these behind NHWC


def _open(network: Network, load: Load) -> InPython:
    ncnn = need("ncnn")
    source = network.source.model("model.onnx")
    path = network.converted(
        source, "float.param", ("onnx",), lambda to: write_ncnn(load_cut(source), to)
    )
    net = ncnn.Net()
    net.opt.num_threads = load.threads
    for shortened in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{shortened}", False)
    net.load_param(str(path))
    net.load_model(str(path.with_suffix(".bin")))
    values = np.empty((1, SIDE, SIDE), np.float32)
    fed, scale = ncnn.Mat(values), np.float32(2.0**-FIX_POINT)

    def one(image: Int8) -> Any:
        np.multiply(image[..., 0], scale, out=values[0])
        extractor = net.create_extractor()
        extractor.input("input", fed)
        return np.array(extractor.extract("logits")[1])

    def run(inputs: Int8) -> Any:
        return np.stack([one(image) for image in inputs])

    return InPython(run, network, load, content_bytes(path.parent))


def write_ncnn(model: Any, to: Path) -> None:
    """Write a chain of convolutions, a mean over the map and a dense layer as .param and .bin.

    Raises
    ------
    GraphError
        Another operator.
    """
    onnx = need("onnx")
    constants = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    lines, weights = ["Input input 0 1 input"], bytearray()

    def add(kind: str, settings: dict[int, int | str], *arrays: Any) -> None:
        before = lines[-1].split()[-1] if len(lines) == 1 else f"b{len(lines) - 1}"
        text = " ".join(f"{key}={value}" for key, value in settings.items())
        lines.append(f"{kind} l{len(lines)} 1 1 {before} b{len(lines)} {text}")
        if arrays:
            weights.extend(struct.pack("<I", 0))  # float32 follows
            weights.extend(b"".join(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays))

    for node in model.graph.node:
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        arrays = [constants[name] for name in node.input if name in constants]
        if node.op_type == "Conv" and given.get("group", 1) == 1 and len(arrays) == 2:
            add("Convolution", _convolution(arrays[0], given), *arrays)
        elif node.op_type == "Relu":
            add("ReLU", {0: 0})
        elif node.op_type == "LeakyRelu":
            add("ReLU", {0: given["alpha"]})
        elif node.op_type == "GlobalAveragePool":
            add("Pooling", {0: 1, 4: 1})
        elif node.op_type == "MatMul":
            kernel = arrays[0].T
        elif node.op_type == "Add" and len(arrays) == 1:
            settings: dict[int, int | str] = {0: len(kernel), 1: 1, 2: kernel.size}
            add("InnerProduct", settings, kernel, arrays[0])
        elif node.op_type not in _SHAPES:
            raise GraphError(f"ncnn: operator {node.op_type} of {node.name!r} is not converted")
    lines[-1] = lines[-1].replace(f" b{len(lines) - 1} ", " logits ", 1)
    to.with_suffix(".bin").write_bytes(weights)
    to.write_text(f"{_MAGIC}\n{len(lines)} {len(lines)}\n" + "\n".join(lines) + "\n", "utf-8")


def _convolution(kernel: Any, given: dict[str, Any]) -> dict[int, int | str]:
    out, _, height, width = kernel.shape
    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    down, across = given.get("strides", (1, 1))
    taps: dict[int, int | str] = {0: out, 1: width, 11: height, 3: across, 13: down}
    return taps | {4: left, 14: top, 15: right, 16: bottom, 5: 1, 6: kernel.size}


FLOAT = Engine("ncnn", "fp32", "Extractor, image by image", ("ncnn", "onnx"), _open)
