"""Move transposes towards the output, where they meet their inverse and both go away.

An importer of an NCHW source wraps each operator of the IR in two of them; after this pass none is
left between the layers.
"""

from dataclasses import replace

import numpy as np

from quantize.ir import ACTIVATIONS, Array, Graph, Node, Op, Rewriter, constant

_UNARY = frozenset(ACTIVATIONS)
_BINARY = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MAXIMUM, Op.MINIMUM})


def sink_transposes(graph: Graph) -> Graph:
    """Swap TRANSPOSE with activations, MEAN, CONCAT and arithmetic; merge it with another."""
    new = Rewriter(graph)
    for node in graph.nodes.values():
        moved = [new.current(name) for name in node.inputs]
        above = [each for each in moved if each.op is Op.TRANSPOSE]
        if not above:
            new.keep(node)
        elif node.op is Op.TRANSPOSE:
            _merge(new, node, above[0])
        elif node.op in _UNARY or (_passes_shape_on(node) and moved[0] is above[0]):
            rest = tuple(new.now(name) for name in node.inputs[1:])
            _below(new, node, (above[0].inputs[0], *rest), above[0].ints("perm"))
        elif node.op is Op.MEAN:
            _mean(new, node, above[0])
        elif not _joined(new, node, moved, above[0].ints("perm")):
            new.keep(node)
    return new.graph()


def _passes_shape_on(node: Node) -> bool:
    told = "shape" in node.attributes
    return node.op is Op.UNKNOWN and node.flag("keeps_shape") and not told


def _below(new: Rewriter, node: Node, inputs: tuple[str, ...], perm: tuple[int, ...]) -> None:
    """Keep ``node`` on untransposed inputs, with the transpose after it."""
    new.add(replace(node, inputs=inputs))
    if perm != tuple(range(len(perm))):
        after = Node(f"{node.name}/layout", Op.TRANSPOSE, (node.name,), {"perm": perm})
        new.add(after)
        new.alias(node.name, after.name)


def _merge(new: Rewriter, node: Node, above: Node) -> None:
    perm = tuple(above.ints("perm")[axis] for axis in node.ints("perm"))
    if perm == tuple(range(len(perm))):
        new.alias(node.name, above.inputs[0])
    else:
        new.add(replace(node, inputs=above.inputs, attributes={"perm": perm}))


def _mean(new: Rewriter, node: Node, above: Node) -> None:
    perm = above.ints("perm")
    axes = tuple(axis % len(perm) for axis in node.ints("axes"))
    node = node.with_attributes(axes=tuple(sorted(perm[axis] for axis in axes)))
    if not node.flag("keep_dims"):
        left = [p for axis, p in enumerate(perm) if axis not in axes]
        perm = tuple(sorted(left).index(p) for p in left)
    _below(new, node, above.inputs, perm)


def _joined(new: Rewriter, node: Node, moved: list[Node], perm: tuple[int, ...]) -> bool:
    """Swap transposes with what reads several of them; False where that cannot be done."""
    if node.op is Op.CONCAT:
        return _concat(new, node, moved, perm)
    return node.op in _BINARY and _binary(new, node, moved, perm)


def _concat(new: Rewriter, node: Node, moved: list[Node], perm: tuple[int, ...]) -> bool:
    if not all(each.op is Op.TRANSPOSE and each.ints("perm") == perm for each in moved):
        return False
    axis = int(node.number("axis")) % len(perm)
    inputs = tuple(each.inputs[0] for each in moved)
    _below(new, node.with_attributes(axis=perm[axis]), inputs, perm)
    return True


def _binary(new: Rewriter, node: Node, moved: list[Node], perm: tuple[int, ...]) -> bool:
    inputs: list[str] = []
    for each in moved:
        if each.op is Op.TRANSPOSE and each.ints("perm") == perm:
            inputs.append(each.inputs[0])
        elif each.value is not None:
            inputs.append(_constant_before(new, node, each.name, each.value, perm))
        else:
            return False
    _below(new, node, tuple(inputs), perm)
    return True


def _constant_before(
    new: Rewriter, node: Node, name: str, value: Array, perm: tuple[int, ...]
) -> str:
    """Return a constant's name after undoing the transpose on it."""
    if value.size == 1:
        return name
    full = value.reshape((1,) * (len(perm) - value.ndim) + value.shape)
    name = name if new.old.feeds_only(name, node) else f"{node.name}/{name}"
    return new.add(constant(name, full.transpose(np.argsort(perm)))).name
