"""ONNX Runtime: floats, quantized by its own tool (QDQ), and our exact integers as floats."""

from edge_runtime.bench.engine import of_format
from edge_runtime.formats import onnx_formats

_CALL = "InferenceSession.run"
INT8 = of_format(onnx_formats.QDQ, "ONNX Runtime", "int8, QDQ", _CALL)
EXACT = of_format(onnx_formats.EXACT, "ONNX Runtime", "exact int8", _CALL)
FLOAT = of_format(onnx_formats.FLOAT, "ONNX Runtime", "fp32", _CALL)
