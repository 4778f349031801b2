"""The network in other programs' formats, proved at once: `python -m edge_runtime convert`.

`format.py` says what a format is, and a file for each family makes and runs it; `verify.py`
compares with the network that it was made from, `command.py` is the command line.
`edge_runtime.bench` races the same files. To add a format: a `Format` in a family's file, and a
line here.
"""

from edge_runtime.formats import c99, litert, onnx_formats, openvino
from edge_runtime.formats.format import Format

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        litert.FP32,
        litert.FP16,
        litert.DYNAMIC,
        litert.INT8,
        openvino.FLOAT,
        openvino.INT8,
        onnx_formats.FLOAT,
        onnx_formats.EXACT,
        onnx_formats.QDQ,
        c99.C,
    )
}
