"""Nodes and constants on their way to a serialized ONNX model: what both ONNX exports share."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

_OPSET, _IR_VERSION = 13, 7  # understood by ONNX Runtime since 1.6 (2020)


class OnnxBuilder:
    """Collects a model; the same calls always give the same bytes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add an operator, named like its output; return that name."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def serialized(self, name: str, given: Any, result: Any) -> bytes:
        """Bytes of the model ``name`` with one input and one output, each a ValueInfoProto."""
        graph = helper.make_graph(self.nodes, name, [given], [result], self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="edgeglyph",
        )
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data
