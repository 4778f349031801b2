"""Compare a quantization with those of other tools, on the same calibration inputs and images.

    python scripts/compare_quantizers.py --model model.onnx --quantized DIR --images manifest.csv \
        [--split test] [--quark ENVIRONMENT/bin/python]

DIR is what `python -m quantize run` left; every tool is calibrated on DIR/calibration.npz.

ONNX Runtime's static quantization is free in its scales (ours are powers of two); it has one for
each tensor here. AMD Quark's preset XINT8 has powers of two. It is large, and wants versions of its
own: ``--quark`` names the interpreter of an environment that has it::

    python3 -m venv quark && quark/bin/pip install amd-quark torch onnxruntime
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
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
from edge_runtime.console import run_command
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.metrics import wilson
from edge_runtime.preprocess import preprocess, to_float
from quantize.artifacts import CALIBRATION_NAME, read_quantization
from quantize.logits import count_ties
from quantize.methods import run_integers

BATCH = 64
QUARK = Path(__file__).with_name("quantize_with_quark.py")


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


def by_quark(python: Path, model: Path, values: Any, inputs: Any) -> tuple[Any, str]:
    """Quantize with AMD Quark, XINT8, in its own environment; return logits and versions."""
    with tempfile.TemporaryDirectory() as folder:
        arrays, result = Path(folder) / "arrays.npz", Path(folder) / "logits.npz"
        np.savez(arrays, calibration=values, inputs=inputs)
        options = ("--model", model, "--arrays", arrays, "--output", result)
        command = [str(each) for each in (python, QUARK, *options)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise InputError(f"{python}: not an interpreter ({error.strerror})") from None
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingDependencyError(
                f"{python}: AMD Quark failed ({reason}); it needs pip install amd-quark torch "
                "onnxruntime in that environment"
            )
        with np.load(result) as archive:
            return archive["logits"], str(archive["versions"])


def compare(options: argparse.Namespace) -> int:
    """Print accuracy, agreement with float, and ties of every quantization."""
    quantization = read_quantization(options.quantized)
    if quantization.alphabet is None:
        raise InputError(f"{options.quantized}: has no alphabet, so its classes have no labels")
    images = find_labeled_images(options.images, quantization.alphabet, options.split)
    pixels = np.stack([preprocess(read_gray(image.path)) for image in images])
    labels = np.array(classes_of([image.label for image in images], quantization.alphabet))
    with np.load(options.quantized / CALIBRATION_NAME) as archive:
        values = archive[archive.files[0]]
    inputs = to_float(pixels)
    exact = logits(options.model, inputs)
    versions = f"onnxruntime {version('onnxruntime')}"
    found = {
        "float": exact,
        f"ours, {quantization.provenance['method']}": run_integers(quantization.network, pixels),
    }
    if options.quark is not None:
        z, theirs = by_quark(options.quark, options.model, values, inputs)
        found["AMD Quark, XINT8"] = z
        versions += f"; Quark's environment: {theirs}"
    for title, method in (
        ("ONNX Runtime, MinMax", CalibrationMethod.MinMax),
        ("ONNX Runtime, Percentile", CalibrationMethod.Percentile),
    ):
        found[title] = by_onnx_runtime(options.model, values, method, inputs)
    rows = []
    for title, z in found.items():
        answers = z.argmax(axis=1)
        hits = (answers == labels, answers == exact.argmax(axis=1), count_ties(z))
        rows.append([title, *(_share(hit) for hit in hits)])
    print(f"n = {len(labels):,} {options.split or 'images'}, calibrated on {len(values):,}")
    print(tabulate(rows, ["quantizer", "accuracy", "agreement", "ties"], tablefmt="github"))
    print(versions)
    return 0


def _share(hits: Any) -> str:
    found = wilson(int(np.count_nonzero(hits)), len(hits))
    return f"{found.value:.2%} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def main() -> int:
    """Parse the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the float ONNX model")
    parser.add_argument("--quantized", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=Path, required=True, help="labeled images")
    parser.add_argument("--split", default=None, help="of a manifest")
    parser.add_argument(
        "--quark", type=Path, metavar="PYTHON", help="interpreter that has amd-quark"
    )
    return run_command(compare, parser, None)


if __name__ == "__main__":
    sys.exit(main())
