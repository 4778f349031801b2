"""Back ends: each runs the network on a batch of preprocessed inputs and returns logits.

``native``          the on-board C++ engine on this machine (`make runtime`)
``int8``            the integer reference in NumPy, from the bundle alone
``onnx-int8``       the same integers in stock ONNX Runtime (model_int8.onnx)
``tf-int8``         the same integers in stock TensorFlow (quantize_eval_stock.pb)
``onnx``            the float network in ONNX Runtime (model.onnx)
``tf``              the frozen graph in TensorFlow (frozen_model.pb)
``tf-saved-model``  the trained network in TensorFlow (saved_model/)
``checkpoint``      the trained network, by the training code (best.npz)
``core-sim``        the open core in simulation (`make core-model`)

All take int8 inputs of shape [N, 32, 32, 1]; a float network is fed q / 128. Model files are looked
for beside the bundle, and must be the ones that the bundle was made from (compared by SHA-256).
"""

from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from edge_runtime import integer
from edge_runtime.bundle import Bundle
from edge_runtime.core_model import CoreSimRunner
from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of
from edge_runtime.layers import Int8
from edge_runtime.native import NativeRunner, is_built
from edge_runtime.onnx_runner import OnnxRunner
from edge_runtime.tensorflow_runners import (
    CheckpointRunner,
    FrozenRunner,
    SavedModelRunner,
    StockRunner,
)
from edge_runtime.trace import Trace

Logits = npt.NDArray[Any]  # int8 or int32 of an integer network, float32 of a float one


class Runner(Protocol):
    """A network ready to run; ``integer`` says whether its logits are the exact integers."""

    integer: bool

    def run(self, inputs: Int8) -> Logits:
        """Logits [N, classes] of int8 inputs [N, 32, 32, 1]."""
        ...


class Int8Runner:
    """The integer reference; refuses to run a bundle whose golden vectors do not come out."""

    integer = True

    def __init__(self, bundle: Bundle) -> None:
        bundle.self_test()
        self._network = bundle.network

    def run(self, inputs: Int8) -> Logits:
        """Logits int8 or int32 [N, classes]."""
        return integer.run(self._network, inputs)

    def trace(self, inputs: Int8) -> Trace:
        """Outputs of all layers, by their names."""
        outputs = integer.run_layers(self._network, inputs)
        layers = self._network.layers
        return {layer.name: out for layer, out in zip(layers, outputs, strict=True)}


# Where each model file may be, from the bundle's folder; the first that is there is taken.
_MODEL_FILES = {
    "onnx": ("model.onnx",),
    "onnx-int8": ("model_int8.onnx",),
    "tf": ("frozen_model.pb",),
    "tf-int8": ("quantize_eval_stock.pb",),
    "tf-saved-model": ("saved_model",),
    "checkpoint": ("training/best.npz", "best.npz"),
}
BACKENDS = ("native", "int8", *_MODEL_FILES, "core-sim")
INTEGER_BACKENDS = frozenset({"native", "int8", "onnx-int8", "tf-int8", "core-sim"})
TENSORFLOW_BACKENDS = frozenset({"tf", "tf-int8", "tf-saved-model", "checkpoint"})


def default_backend() -> str:
    """``native`` where it is built, else the reference; both give the same integers."""
    return "native" if is_built() else "int8"


def open_runner(
    backend: str,
    bundle: Bundle,
    bundle_path: Path,
    model: Path | None,
    isa: str | None = None,
    *,
    golden: bool = True,
    threads: int = 0,
) -> Runner:
    """Make a back end ready.

    Parameters
    ----------
    backend : one of `BACKENDS`
    bundle, bundle_path : the bundle and where it was read from
    model : the model file of a back end that needs one; by default it is looked for beside the
        bundle and compared with the hash that the bundle recorded
    isa : instruction set of `native`; None takes the fastest that the processor has
    golden : refuse an integer model that gets the bundle's golden vectors wrong
    threads : how many a batch may use in native and onnx; 0 takes all that the machine has
    """
    if isa and backend != "native":
        raise InputError(f"--isa {isa}: only back end native has instruction sets, not {backend}")
    if backend == "int8":
        return Int8Runner(bundle)
    if backend == "native":
        return NativeRunner(bundle_path, bundle.network.int32_logits, threads, isa)
    if backend == "core-sim":
        return CoreSimRunner(bundle.core, bundle.golden.inputs, bundle.golden.logits)
    if backend not in _MODEL_FILES:
        raise InputError(f"no back end {backend!r}; there are {', '.join(BACKENDS)}")
    path = model or model_beside(backend, bundle_path)
    if not path.exists():
        raise InputError(f"{path}: back end {backend} needs this model; name another with --model")
    if model is None:
        check_recorded(bundle, bundle_path, path)
    if backend in ("onnx", "onnx-int8"):
        return OnnxRunner(bundle, path, backend == "onnx-int8", golden, threads)
    if backend == "tf-int8":
        return StockRunner(path, bundle.network)
    if backend == "checkpoint":
        return CheckpointRunner(path)
    return SavedModelRunner(path) if path.is_dir() else FrozenRunner(path)


def model_beside(backend: str, bundle_path: Path) -> Path:
    """Return where a back end's model is, or would be, beside a bundle."""
    places = [bundle_path.parent / name for name in _MODEL_FILES[backend]]
    return next((path for path in places if path.exists()), places[0])


def check_recorded(bundle: Bundle, bundle_path: Path, path: Path) -> None:
    """Refuse a model file that is not the one that the bundle was made from."""
    recorded = bundle.manifest.get("files", {}).get(path.name)
    if recorded is not None and path.is_file() and sha256_of(path) != recorded:
        raise InputError(
            f"{path}: is not the {path.name} that {bundle_path.name} was made from; "
            "compile the bundle again, or name the model with --model"
        )
