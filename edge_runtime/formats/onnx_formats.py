"""ONNX: the float network, the exact integers, and ONNX Runtime's own static quantization (QDQ)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import exactness
from edge_runtime.errors import InputError
from edge_runtime.formats.format import Format, Load, Session, Source, need
from edge_runtime.formats.onnx_graph import INPUT, load_cut, take_bytes, write_cut
from edge_runtime.layers import Int8
from edge_runtime.preprocess import to_float

_EXACT = "model_int8.onnx"


def session_options(load: Load) -> Any:
    """Options that give the numbers that the file says, on every processor."""
    options = need("onnxruntime", "onnx").SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = load.threads
    options.inter_op_num_threads = 1
    # Without it products saturate on processors that have AVX2 but no VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(path: Path, load: Load, provider: str = "CPUExecutionProvider") -> Session:
    """Load any of these models; `InputError` where ONNX Runtime does not take it."""
    ort = need("onnxruntime", "onnx")
    try:
        session = ort.InferenceSession(str(path), session_options(load), providers=[provider])
    except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
        raise InputError(f"{path}: not a model that ONNX Runtime loads ({error})") from None
    name, outputs = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def run(inputs: Int8) -> Any:
        return session.run(outputs, {name: inputs})[0]

    return Session(run, load.batch)


def _open(source: Source, path: Path, load: Load) -> Session:
    return open_session(path, load)


def _open_exact(source: Source, path: Path, load: Load) -> Session:
    exactness.check_onnx_runtime(session_options(load))
    return Session(open_session(path, load).run, load.batch, source.logit_unit)


def _save(source: Source, model: Any, to: Path, scale: float = 1.0) -> None:
    """Write a model that says itself what its classes are, for programs that read no JSON."""
    onnx = need("onnx", "quantize")
    about = {
        "alphabet": "\n".join(source.bundle.alphabet.symbols),
        "temperature": repr(source.bundle.temperature),
        "scale": repr(scale),
    }
    onnx.helper.set_model_props(model, about)
    onnx.save(model, str(to))


def _make_float(source: Source, to: Path) -> None:
    _save(source, take_bytes(load_cut(source.model("model.onnx"))), to)


def _make_exact(source: Source, to: Path) -> None:
    model = need("onnx", "quantize").load(str(source.model(_EXACT)))
    _save(source, model, to, source.logit_unit)


def _make_qdq(source: Source, to: Path) -> None:
    onnx = need("onnx", "quantize")
    with tempfile.TemporaryDirectory(prefix="edgeglyph-") as folder:
        cut, quantized = Path(folder) / "float.onnx", Path(folder) / "qdq.onnx"
        write_cut(source, cut)
        _quantize(cut, quantized, to_float(source.calibration))
        _save(source, take_bytes(onnx.load(str(quantized))), to)


def _quantize(model: Path, to: Path, calibration: Any) -> None:
    """Quantize activations to unsigned, weights to signed bytes, each output channel apart."""
    quantization = need("onnxruntime.quantization", "quantize")
    prepare = need("onnxruntime.quantization.shape_inference", "quantize").quant_pre_process

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


_PACKAGES = ("onnx", "onnxruntime")
FLOAT = Format(
    "onnx", "ONNX, fp32", ".onnx", "model.onnx", _PACKAGES, _make_float, _open, tolerance=1e-3
)
EXACT = Format(
    "onnx-int8", "ONNX, exact int8", ".onnx", _EXACT, _PACKAGES, _make_exact, _open_exact,
    exact=True,
)  # fmt: skip
QDQ = Format(
    "onnx-qdq", "ONNX, int8 QDQ", ".onnx", "model.onnx", _PACKAGES, _make_qdq, _open,
    calibrated=True,
)  # fmt: skip
