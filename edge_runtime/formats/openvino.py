"""OpenVINO IR (.xml with .bin), in floats and quantized by NNCF after training."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.formats.format import BYTES, LOGITS, Format, Load, Session, Source, need
from edge_runtime.formats.onnx_graph import write_cut
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE, to_float

# What a program around this model must set, too.
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # else it takes bf16 where the processor has it
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # threads go where the caller's may
}


def _open(source: Source, path: Path, load: Load) -> Session:
    ov = need("openvino", "openvino")
    try:
        model = ov.Core().read_model(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path}: not a model that OpenVINO loads ({reason})") from None
    model.reshape([load.batch, SIDE, SIDE, 1])
    settings = SETTINGS | {"INFERENCE_NUM_THREADS": load.threads}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.zeros((load.batch, SIDE, SIDE, 1), np.int8)))
    given, result = request.get_input_tensor().data, request.get_output_tensor().data

    def run(inputs: Int8) -> Any:
        given[:] = inputs
        request.infer(share_outputs=True)
        return result

    return Session(run, load.batch)


def _read_float(source: Source) -> Any:
    ov = need("openvino", "openvino")
    with tempfile.TemporaryDirectory(prefix="edgeglyph-") as folder:
        cut = Path(folder) / "float.onnx"
        write_cut(source, cut)
        return ov.Core().read_model(str(cut))


def _save(model: Any, to: Path) -> None:
    """Let it take bytes, and write .xml and .bin."""
    ov = need("openvino", "openvino")
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.i8)
    steps.input().preprocess().convert_element_type(ov.Type.f32).scale(2.0**FIX_POINT)
    built = steps.build()
    built.input(0).set_names({BYTES})
    built.output(0).set_names({LOGITS})
    ov.save_model(built, str(to), compress_to_fp16=False)


def _make_float(source: Source, to: Path) -> None:
    _save(_read_float(source), to)


def _make_int8(source: Source, to: Path) -> None:
    nncf = need("nncf", "openvino")
    model = _read_float(source)
    images = to_float(source.calibration)
    data = nncf.Dataset([image[np.newaxis] for image in images])
    _save(nncf.quantize(model, data, subset_size=len(images)), to)


_ARGUMENTS = (".xml", "model.onnx", ("openvino", "nncf", "onnx"))
FLOAT = Format("openvino", "OpenVINO, fp32", *_ARGUMENTS, _make_float, _open, tolerance=1e-3)
INT8 = Format(
    "openvino-int8", "OpenVINO, int8 NNCF", *_ARGUMENTS, _make_int8, _open, calibrated=True
)
