"""Read a float network from a file into the IR, whichever of the two formats it is."""

from pathlib import Path

import numpy as np

from edge_runtime.errors import GraphError
from quantize.import_onnx import import_onnx
from quantize.import_tf import import_tf
from quantize.ir import Graph


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
    if not path.is_file():
        raise GraphError(f"{path}: no such model file")
    if path.suffix == ".pb":
        read = import_tf
    elif path.suffix == ".onnx":
        read = import_onnx
    else:
        raise GraphError(f"{path}: expected a frozen graph .pb or a float model .onnx")
    graph = read(path, input_node, output_node)
    for node in graph.nodes.values():
        value = node.value
        floating = value is not None and np.issubdtype(value.dtype, np.floating)
        if value is not None and floating and not np.isfinite(value).all():
            raise GraphError(
                f"{path}: constant {node.name!r} holds NaN or infinity; train again, and freeze "
                "a checkpoint whose loss is finite"
            )
    return graph
