"""Read a float32 ONNX model, as tf2onnx writes them and others like it.

An IR node is named as the tensor that it computes, without the ``:0`` that tf2onnx appends: for the
networks of this project these are the TensorFlow node's names. ONNX computes in NCHW; each spatial
operator is wrapped in transposes, which a pass removes. An NCHW input, as PyTorch exports it,
becomes an NHWC one: calibration inputs are NHWC for every graph.
"""

from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from edge_runtime.errors import GraphError
from quantize import importing
from quantize.ir import Graph, Node, Op, constant
from quantize.onnx_operators import (
    ELEMENTWISE,
    FIRST_INPUT_ONLY,
    OPERATORS,
    SPATIAL,
    SourceNode,
    plain_name,
)


def import_onnx(path: Path, input_node: str | None, output_node: str | None) -> Graph:
    """Read a .onnx; see `quantize.import_graph.import_graph`."""
    try:
        model = onnx.load(str(path))
    except Exception:  # protobuf's DecodeError has no stable home
        raise GraphError(
            f"{path}: not an ONNX model, or truncated; export the checkpoint again"
        ) from None
    if not model.graph.node:
        raise GraphError(f"{path}: holds no nodes; it is no ONNX model")
    return _Importer(path, model.graph).graph(input_node, output_node)


class _Importer:
    def __init__(self, path: Path, graph: Any) -> None:
        self.path = path
        self.constants = {
            plain_name(each.name): importing.as_float32(numpy_helper.to_array(each))
            for each in graph.initializer
        }
        self.placeholders = {plain_name(each.name): each for each in graph.input}
        self.nodes = {plain_name(name): node for node in graph.node for name in node.output}
        for name, node in self.nodes.items():
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                value = numpy_helper.to_array(node.attribute[0].t)
                self.constants[name] = importing.as_float32(value)
        self.tensors: dict[str, str] = {}  # source tensor → IR node that consumers read

    def graph(self, input_node: str | None, output_node: str | None) -> Graph:
        inputs = {
            name: [plain_name(each) for each in node.input] for name, node in self.nodes.items()
        }
        candidates = [name for name in self.placeholders if name not in self.constants]
        softmaxes = [name for name, node in self.nodes.items() if node.op_type == "Softmax"]
        source = importing.choose_input(self.path, input_node, candidates)
        output = importing.choose_output(self.path, output_node, inputs, softmaxes)
        order = importing.needed_order(self.path, source, output, self._feeds)
        made: list[Node] = []
        for name in order:
            made += self._convert(name, source)
            self.tensors[name] = made[-1].name
        return Graph.of(made, source, self.tensors[output])

    def _feeds(self, name: str) -> list[str]:
        if name in self.constants or name in self.placeholders:
            return []
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(f"{self.path}: tensor {name!r} is used but nothing makes it")
        if node.op_type not in OPERATORS:
            raise importing.unsupported(self.path, name, node.op_type, OPERATORS)
        # Axes and shapes are read as attributes.
        count = 1 if node.op_type in FIRST_INPUT_ONLY else len(node.input)
        return [plain_name(each) for each in node.input[:count] if each]

    def _convert(self, name: str, source: str) -> list[Node]:
        if name in self.constants:
            return [constant(name, self.constants[name])]
        if name in self.placeholders:
            if name != source:
                raise GraphError(
                    f"{self.path}: needs a second input {name!r}; export the inference graph"
                )
            return self._input(name)
        inputs = tuple(self.tensors[each] for each in self._feeds(name))
        node = SourceNode(self.path, name, self.nodes[name], inputs, self.constants, self.nodes)
        return OPERATORS[node.proto.op_type](node)

    def _input(self, name: str) -> list[Node]:
        dims = self.placeholders[name].type.tensor_type.shape.dim
        shape = [d.dim_value if d.HasField("dim_value") else None for d in dims]
        if not self._reads_nchw(name) or len(shape) != 4:
            return [importing.input_node(self.path, name, shape)]
        nhwc = importing.input_node(self.path, name, [shape[0], *shape[2:], shape[1]])
        turn = Node(f"{name}/to_nchw", Op.TRANSPOSE, (name,), {"perm": importing.TO_NCHW})
        return [nhwc, turn]

    def _reads_nchw(self, name: str) -> bool:
        """Whether an operator that ONNX defines on NCHW reads a tensor, perhaps behind others.

        tf2onnx keeps an NHWC input and transposes it first; PyTorch exports read NCHW at once.
        """
        waiting, seen = [name], set()
        while waiting:
            tensor = waiting.pop()
            for made, node in self.nodes.items():
                if made in seen or tensor not in map(plain_name, node.input):
                    continue
                if node.op_type in SPATIAL:
                    return True
                seen.add(made)
                if node.op_type in ELEMENTWISE:
                    waiting.append(made)
        return False
