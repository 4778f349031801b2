"""OpenVINO on the CPU: floats, and quantized by NNCF after training."""

from edge_runtime.bench.engine import of_format
from edge_runtime.formats import openvino

_CALL = "InferRequest.infer on its own tensors"
INT8 = of_format(openvino.INT8, "OpenVINO", "int8, NNCF", _CALL)
FLOAT = of_format(openvino.FLOAT, "OpenVINO", "fp32", _CALL)
