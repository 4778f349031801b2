"""ONNX Runtime, float and quantized by its own tool: QDQ, unsigned activations, channels apart."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bench.engine import Engine, InPython, Load, Network, need
from edge_runtime.bench.engines.onnx_graph import INPUT, float_model, take_bytes
from edge_runtime.layers import Int8
from edge_runtime.preprocess import to_float

_PACKAGES = "onnx onnxruntime"


def _open(network: Network, load: Load, path: Path) -> InPython:
    ort = need("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = load.threads
    options.inter_op_num_threads = 1
    # Without it products saturate on processors that have AVX2 but no VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, outputs = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def run(inputs: Int8) -> Any:
        return session.run(outputs, {name: inputs})[0]

    return InPython(run, network, load)


def _open_float(network: Network, load: Load) -> InPython:
    def make(to: Path) -> None:
        onnx = need("onnx")
        onnx.save(take_bytes(onnx.load(str(float_model(network)))), str(to))

    source = network.model("model.onnx")
    return _open(network, load, network.converted(source, "float_bytes.onnx", _PACKAGES, make))


def _open_int8(network: Network, load: Load) -> InPython:
    def make(to: Path) -> None:
        onnx = need("onnx")
        with tempfile.TemporaryDirectory() as folder:
            quantized = Path(folder) / "int8.onnx"
            _quantize(float_model(network), quantized, to_float(network.calibration))
            onnx.save(take_bytes(onnx.load(str(quantized))), str(to))

    source = network.model("model.onnx")
    return _open(network, load, network.converted(source, "int8_bytes.onnx", _PACKAGES, make))


def _quantize(model: Path, to: Path, calibration: Any) -> None:
    quantization = need("onnxruntime.quantization")
    prepare = need("onnxruntime.quantization.shape_inference").quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            parts = np.array_split(calibration, max(1, len(calibration) // 64))
            self._batches: Iterator[dict[str, Any]] = iter([{INPUT: part} for part in parts])

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    ready = to.with_name("ready.onnx")
    prepare(str(model), str(ready), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(ready),
        str(to),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )


_CALL = "InferenceSession.run"
_NEEDS = ("onnxruntime", "onnx")
INT8 = Engine("ONNX Runtime", "int8, QDQ", _CALL, _NEEDS, _open_int8)
FLOAT = Engine("ONNX Runtime", "fp32", _CALL, _NEEDS, _open_float)
