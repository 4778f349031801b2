"""Run model_int8.onnx in ONNX Runtime against the integer reference, integer for integer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_runtime import exactness
from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.integer import Logits
from edge_runtime.layers import Int8, IntegerNetwork
from quantize.export_onnx import INPUT, OUTPUT
from quantize.methods import run_integers

BATCHES = (1, 64)
_SEED = 20160610


def probes(network: IntegerNetwork, calibration: Int8) -> dict[str, Int8]:
    """Inputs by kind, int8 [N, height, width, channels], that reach different corners.

    Saturating ones drive sums to their bounds. Sparse ones give small sums with few terms, which
    fall on exact halves of the rounding shift far more often than random ones do.
    """
    rng = np.random.default_rng(_SEED)
    shape = network.input_shape
    flat = np.array([-128, 127, 0, 1, -1, 64, -64], np.int8)
    impulses = np.zeros((32, *shape), np.int8)
    for i, image in enumerate(impulses):
        image.reshape(-1)[rng.integers(image.size, size=1 + i % 4)] = rng.choice(flat)
    return {
        "flat": np.broadcast_to(flat.reshape(-1, 1, 1, 1), (len(flat), *shape)).copy(),
        "saturating": rng.choice(np.array([-128, 127], np.int8), (64, *shape)),
        "random": rng.integers(-128, 128, (64, *shape)).astype(np.int8),
        "sparse": impulses,
        "calibration": calibration,
    }


def verify_onnx(model: bytes, network: IntegerNetwork, calibration: Int8, name: str) -> int:
    """Compare the model with the reference on all probes, in batches of 1 and of 64.

    Parameters
    ----------
    model : a serialized model;  name : what to call it in messages
    calibration : int8 [N, height, width, channels], real inputs

    Returns
    -------
    The number of inputs compared.

    Raises
    ------
    VerificationError
        Naming the first input and class whose integers differ; or where a self-test shows that
        this machine does not add exactly.
    """
    session = _session(model, name)
    exactness.check_onnx_runtime(_options())

    def run(inputs: Int8) -> Logits:
        logits: Logits = session.run([OUTPUT], {INPUT: inputs})[0]
        return logits

    return compare_on_probes(run, network, calibration, name, "ONNX Runtime")


def compare_on_probes(
    run: Callable[[Int8], Logits],
    network: IntegerNetwork,
    calibration: Int8,
    name: str,
    engine: str,
) -> int:
    """Compare what ``run`` makes of a batch with the reference, in batches of 1 and of 64.

    Returns the number of inputs compared; raises as `compare`.
    """
    compared = 0
    for kind, inputs in probes(network, calibration).items():
        wanted = run_integers(network, inputs)
        for batch in BATCHES:
            fed = inputs[:32] if batch == 1 else inputs
            found = np.concatenate([run(fed[i : i + batch]) for i in range(0, len(fed), batch)])
            compare(found, wanted[: len(fed)], f"{name}, {kind} inputs", engine)
            compared += len(fed)
    return compared


def _session(model: bytes, name: str) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingDependencyError(
            "checking the int8 model needs ONNX Runtime: pip install 'edgeglyph[onnx]'"
        ) from None
    try:
        return ort.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
        reason = str(error).splitlines()[0]
        raise VerificationError(f"{name}: ONNX Runtime does not load it ({reason})") from None


def _options() -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options


def compare(found: Logits, wanted: Logits, where: str, engine: str) -> None:
    """Raise `VerificationError` naming the first difference of two arrays [N, classes]."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        raise VerificationError(
            f"{where}: logits are {found.dtype} {found.shape}, not {wanted.dtype} {wanted.shape}"
        )
    different = np.argwhere(found != wanted)
    if len(different):
        image, label = (int(v) for v in different[0])
        raise VerificationError(
            f"{where}: {len(different)} of {found.size} integers differ; the first is input "
            f"{image}, class {label}: {found[image, label]} in {engine}, "
            f"{wanted[image, label]} in the reference; quantize again, or report this machine"
        )
