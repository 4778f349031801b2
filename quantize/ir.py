"""The intermediate representation: a small typed graph that all passes read and write.

A graph is a directed acyclic one, its nodes in an order of execution. Feature maps are NHWC and
convolution weights O,H,W,I, whatever the source's layout: an importer states a difference as an
explicit TRANSPOSE, and passes move it out of the way.

A node is named as in its source. A pass that merges nodes gives the result the name of the LAST of
them, whose output it now computes, and notes the name of the convolution or matrix product as
attribute ``layer``; consumers need no change, and activations keep the source's names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import GraphError
from edge_runtime.layers import Activation

Array = npt.NDArray[np.generic]
Attribute = bool | int | float | str | tuple[int, ...]


class Op(StrEnum):
    """Operators; inputs are named in the order in which a node lists them.

    INPUT()             attribute shape (height, width, channels)
    CONST()             its array is the node's ``value``
    CONV(x, w[, b])     w [out, kh, kw, in]; strides, pads (top, bottom, left, right) or padding
                        "same", activation; depthwise: w [out, kh, kw, 1], out a multiple of in
    DENSE(x, w[, b])    x [N, in], w [in, out]; activation
    BATCH_NORM(x, gamma, beta, mean, variance)      over the last axis; epsilon
    ADD(a, b) with broadcasting; activation, where one was merged into it
    SUB, MUL, DIV, MAXIMUM, MINIMUM(a, b) with broadcasting;  RSQRT, SOFTMAX, IDENTITY(x)
    RELU, RELU6(x);  LEAKY_RELU(x)      alpha
    AVG_POOL(x)         kernel, strides; no padding
    MAX_POOL(x)         kernel, strides, pads or padding "same"; padding never wins
    PAD(x)              pads: zeros around the map
    CONCAT(x, …)        axis
    MEAN(x)             axes, keep_dims
    TRANSPOSE(x)        perm
    RESHAPE(x)          shape, where -1 is what remains and 0 the input's own size
    SQUEEZE(x)          axes; none given: all of size 1 but the batch
    UNKNOWN(x, …)       what the quantizer does not know, for `check` alone: kind and advice; shape
                        where the file tells it; keeps_shape where it is that of the input

    ``activation`` is a value of `edge_runtime.layers.Activation`; absent is "none".
    """

    INPUT = "Input"
    CONST = "Const"
    IDENTITY = "Identity"
    CONV = "Conv2D"
    DENSE = "MatMul"
    BATCH_NORM = "BatchNorm"
    ADD = "Add"
    SUB = "Sub"
    MUL = "Mul"
    DIV = "Div"
    MAXIMUM = "Maximum"
    MINIMUM = "Minimum"
    RSQRT = "Rsqrt"
    RELU = "Relu"
    RELU6 = "Relu6"
    LEAKY_RELU = "LeakyRelu"
    AVG_POOL = "AvgPool"
    MAX_POOL = "MaxPool"
    PAD = "Pad"
    CONCAT = "Concat"
    MEAN = "Mean"
    SOFTMAX = "Softmax"
    TRANSPOSE = "Transpose"
    RESHAPE = "Reshape"
    SQUEEZE = "Squeeze"
    UNKNOWN = "unknown"


VIEWS = frozenset({Op.TRANSPOSE, Op.RESHAPE, Op.SQUEEZE})  # they move values, and change none
LAYERS = frozenset({Op.CONV, Op.DENSE})
ACTIVATIONS = {
    Op.RELU: Activation.RELU,
    Op.RELU6: Activation.RELU6,
    Op.LEAKY_RELU: Activation.LEAKY_RELU,
}


@dataclass(frozen=True, eq=False)
class Node:
    """One operation; ``value`` is a constant's array and None in all other nodes."""

    name: str
    op: Op
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    value: Array | None = None

    def __post_init__(self) -> None:
        if (self.value is not None) != (self.op is Op.CONST):
            raise ValueError(f"{self.name}: a constant has a value and nothing else has")

    @property
    def layer(self) -> str:
        """Source name of the convolution or product at the heart of a merged node."""
        return str(self.attributes.get("layer", self.name))

    def ints(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return an attribute that is a tuple of integers."""
        found = self.attributes.get(key, default)
        if not isinstance(found, tuple):
            raise GraphError(f"node {self.name!r} ({self.op}) lacks attribute {key!r}")
        return found

    def number(self, key: str) -> float:
        """Return an attribute that is a number."""
        found = self.attributes.get(key)
        if not isinstance(found, int | float):
            raise GraphError(f"node {self.name!r} ({self.op}) lacks attribute {key!r}")
        return float(found)

    def flag(self, key: str) -> bool:
        """Return a boolean attribute, False where it is absent."""
        return bool(self.attributes.get(key, False))

    @property
    def activation(self) -> Activation:
        """The activation that was merged into a layer."""
        return Activation(str(self.attributes.get("activation", Activation.NONE.value)))

    def with_attributes(self, **changes: Attribute) -> "Node":
        """Return a copy with some attributes set."""
        return replace(self, attributes=dict(self.attributes) | changes)


def constant(name: str, value: npt.ArrayLike) -> Node:
    """Make a CONST node."""
    return Node(name, Op.CONST, value=np.asarray(value))


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes by name in an order of execution, the input's name and the name of the result."""

    nodes: Mapping[str, Node]
    input: str
    output: str

    @classmethod
    def of(cls, nodes: Sequence[Node], input: str, output: str) -> "Graph":
        """Build a graph, checking that every node comes after what feeds it."""
        found: dict[str, Node] = {}
        for node in nodes:
            missing = [name for name in node.inputs if name not in found]
            if missing:
                raise GraphError(f"node {node.name!r} is fed by {missing[0]!r}, which is not there")
            if node.name in found:
                raise GraphError(f"two nodes are named {node.name!r}")
            found[node.name] = node
        for name in (input, output):
            if name not in found:
                raise GraphError(f"no node is named {name!r}")
        return cls(found, input, output)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one input."""
        height, width, channels = self[self.input].ints("shape")
        return height, width, channels

    def value(self, name: str) -> Array | None:
        """Return the array of a constant, or None where ``name`` is computed."""
        return self[name].value

    def consumers(self, name: str) -> list[Node]:
        """List the nodes that ``name`` feeds."""
        return [node for node in self.nodes.values() if name in node.inputs]

    def feeds_only(self, name: str, consumer: Node) -> bool:
        """Whether nothing but one input of ``consumer`` uses ``name``."""
        uses = sum(node.inputs.count(name) for node in self.nodes.values())
        return uses == 1 and name in consumer.inputs and name != self.output

    def operators(self) -> list[Op]:
        """Operators in order, constants left out."""
        return [node.op for node in self.nodes.values() if node.op is not Op.CONST]

    def signature(self) -> tuple[object, ...]:
        """Return what tells whether a pass changed anything."""
        rows = ((n.name, n.op, n.inputs, tuple(n.attributes.items())) for n in self.nodes.values())
        return (*rows, self.output)


Pass = Callable[[Graph], Graph]


class Rewriter:
    """Collects a new version of a graph, node by node, in order; what is unused falls away.

    A pass visits the old nodes in order. It calls `keep` for a node that goes on reading what it
    read, `add` for one whose inputs it names itself, and `alias` where consumers of an old node
    are to read another one.
    """

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self.nodes: dict[str, Node] = {}
        self._alias: dict[str, str] = {}

    def now(self, name: str) -> str:
        """Return the new name of an old output."""
        return self._alias.get(name, name)

    def current(self, name: str) -> Node:
        """Return the new node that computes an old output."""
        return self.nodes[self.now(name)]

    def keep(self, node: Node) -> Node:
        """Add a node whose inputs are old names."""
        return self.add(replace(node, inputs=tuple(self.now(name) for name in node.inputs)))

    def add(self, node: Node) -> Node:
        """Add a node whose inputs are new names; one of the same name is replaced by it."""
        self.nodes.pop(node.name, None)
        self.nodes[node.name] = node
        return node

    def alias(self, name: str, new: str) -> None:
        """Let consumers of the old ``name`` read the new ``new`` from now on."""
        self._alias[name] = new

    def graph(self) -> Graph:
        """Return the new graph without the nodes that the output does not need."""
        output = self.now(self.old.output)
        needed = {output, self.old.input}
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed.update(node.inputs)
        kept = [node for node in self.nodes.values() if node.name in needed]
        return Graph.of(kept, self.old.input, output)
