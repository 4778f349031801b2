"""What the two importers share: choosing input and output, order, names, layouts."""

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_runtime.errors import GraphError
from quantize.ir import Array, Attribute, Node, Op

INPUT_NAME = "input_real"
LOGITS_NAME = "discriminator/dense/BiasAdd"
_INSTEAD = {
    **dict.fromkeys(
        ("Elu", "Selu", "Softplus", "HardSwish", "Swish", "Gelu", "PRelu"),
        "use Relu, Relu6 or LeakyRelu with slope 0.1",
    ),
    **dict.fromkeys(
        ("Tanh", "Sigmoid", "HardSigmoid"),
        "use Relu inside the network; at its end, cut before it with --output-node",
    ),
    **dict.fromkeys(
        ("ArgMax", "LogSoftmax", "TopKV2", "TopK", "Exp", "LogSumExp"),
        "end the graph at the logits with --output-node",
    ),
    **dict.fromkeys(
        (
            "Conv2DBackpropInput",
            "ConvTranspose",
            "ResizeBilinear",
            "Resize",
            "ResizeNearestNeighbor",
            "Upsample",
        ),
        "a classifier needs none; use a strided Conv2D",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "BlockLSTM"), "the DPU has no recurrent layers"),
    **dict.fromkeys(
        ("VariableV2", "VarHandleOp", "ReadVariableOp"),
        "freeze the graph: its weights must be constants",
    ),
    **dict.fromkeys(
        ("PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While", "Loop"),
        "freeze the inference graph, with functions inlined and without branches",
    ),
    **dict.fromkeys(("ReduceMax", "GlobalMaxPool", "Max"), "use MaxPool with a kernel as the map"),
    **dict.fromkeys(("Sum", "ReduceSum"), "use a mean over height and width"),
    **dict.fromkeys(
        ("Split", "SplitV", "StridedSlice", "Slice", "Gather"),
        "use a convolution of its own for each branch",
    ),
}
# Operators without a counterpart in the IR whose output is as large as their input.
_ELEMENTWISE = frozenset(
    {
        *("Abs", "Ceil", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LRN"),
        *("Log", "LogSoftmax", "Neg", "PRelu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Cos"),
        *("Softplus", "Softsign", "Sqrt", "Square", "Swish", "Tanh", "Clip", "Pow", "Mish"),
    }
)
# What makes a decision of logits; a graph that ends there is cut before it.
_DECISIONS = frozenset({"ArgMax", "Cast", "LogSoftmax", "TopK", "TopKV2"})
TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


class UnsupportedNodeError(GraphError):
    """A node that no importer understands; ``advice`` says what to use instead."""

    def __init__(self, path: Path, name: str, op: str, what: str, advice: str) -> None:
        super().__init__(f"{path}: node {name!r}{what}{advice}")
        self.name, self.op, self.advice = name, op, advice


def find(path: Path, wanted: str, names: Collection[str], option: str) -> str:
    """Return ``wanted`` if it is there; else raise `GraphError` with the nearest names."""
    wanted = wanted.removesuffix(":0")
    if wanted in names:
        return wanted
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4) or sorted(names)[:3]
    raise GraphError(
        f"{path}: has no node {wanted!r}; near it: {', '.join(near)}; name it with {option}"
    )


def choose_input(path: Path, wanted: str | None, candidates: Sequence[str]) -> str:
    """Choose the input among the graph's placeholders."""
    if wanted is not None:
        return find(path, wanted, candidates, "--input-node")
    if INPUT_NAME in candidates:
        return INPUT_NAME
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(candidates[:5]) or "none"
    raise GraphError(
        f"{path}: has no node {INPUT_NAME!r}; its inputs: {listed}; choose one with --input-node"
    )


def choose_output(
    path: Path, wanted: str | None, inputs: Mapping[str, Sequence[str]], ops: Mapping[str, str]
) -> str:
    """Choose the node to end at, before any decision such as ArgMax.

    Parameters
    ----------
    inputs, ops : of every node, those that feed it and its operator
    """
    chosen = above = _chosen_output(path, wanted, inputs, ops)
    while ops.get(above) == "Identity" or ops.get(above) in _DECISIONS:
        decides, above = ops[above] in _DECISIONS, inputs[above][0]
        chosen = above if decides else chosen
    return chosen


