"""TensorFlow on the CPU: the trained network in its three float forms, and the integer graph."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import exactness
from edge_runtime.errors import EdgeGlyphError, InputError, MissingDependencyError
from edge_runtime.layers import Concat, Conv, Int8, IntegerNetwork
from edge_runtime.preprocess import SIDE, to_float
from edge_runtime.tensorflow_import import import_tensorflow
from edge_runtime.trace import Trace

_INPUT, _LOGITS = "input_real", "discriminator/dense/BiasAdd"
# What a float layer ends with; the tensors of these nodes are compared where two networks differ.
_LAYER_ENDS = frozenset({"Relu", "Mean", "BiasAdd", "FusedBatchNormV3", "Conv2D"})


class _GraphRunner:
    """A TensorFlow graph with one input and named tensors."""

    integer = False

    def __init__(self, wrapped: Any, fed: str, logits: str) -> None:
        self._wrapped, self._fed, self._logits = wrapped, fed, logits
        self._call = self._function([logits])

    def _function(self, names: Sequence[str]) -> Callable[[Any], Any]:
        graph = self._wrapped.graph
        fetched = [graph.get_tensor_by_name(f"{name}:0") for name in names]
        found: Callable[[Any], Any] = self._wrapped.prune(
            graph.get_tensor_by_name(f"{self._fed}:0"), fetched
        )
        return found

    def _values(self, names: Sequence[str], inputs: Int8) -> list[Any]:
        call = self._call if list(names) == [self._logits] else self._function(names)
        constant = import_tensorflow().constant
        return [value.numpy() for value in call(constant(to_float(inputs)))]

    def run(self, inputs: Int8) -> Any:
        """Logits float32 [N, classes]."""
        return self._values([self._logits], inputs)[0].reshape(len(inputs), -1)

    def trace(self, inputs: Int8) -> Trace:
        """Outputs of all layers, by the node's name."""
        operations = self._wrapped.graph.get_operations()
        names = [op.name for op in operations if op.type in _LAYER_ENDS]
        return dict(zip(names, self._values(names, inputs), strict=True))


class FrozenRunner(_GraphRunner):
    """frozen_model.pb."""

    def __init__(self, model: Path) -> None:
        super().__init__(_imported(model), _INPUT, _LOGITS)


class CheckpointRunner(_GraphRunner):
    """best.npz, in the network that was trained."""

    def __init__(self, model: Path) -> None:
        tf = import_tensorflow()
        try:
            # By name, because training stands above this package, and only this back end needs it.
            checkpoints = importlib.import_module("semi_supervised.training.checkpoints")
        except ImportError as error:
            raise MissingDependencyError(
                f"back end checkpoint needs the training package ({error}): "
                "pip install 'edgeglyph[train]'"
            ) from None
        network = checkpoints.load_best(model)[0]
        self._keep = network  # its variables live as long as the object
        signature = [tf.TensorSpec([None, SIDE, SIDE, 1], tf.float32)]
        wrapped = tf.compat.v1.wrap_function(lambda x: network(x, training=False).logits, signature)
        fed = wrapped.inputs[0].op.name
        super().__init__(wrapped, fed, _LOGITS)


class SavedModelRunner:
    """saved_model/."""

    integer = False

    def __init__(self, model: Path) -> None:
        self._tf = import_tensorflow()
        try:
            self._keep = self._tf.saved_model.load(str(model))
            self._signature = self._keep.signatures["serving_default"]
        except (OSError, KeyError, ValueError, self._tf.errors.OpError) as error:
            raise _unusable(model, str(error).splitlines()[0]) from None

    def run(self, inputs: Int8) -> Any:
        """Logits float32 [N, classes]."""
        found = self._signature(input_real=self._tf.constant(to_float(inputs)))["logits"].numpy()
        return found.reshape(len(inputs), -1)


class StockRunner(_GraphRunner):
    """quantize_eval_stock.pb: the integers as values q · 2^-p in stock operators."""

    integer = True

    def __init__(self, model: Path, network: IntegerNetwork) -> None:
        self._network = network
        exactness.check_tensorflow(import_tensorflow())
        wrapped = _imported(model)
        operations = wrapped.graph.get_operations()
        placeholders = [op.name for op in operations if op.type == "Placeholder"]
        ends = [op.name for op in operations if not op.outputs[0].consumers()]
        if len(placeholders) != 1 or len(ends) != 1:
            raise _unusable(model, "no graph with one input and one output")
        super().__init__(wrapped, placeholders[0], ends[0])

    def run(self, inputs: Int8) -> Any:
        """Logits int8 or int32 [N, classes]; what is no integer is left as it is."""
        return self._integers(super().run(inputs), self._network.logits_fix_point)

    def _integers(self, values: Any, fix_point: int) -> Any:
        scaled = np.ldexp(values.astype(np.float64), fix_point)
        dtype = np.int32 if self._network.int32_logits else np.int8
        whole = scaled.astype(dtype)
        return whole if np.array_equal(scaled, whole) else scaled

    def trace(self, inputs: Int8) -> Trace:
        """Outputs of the layers, by the bundle's names; a joined map has none of its own.

        quantize/export_eval.py ends every rounded tensor with a node ``…/aquant/output``.
        """
        operations = self._wrapped.graph.get_operations()
        rounded = [op.name for op in operations if op.name.endswith("/aquant/output")]
        layers = [
            layer
            for layer in self._network.layers
            if not isinstance(layer, Concat)
            and not (isinstance(layer, Conv) and layer.int32_output)
        ]
        if len(rounded) != len(layers) + 1:  # the first one is the input's
            return {}
        values = self._values(rounded[1:], inputs)
        return {
            layer.name: np.ldexp(value.astype(np.float64), layer.fix_point)
            for layer, value in zip(layers, values, strict=True)
        }


def _imported(model: Path) -> Any:
    """Return a function of a frozen graph's file."""
    tf = import_tensorflow()
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(model.read_bytes())
    except Exception:  # protobuf's DecodeError has no stable home
        raise _unusable(model, "no GraphDef, or truncated") from None
    try:
        return tf.compat.v1.wrap_function(
            lambda: tf.graph_util.import_graph_def(graph_def, name=""), []
        )
    except EdgeGlyphError:
        raise
    except (KeyError, ValueError, tf.errors.OpError) as error:
        raise _unusable(model, str(error).splitlines()[0]) from None


def _unusable(model: Path, reason: str) -> InputError:
    return InputError(f"{model}: not a model of this kind ({reason})")
