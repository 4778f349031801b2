"""Back ends: each runs the network on a batch of preprocessed inputs and returns logits.

``native``          the on-board C++ engine on this machine (`make runtime`)
``int8``            the integer reference in NumPy, from the bundle alone
``onnx-int8``       the same integers in stock ONNX Runtime (model_int8.onnx)
``onnx``            the float network in ONNX Runtime (model.onnx)
``tf``              the frozen graph in TensorFlow (frozen_model.pb)
``tf-saved-model``  the trained network in TensorFlow (saved_model/)
``core-sim``        the open core in simulation (`make core-model`)

All take int8 inputs of shape [N, 32, 32, 1]; a float network is fed q / 128. Model files are looked
for beside the bundle, and must be the ones that the bundle was made from (compared by SHA-256).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime import exactness, integer
from edge_runtime.bundle import Bundle
from edge_runtime.core_model import CoreSimRunner
from edge_runtime.errors import InputError, MissingDependencyError, VerificationError
from edge_runtime.files import sha256_of
from edge_runtime.layers import Int8
from edge_runtime.native import NativeRunner, is_built
from edge_runtime.preprocess import to_float
from edge_runtime.tensorflow_import import import_tensorflow

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


class OnnxRunner:
    """ONNX Runtime on the CPU, for the float model and for the integer one.

    The integer one is refused where this machine's float32 sums are not exact (`exactness`), or
    its integers differ from the bundle's golden vectors.
    """

    def __init__(self, bundle: Bundle, model: Path, integer_model: bool) -> None:
        try:
            import onnxruntime as ort
        except ImportError:
            raise MissingDependencyError(
                "the onnx back ends need ONNX Runtime: pip install 'edgeglyph[onnx]'"
            ) from None
        self.integer = integer_model
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if integer_model:
            exactness.check_onnx_runtime(options)
        try:
            self._session: Any = ort.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
            raise InputError(f"{model}: not a model that ONNX Runtime loads ({error})") from None
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        if integer_model:
            found = self.run(bundle.golden.inputs)
            if not np.array_equal(found, bundle.golden.logits):
                raise VerificationError(
                    f"{model}: its integers differ from the golden vectors of bundle "
                    f"{bundle.name!r} on this machine; nothing was evaluated"
                )

    def run(self, inputs: Int8) -> Logits:
        """Logits [N, classes]: integers from the integer model, float32 from the float one."""
        fed = inputs if self.integer else to_float(inputs)
        (logits,) = self._session.run([self._output], {self._input: fed})
        found: Logits = logits.reshape(len(inputs), -1)
        return found


class TensorFlowRunner:
    """A frozen graph or a SavedModel in TensorFlow."""

    integer = False
    _LOGITS = "discriminator/dense/BiasAdd"

    def __init__(self, model: Path) -> None:
        tf = import_tensorflow()
        self._tf = tf
        self._call: Callable[[Any], Any]
        try:
            if model.is_dir():
                loaded = tf.saved_model.load(str(model))
                signature = loaded.signatures["serving_default"]
                self._keep = loaded  # its variables live as long as the object
                self._call = lambda x: signature(input_real=x)["logits"]
            else:
                self._call = self._frozen(model)
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{model}: not a model of this kind ({reason})") from None

    def _frozen(self, model: Path) -> Callable[[Any], Any]:
        tf = self._tf
        graph_def = tf.compat.v1.GraphDef()
        try:
            graph_def.ParseFromString(model.read_bytes())
        except Exception:  # protobuf's DecodeError has no stable home
            raise ValueError("no GraphDef, or truncated") from None
        wrapped = tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph_def, name=""), []
        )
        graph = wrapped.graph
        function: Callable[[Any], Any] = wrapped.prune(
            graph.get_tensor_by_name("input_real:0"), graph.get_tensor_by_name(f"{self._LOGITS}:0")
        )
        return function

    def run(self, inputs: Int8) -> Logits:
        """Logits float32 [N, classes]."""
        found: Logits = self._call(self._tf.constant(to_float(inputs))).numpy()
        return found.reshape(len(inputs), -1)


_MODEL_FILES = {
    "onnx": "model.onnx",
    "onnx-int8": "model_int8.onnx",
    "tf": "frozen_model.pb",
    "tf-saved-model": "saved_model",
}
BACKENDS = ("native", "int8", *_MODEL_FILES, "core-sim")


def default_backend() -> str:
    """``native`` where it is built, else the reference; both give the same integers."""
    return "native" if is_built() else "int8"


def open_runner(backend: str, bundle: Bundle, bundle_path: Path, model: Path | None) -> Runner:
    """Make a back end ready.

    Parameters
    ----------
    backend : one of `BACKENDS`
    bundle, bundle_path : the bundle and where it was read from
    model : the model file of a back end that needs one; by default it is looked for beside the
        bundle and compared with the hash that the bundle recorded
    """
    if backend == "int8":
        return Int8Runner(bundle)
    if backend == "native":
        return NativeRunner(bundle_path, bundle.network.int32_logits)
    if backend == "core-sim":
        return CoreSimRunner(bundle.core, bundle.golden.inputs, bundle.golden.logits)
    if backend not in _MODEL_FILES:
        raise InputError(f"no back end {backend!r}; there are {', '.join(BACKENDS)}")
    path = model or _model_beside(bundle, bundle_path, _MODEL_FILES[backend])
    if not path.exists():
        raise InputError(f"{path}: back end {backend} needs this model; name another with --model")
    if backend.startswith("onnx"):
        return OnnxRunner(bundle, path, integer_model=backend == "onnx-int8")
    return TensorFlowRunner(path)


def _model_beside(bundle: Bundle, bundle_path: Path, name: str) -> Path:
    path = bundle_path.parent / name
    recorded = bundle.manifest.get("files", {}).get(name)
    if recorded is not None and path.is_file() and sha256_of(path) != recorded:
        raise InputError(
            f"{path}: is not the {name} that {bundle_path.name} was made from; "
            "compile the bundle again, or name the model with --model"
        )
    return path
