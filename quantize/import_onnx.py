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


def read_onnx(path: Path, strict: bool) -> "OnnxImporter":
    """Read a .onnx; see `quantize.import_graph`."""
    try:
        model = onnx.load(str(path))
    except Exception:  # protobuf's DecodeError has no stable home
        raise GraphError(
            f"{path}: not an ONNX model, or truncated; export the checkpoint again"
        ) from None
    if not model.graph.node:
        raise GraphError(f"{path}: holds no nodes; it is no ONNX model")
    return OnnxImporter(path, model if strict else _with_shapes(model), strict)


def _with_shapes(model: Any) -> Any:
    """Return the model with the shapes of its tensors, as far as ONNX can infer them."""
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # of operators that ONNX itself does not know
        return model


class OnnxImporter:
    """Turns the nodes of one ONNX graph into the IR; not ``strict``, it passes unknown ones on."""

    def __init__(self, path: Path, model: Any, strict: bool) -> None:
        graph = model.graph
        self.path, self.strict = path, strict
        self.output = ""
        self.shapes = {
            plain_name(each.name): [d.dim_value or 1 for d in each.type.tensor_type.shape.dim]
            for each in (*graph.input, *graph.value_info, *graph.output)
            if each.type.tensor_type.HasField("shape")
        }
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
        self.inputs = {
            name: [plain_name(each) for each in node.input] for name, node in self.nodes.items()
        }
        self.tensors: dict[str, str] = {}  # source tensor → IR node that consumers read

    def graph(self, input_node: str | None, output_node: str | None) -> Graph:
        """Return the graph from an input to an output; see `quantize.import_graph`."""
        ops = {name: node.op_type for name, node in self.nodes.items()}
        candidates = [name for name in self.placeholders if name not in self.constants]
        source = importing.choose_input(self.path, input_node, candidates)
        self.output = importing.choose_output(self.path, output_node, self.inputs, ops)
        order = importing.needed_order(self.path, source, self.output, self._feeds)
        made: list[Node] = []
        for name in order:
            made += self._convert(name, source)
            self.tensors[name] = made[-1].name
        return Graph.of(made, source, self.tensors[self.output])

    def behind(self) -> list[tuple[str, str]]:
        """List name and operator of what follows the output that was chosen."""
        names = importing.following(self.output, self.inputs)
        return [(name, self.nodes[name].op_type) for name in names]

    def _feeds(self, name: str) -> list[str]:
        try:
            return self._data_of(name)
        except importing.UnsupportedNodeError:
            if self.strict:
                raise
        return [each for each in self.inputs[name] if each]

    def _data_of(self, name: str) -> list[str]:
        """List the tensors that carry data into a node."""
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
        try:
            self._data_of(name)
            return self._converted(name, source)
        except importing.UnsupportedNodeError as error:
            if self.strict:
                raise
            return self._unknown(name, error)

    def _unknown(self, name: str, error: importing.UnsupportedNodeError) -> list[Node]:
        fed = tuple(self.tensors[each] for each in self._feeds(name))
        node = importing.unknown_node(error, fed)
        if name in self.shapes:
            node = node.with_attributes(shape=tuple(self.shapes[name]))
        first = next(iter(self._feeds(name)), "")
        given = () if first in self.constants else self.shapes.get(first, ())
        if len(self.shapes.get(name, ())) != 4 or len(given) != 4:
            return [node]
        _, *size = self.shapes[name]
        return importing.in_nchw(node.with_attributes(shape=(1, *size[1:], size[0])))

    def _converted(self, name: str, source: str) -> list[Node]:
        if name in self.constants:
            return [constant(name, self.constants[name])]
        if name in self.placeholders:
            if name != source:
                raise importing.misused(
                    self.path, name, "input", "is a second input; export the inference graph"
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
