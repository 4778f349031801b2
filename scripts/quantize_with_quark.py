"""Quantize an ONNX model with AMD Quark and run the result; for compare_quantizers.py.

It runs in an environment of its own, which has amd-quark, torch and onnxruntime and nothing of this
project::

    python quantize_with_quark.py --model float.onnx --arrays FILE.npz --output FILE.npz

The arrays are "calibration" and "inputs", both float32 [N, height, width, channels]; the output
holds "logits" [N, classes] of the inputs, and "versions".
"""

import argparse
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader
from quark.onnx import ModelQuantizer, get_library_path
from quark.onnx.quantization.config import Config, get_default_config

BATCH = 64


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration inputs in batches."""

    def __init__(self, name: str, values: Any) -> None:
        self._batches: Iterator[dict[str, Any]] = iter(
            [{name: values[i : i + BATCH]} for i in range(0, len(values), BATCH)]
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None at the end."""
        return next(self._batches, None)


def main() -> None:
    """Quantize by the preset XINT8: int8, power-of-two scales, MinMSE, equalization."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--arrays", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.arrays) as archive:
        calibration, inputs = archive["calibration"], archive["inputs"]
    providers = ["CPUExecutionProvider"]
    name = ort.InferenceSession(options.model, providers=providers).get_inputs()[0].name
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "xint8.onnx"
        quantizer = ModelQuantizer(Config(global_quant_config=get_default_config("XINT8")))
        quantizer.quantize_model(str(options.model), str(result), Reader(name, calibration))
        session_options = ort.SessionOptions()
        session_options.register_custom_ops_library(get_library_path())
        session = ort.InferenceSession(result, session_options, providers=providers)
        output = session.get_outputs()[0].name
        parts = [
            session.run([output], {name: inputs[i : i + BATCH]})[0]
            for i in range(0, len(inputs), BATCH)
        ]
    versions = " ".join(f"{each} {version(each)}" for each in ("amd-quark", "torch", "onnxruntime"))
    np.savez(options.output, logits=np.concatenate(parts), versions=np.array(versions))


if __name__ == "__main__":
    main()
