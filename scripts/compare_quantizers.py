"""Compare a quantization with ONNX Runtime's own, on the same calibration inputs and images.

    python scripts/compare_quantizers.py --model model.onnx --quantized DIR --images manifest.csv

DIR is what `python -m quantize run` left. ONNX Runtime's static quantization is free in its scales
(ours are powers of two); it is calibrated on DIR/calibration.npz, with one scale for each tensor.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from tabulate import tabulate

from edge_runtime.alphabet import classes_of
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import preprocess, to_float
from quantize.artifacts import CALIBRATION_NAME, read_quantization
from quantize.logits import tie_share
from quantize.methods import run_integers

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


def logits(model: Path, inputs: Any) -> Any:
    """Run a model with one input on float inputs; return its first output."""
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name
    parts = [
        session.run([output], {name: inputs[i : i + BATCH]})[0]
        for i in range(0, len(inputs), BATCH)
    ]
    return np.concatenate(parts)


def by_onnx_runtime(model: Path, values: Any, method: Any, inputs: Any) -> Any:
    """Quantize with ONNX Runtime and run the result."""
    with tempfile.TemporaryDirectory() as folder:
        ready, result = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
        name = ort.InferenceSession(str(ready)).get_inputs()[0].name
        quantize_static(
            str(ready), str(result), Reader(name, values), quant_format=QuantFormat.QDQ,
            per_channel=False, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
            calibrate_method=method,
        )  # fmt: skip
        return logits(result, inputs)


def main() -> None:
    """Print accuracy, agreement with float, and ties of every quantization."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the float ONNX model")
    parser.add_argument("--quantized", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=Path, required=True, help="labeled images")
    parser.add_argument("--split", default=None, help="of a manifest")
    options = parser.parse_args()
    quantization = read_quantization(options.quantized)
    if quantization.alphabet is None:
        parser.error("the quantization has no alphabet")
    images = find_labeled_images(options.images, quantization.alphabet, options.split)
    pixels = np.stack([preprocess(read_gray(image.path)) for image in images])
    labels = np.array(classes_of([image.label for image in images], quantization.alphabet))
    with np.load(options.quantized / CALIBRATION_NAME) as archive:
        values = archive[archive.files[0]]
    inputs = to_float(pixels)
    exact = logits(options.model, inputs)
    found = {
        f"ours, {quantization.provenance['method']}": run_integers(quantization.network, pixels)
    }
    for title, method in (
        ("ONNX Runtime, MinMax", CalibrationMethod.MinMax),
        ("ONNX Runtime, Percentile", CalibrationMethod.Percentile),
    ):
        found[title] = by_onnx_runtime(options.model, values, method, inputs)
    rows = [["float", np.mean(exact.argmax(1) == labels), 1.0, tie_share(exact)]]
    for title, z in found.items():
        same = np.mean(z.argmax(1) == exact.argmax(1))
        rows.append([title, np.mean(z.argmax(1) == labels), same, tie_share(z)])
    print(f"n = {len(labels):,}")
    print(tabulate(rows, ["quantizer", "accuracy", "agreement", "ties"], floatfmt=".4f"))


if __name__ == "__main__":
    main()
