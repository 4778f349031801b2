"""The engines of a race, a file for each. To add one: a file with an `Engine`, and a line here."""

from edge_runtime.bench.engine import Engine
from edge_runtime.bench.engines import c_file, gpu, litert, ncnn, onnx_runtime, openvino, ours

ENGINES: tuple[Engine, ...] = (
    ours.PROGRAM,
    ours.LIBRARY,
    litert.STATIC,
    litert.DYNAMIC,
    litert.FP16,
    litert.FLOAT,
    openvino.INT8,
    openvino.FLOAT,
    onnx_runtime.INT8,
    onnx_runtime.EXACT,
    onnx_runtime.FLOAT,
    ncnn.FLOAT,
    c_file.FILE,
    *((gpu.TENSORFLOW, gpu.ONNX_RUNTIME) if gpu.has_gpu() else ()),
)
