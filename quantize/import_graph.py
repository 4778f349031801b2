"""Read a float network from a file into the IR, whichever of the two formats it is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import GraphError
from quantize.import_onnx import OnnxImporter, read_onnx
from quantize.import_tf import TensorFlowImporter, read_tf
from quantize.ir import Graph


@dataclass(frozen=True)
class Survey:
    """A graph in which what the quantizer does not know stands as UNKNOWN nodes.

    behind : name and operator of every node of the file that follows the output
    names : of all nodes of the file; an importer adds others, which change layouts
    """

    graph: Graph
    behind: tuple[tuple[str, str], ...]
    names: frozenset[str]


def import_graph(
    path: Path, input_node: str | None = None, output_node: str | None = None
) -> Graph:
    """Read a frozen TensorFlow graph (.pb) or a float32 ONNX model (.onnx).

    Parameters
    ----------
    input_node : name of the input; needed only where there are several
    output_node : name of the logits, or of the softmax after them; by default the project's own
        name, else the only softmax, else the only node that feeds nothing

    Raises
    ------
    GraphError
        When the file is no such graph, lacks a node, holds an operator that the quantizer does
        not know, or weights that are not finite. The message names the file and the node.
    """
    graph = _importer(path, strict=True).graph(input_node, output_node)
    _check_finite(path, graph)
    return graph


def survey(path: Path, input_node: str | None = None, output_node: str | None = None) -> Survey:
    """Read a model as `import_graph` does, and go on where a node is not understood."""
    importer = _importer(path, strict=False)
    graph = importer.graph(input_node, output_node)
    _check_finite(path, graph)
    return Survey(graph, tuple(importer.behind()), frozenset(importer.inputs))


def _importer(path: Path, strict: bool) -> TensorFlowImporter | OnnxImporter:
    if not path.is_file():
        raise GraphError(f"{path}: no such model file")
    if path.suffix == ".pb":
        return read_tf(path, strict)
    if path.suffix == ".onnx":
        return read_onnx(path, strict)
    raise GraphError(f"{path}: expected a frozen graph .pb or a float model .onnx")


def _check_finite(path: Path, graph: Graph) -> None:
    for node in graph.nodes.values():
        value = node.value
        floating = value is not None and np.issubdtype(value.dtype, np.floating)
        if value is not None and floating and not np.isfinite(value).all():
            raise GraphError(
                f"{path}: constant {node.name!r} holds NaN or infinity; train again, and freeze "
                "a checkpoint whose loss is finite"
            )
