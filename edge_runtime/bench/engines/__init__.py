"""The engines of a race, a file for each. To add one: a file with an `Engine`, and a line here."""

from edge_runtime.bench.engine import Engine
from edge_runtime.bench.engines import litert, ncnn, onnx_runtime, openvino, ours

ENGINES: tuple[Engine, ...] = (
    ours.PROGRAM,
    ours.LIBRARY,
    litert.STATIC,
    litert.DYNAMIC,
    onnx_runtime.INT8,
    onnx_runtime.FLOAT,
    openvino.INT8,
    ncnn.FLOAT,
)
