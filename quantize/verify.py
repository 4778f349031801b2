"""Prove again, from files alone, that all integer forms of a network agree."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.errors import InputError, VerificationError
from edge_runtime.files import sha256_of
from edge_runtime.layers import Conv, Int8, IntegerNetwork
from quantize import artifacts, compile, inputs
from quantize.check_onnx import verify_onnx
from quantize.check_tf import tensorflow_is_installed, verify_stock
from quantize.methods import integer_inputs, run_integers

_CHECKED_INPUTS = 256


@dataclass(frozen=True)
class Verified:
    """Something that was found to hold."""

    what: str
    how: str


def verify(folder: Path, bundle_path: Path | None = None) -> list[Verified]:
    """Check the files of `run`, and the bundle made from them.

    Parameters
    ----------
    folder : where `run` wrote its files
    bundle_path : by default the bundles (.egb) in ``folder``, if there are any

    Raises
    ------
    VerificationError
        Where two of them differ, naming the first difference.
    """
    quantization = artifacts.read_quantization(folder)
    network = quantization.network
    model = folder / artifacts.ONNX_NAME
    if not model.is_file():
        raise InputError(f"{model}: no such file; run `python -m quantize run` again")
    golden = compile.golden_inputs(quantization, folder)  # compares the calibration's hash
    values = inputs.calibration_from_npz(
        folder / artifacts.CALIBRATION_NAME, network.input_shape
    ).values
    probes = np.concatenate([golden, integer_inputs(network, values[:_CHECKED_INPUTS])])
    compared = verify_onnx(model.read_bytes(), network, probes, str(model))
    found = [
        Verified(artifacts.WEIGHTS_NAME, f"SHA-256 as {artifacts.JSON_NAME} says"),
        Verified(artifacts.CALIBRATION_NAME, f"SHA-256 as {artifacts.JSON_NAME} says"),
        Verified(model.name, f"= integer reference, {compared} inputs in batches of 1 and 64"),
    ]
    found += _verify_stock(folder, quantization.provenance["stock_output"], network, probes)
    for path in [bundle_path] if bundle_path else sorted(folder.glob("*.egb")):
        found += _verify_bundle(path, folder, network)
    return found


def _verify_stock(
    folder: Path, output: str, network: IntegerNetwork, probes: Int8
) -> list[Verified]:
    path = folder / artifacts.STOCK_NAME
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `python -m quantize run` again")
    if not tensorflow_is_installed():
        return [Verified(path.name, "not compared: TensorFlow is not installed")]
    compared = verify_stock(path.read_bytes(), output, network, probes, str(path))
    how = f"= integer reference in TensorFlow, {compared} inputs in batches of 1 and 64"
    return [Verified(path.name, how)]


def _verify_bundle(path: Path, folder: Path, network: IntegerNetwork) -> list[Verified]:
    bundle = read_bundle(path)
    bundle.self_test()
    _check_files(bundle, path, folder)
    _check_same(bundle.network, network, path)
    vectors = bundle.golden.inputs
    if not np.array_equal(run_integers(network, vectors), bundle.golden.logits):
        raise VerificationError(f"{path}: golden logits differ from {folder}; compile it again")
    return [
        Verified(path.name, f"self-test, {len(vectors)} golden vectors, layer by layer"),
        Verified(path.name, "weights, shifts and the hashes of model files are the folder's"),
    ]


def _check_files(bundle: Bundle, path: Path, folder: Path) -> None:
    for name, digest in bundle.manifest.get("files", {}).items():
        file = folder / name
        if file.is_file() and sha256_of(file) != digest:
            raise VerificationError(
                f"{path}: was made from another {name} than {file}; compile it again"
            )


def _check_same(found: IntegerNetwork, wanted: IntegerNetwork, path: Path) -> None:
    if len(found.layers) != len(wanted.layers):
        raise VerificationError(
            f"{path}: has {len(found.layers)} layers, quantization.json {len(wanted.layers)}; "
            "compile it again"
        )
    for a, b in zip(found.layers, wanted.layers, strict=True):
        same = type(a) is type(b)
        for key in a.__dataclass_fields__ if same else ():
            same = same and np.array_equal(getattr(a, key), getattr(b, key))
        if not same:
            kind = "layer" if isinstance(a, Conv) else "pool"
            raise VerificationError(
                f"{path}: {kind} {a.name!r} is not that of quantization.json; compile it again"
            )
