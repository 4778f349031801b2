"""What training leaves in frozen graphs of TensorFlow 1, seen as inference sees it.

A dropout multiplies its input, scaled by 1 / keep_prob, with a mask that comes from random numbers;
with keep_prob = 1 that is the input. A branch on `is_training` is a Merge of two sides, whose data
comes through a Switch: output 0 of a Switch is taken where the predicate is false.
"""

from collections.abc import Mapping
from typing import Any

from quantize import graph_def

_RANDOM = frozenset({"RandomUniform", "RandomUniformInt", "StatelessRandomUniform"})
_MASK = frozenset({"Floor", "Cast", "GreaterEqual"})  # the last steps from random numbers to a mask
_NUMBERS = frozenset(
    {"Const", "Placeholder", "PlaceholderWithDefault", "Sub", "RealDiv", "Identity", "Switch"}
)
_SCALE = frozenset({"RealDiv", "Div", "Mul"})


def passes_through(nodes: Mapping[str, Any], node: Any) -> str | None:
    """Return which of its inputs a node passes on in inference, or None for other nodes."""
    if node.op == "Switch":
        return str(node.input[0])
    if node.op == "Merge":
        return _inference_side(nodes, node)
    if node.op == "PlaceholderWithDefault":
        return str(node.input[0])
    if node.op in ("Mul", "SelectV2", "Select"):
        return _before_dropout(nodes, node)
    return None


def _producer(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _inference_side(nodes: Mapping[str, Any], merge: Any) -> str | None:
    """Return the input of a Merge that is computed where its predicate is false (or constant)."""
    for name in merge.input:
        found = _switch_of(nodes, name)
        if found is None:
            continue
        switch, output = found
        if output == int(_predicate(nodes, switch.input[1])):
            return str(name)
    return None


def _switch_of(nodes: Mapping[str, Any], name: str) -> tuple[Any, int] | None:
    """Return the first Switch above a tensor, and which of its outputs leads there."""
    waiting, seen = [name], set()
    while waiting:
        tensor = waiting.pop(0)
        node = nodes.get(_producer(tensor))
        if node is None or node.name in seen:
            continue
        if node.op == "Switch":
            return node, int(tensor.partition(":")[2] or 0)
        seen.add(node.name)
        waiting.extend(node.input)
    return None


def _predicate(nodes: Mapping[str, Any], name: str) -> bool:
    """Return a branch's constant predicate; a placeholder such as is_training counts as false."""
    node = nodes.get(_producer(name))
    while node is not None and node.op in ("Identity", "PlaceholderWithDefault", "Switch"):
        node = nodes.get(_producer(node.input[0]))
    return node is not None and node.op == "Const" and bool(graph_def.array_of(node))


def _before_dropout(nodes: Mapping[str, Any], node: Any) -> str | None:
    """Return what a dropout's last multiplication drops from, None if it is no dropout."""
    masks = [name for name in node.input if _is_mask(nodes, name)]
    others = [name for name in node.input if name not in masks]
    if len(masks) != 1 or not others:
        return None
    scaled = nodes.get(_producer(others[0]))
    if scaled is not None and scaled.op in _SCALE and len(scaled.input) == 2:
        inputs = list(scaled.input)
        # Newer graphs multiply by 1 / keep_prob, which may stand on either side.
        if scaled.op == "Mul" and _is_number(nodes, inputs[0]):
            inputs.reverse()
        if _is_number(nodes, inputs[1]):
            return str(inputs[0])
    return str(others[0])


def _is_number(nodes: Mapping[str, Any], name: str) -> bool:
    """Whether a tensor is a keep_prob or follows from one: constants and placeholders alone."""
    waiting = [_producer(name)]
    while waiting:
        node = nodes.get(waiting.pop())
        if node is None or node.op not in _NUMBERS:
            return False
        if node.op == "Const" and graph_def.array_of(node).size > 1:
            return False
        waiting.extend(_producer(each) for each in node.input)
    return True


def _is_mask(nodes: Mapping[str, Any], name: str) -> bool:
    node = nodes.get(_producer(name))
    if node is None or node.op not in _MASK:
        return False
    waiting, seen = [node.name], set()
    while waiting:
        found = nodes.get(waiting.pop())
        if found is None or found.name in seen:
            continue
        if found.op in _RANDOM:
            return True
        seen.add(found.name)
        waiting.extend(_producer(each) for each in found.input)
    return False
