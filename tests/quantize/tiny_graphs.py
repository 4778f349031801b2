"""Small IR graphs for tests."""

from typing import Any

import numpy as np

from quantize.ir import Attribute, Graph, Node, Op, constant

RNG = np.random.default_rng(7)


def graph(*nodes: Node, shape: tuple[int, int, int] = (4, 4, 3)) -> Graph:
    """A graph from an input "x" to the last of the nodes."""
    source = Node("x", Op.INPUT, attributes={"shape": shape})
    return Graph.of([source, *nodes], "x", nodes[-1].name)


def const(name: str, *shape: int, low: float = -1.0) -> Node:
    return constant(name, RNG.uniform(low, 1, shape).astype(np.float32))


def conv(name: str, x: str = "x", *extra: str, **attributes: Attribute) -> Node:
    """A convolution of the constants w (and those of ``extra``)."""
    full: dict[str, Attribute] = {"strides": (1, 1), "pads": (1, 1, 1, 1)}
    return Node(name, Op.CONV, (x, *(extra or ("w",))), full | attributes)


def inputs(of: Graph, n: int = 5) -> Any:
    return RNG.normal(0, 1, (n, *of.input_shape)).astype(np.float32)