def _chosen_output(
    path: Path, wanted: str | None, inputs: Mapping[str, Sequence[str]], ops: Mapping[str, str]
) -> str:
    if wanted is not None:
        return find(path, wanted, inputs.keys(), "--output-node")
    if LOGITS_NAME in inputs:
        return LOGITS_NAME
    softmaxes = [name for name, op in ops.items() if op == "Softmax"]
    if len(softmaxes) == 1:
        return softmaxes[0]
    used = {name for each in inputs.values() for name in each}
    ends = [name for name in inputs if name not in used]
    if len(ends) == 1:
        return ends[0]
    raise GraphError(
        f"{path}: has no node {LOGITS_NAME!r}; it ends at {', '.join(ends[:5]) or 'no node'}; "
        "choose the logits with --output-node"
    )


def needed_order(
    path: Path, source: str, output: str, feeds: Callable[[str], Sequence[str]]
) -> list[str]:
    """List what ``output`` depends on, in an order of execution; the input must be among it."""
    order: dict[str, None] = {}
    waiting = [(output, False)]
    entered: set[str] = set()
    while waiting:
        name, fed = waiting.pop()
        if fed:
            order[name] = None
        elif name not in entered:
            entered.add(name)
            waiting.append((name, True))
            waiting.extend((each, False) for each in reversed(feeds(name)))
    if source not in order:
        raise GraphError(
            f"{path}: output {output!r} does not depend on input {source!r}; "
            "choose others with --input-node and --output-node"
        )
    return list(order)


def misused(path: Path, name: str, op: str, advice: str) -> UnsupportedNodeError:
    """Return the error for an operator that is known, but not in this form."""
    return UnsupportedNodeError(path, name, op, f" ({op}): ", advice)


def unknown_node(error: UnsupportedNodeError, inputs: tuple[str, ...]) -> Node:
    """Make the node that stands for one that no importer understands."""
    attributes: dict[str, Attribute] = {"kind": error.op, "advice": error.advice}
    return Node(
        error.name, Op.UNKNOWN, inputs, attributes | {"keeps_shape": error.op in _ELEMENTWISE}
    )


def unsupported(path: Path, name: str, op: str, supported: Collection[str]) -> UnsupportedNodeError:
    """Return the error for an operator that no importer knows, with what to use instead."""
    advice = _INSTEAD.get(op)
    if advice is None:
        near = difflib.get_close_matches(op, supported, n=2, cutoff=0.5)
        advice = (
            f"nearest is {' or '.join(near)}"
            if near
            else (f"it knows {', '.join(sorted(supported))}")
        )
    what = f": operator {op} is not supported by the quantizer; "
    return UnsupportedNodeError(path, name, op, what, advice)


def input_node(path: Path, name: str, shape: Sequence[int | None]) -> Node:
    """Make the INPUT node from a placeholder's shape [N, height, width, channels]."""
    known = [size for size in shape[1:] if size is not None and size > 0]
    if len(shape) != 4 or len(known) != 3:
        shown = ", ".join("?" if size is None or size < 0 else str(size) for size in shape)
        raise GraphError(
            f"{path}: input {name!r} has shape [{shown}]; freeze the graph with a known "
            "[?, height, width, channels]"
        )
    return Node(name, Op.INPUT, attributes={"shape": tuple(known)})


def as_float32(value: Array) -> Array:
    """Return floating constants as float32, others unchanged."""
    return value.astype(np.float32) if np.issubdtype(value.dtype, np.floating) else value


def in_nchw(node: Node) -> list[Node]:
    """Wrap an NHWC node of an NCHW source in two transposes.

    The node keeps its name. What consumers must read is the last node's output.
    """
    before = Node(f"{node.name}/to_nhwc", Op.TRANSPOSE, node.inputs[:1], {"perm": TO_NHWC})
    inner = Node(node.name, node.op, (before.name, *node.inputs[1:]), node.attributes)
    after = Node(f"{node.name}/to_nchw", Op.TRANSPOSE, (node.name,), {"perm": TO_NCHW})
    return [before, inner, after]


def following(output: str, inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """List the nodes behind an output, in the file's order: what a cut there leaves out."""
    behind = {output}
    grown = True
    while grown:
        more = {name for name, given in inputs.items() if behind.intersection(given)} - behind
        behind |= more
        grown = bool(more)
    return [name for name in inputs if name in behind and name != output]
