"""LiteRT (TensorFlow Lite) with XNNPACK: floats, weights in 16 bits, dynamic and static int8."""

from edge_runtime.bench.engine import of_format
from edge_runtime.formats import litert

_CALL = "Interpreter.set_tensor, invoke, get_tensor"
STATIC = of_format(litert.INT8, "LiteRT", "int8, static", _CALL)
DYNAMIC = of_format(litert.DYNAMIC, "LiteRT", "int8, dynamic", _CALL)
FP16 = of_format(litert.FP16, "LiteRT", "fp16 weights", _CALL)
FLOAT = of_format(litert.FP32, "LiteRT", "fp32", _CALL)
