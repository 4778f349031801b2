"""ONNX Runtime on the CPU: the float network and the integer one, and what their layers compute."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import exactness
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, MissingDependencyError, VerificationError
from edge_runtime.exactness import onnx_output
from edge_runtime.layers import Int8
from edge_runtime.preprocess import to_float
from edge_runtime.trace import Trace

# Field numbers of onnx.proto3
_GRAPH, _NODE, _NODE_OUTPUT = 7, 1, 2


class OnnxRunner:
    """ONNX Runtime on the CPU, for the float model and for the integer one.

    The integer one is refused where this machine's float32 sums are not exact (`exactness`), or,
    with ``golden``, where its integers differ from the bundle's golden vectors.

    threads : how many a batch may use; 0 takes all that the machine has
    """

    def __init__(
        self,
        bundle: Bundle,
        model: Path,
        integer_model: bool,
        golden: bool = True,
        threads: int = 0,
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError:
            raise MissingDependencyError(
                "the onnx back ends need ONNX Runtime: pip install 'edgeglyph[onnx]'"
            ) from None
        self.integer = integer_model
        self._names = [layer.name for layer in bundle.network.layers]
        self._model = model
        self._options = ort.SessionOptions()
        self._options.log_severity_level = 3
        self._options.intra_op_num_threads = threads
        if integer_model:
            exactness.check_onnx_runtime(self._options)
        self._session = self._load(str(model))
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        if integer_model and golden:
            found = self.run(bundle.golden.inputs)
            if not np.array_equal(found, bundle.golden.logits):
                raise VerificationError(
                    f"{model}: its integers differ from the golden vectors of bundle "
                    f"{bundle.name!r} on this machine; nothing was evaluated"
                )

    def _load(self, model: str | bytes) -> Any:
        import onnxruntime as ort

        try:
            return ort.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes derive from Exception alone
            raise InputError(
                f"{self._model}: not a model that ONNX Runtime loads ({error})"
            ) from None

    def _fed(self, inputs: Int8) -> Any:
        return inputs if self.integer else to_float(inputs)

    def run(self, inputs: Int8) -> Any:
        """Logits [N, classes]: integers from the integer model, float32 from the float one."""
        (logits,) = self._session.run([self._output], {self._input: self._fed(inputs)})
        return logits.reshape(len(inputs), -1)

    def trace(self, inputs: Int8) -> Trace:
        """Outputs of the layers, NHWC, by the layers' names of the bundle or of the float graph."""
        data = self._model.read_bytes()
        tensors = self._integer_tensors(data) if self.integer else _float_tensors(data)
        added = b"".join(onnx_output(tensor) for tensor in tensors.values())
        # Messages that follow one another are merged: the graph gets more outputs.
        session = self._load(data + added)
        values = session.run(list(tensors.values()), {self._input: self._fed(inputs)})
        return {
            name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value
            for name, value in zip(tensors, values, strict=True)
        }

    def _integer_tensors(self, model: bytes) -> dict[str, str]:
        """Last tensor of every layer; quantize/export_onnx.py calls them ``layerN_…``."""
        last: dict[str, str] = {}
        for tensor in node_outputs(model):
            number, _, part = tensor.removeprefix("layer").partition("_")
            if part and number.isdigit() and int(number) < len(self._names):
                last[self._names[int(number)]] = tensor
        return last


def _float_tensors(model: bytes) -> dict[str, str]:
    """Tensors that have the frozen graph's names."""
    return {name: name for name in node_outputs(model)}


def node_outputs(model: bytes) -> list[str]:
    """Names of all nodes' outputs of a serialized model, in order."""
    names = []
    for field, graph in _fields(model):
        if field != _GRAPH:
            continue
        for inner, node in _fields(graph):
            if inner == _NODE:
                names += [bytes(v).decode() for f, v in _fields(node) if f == _NODE_OUTPUT]
    return names


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of every length-delimited field of a protobuf message."""
    data, at = memoryview(message), 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 2:
            size, at = _varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(data, at)
        else:
            at += {1: 8, 5: 4}[kind]


def _varint(data: Sequence[int] | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
