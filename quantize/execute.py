"""Run an IR graph in floating point: what passes leave unchanged, and calibration starts from.

A convolution is one matrix product over im2col columns (Chellapilla et al. 2006), which BLAS does
fast on any machine.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import GraphError
from edge_runtime.layers import Activation
from quantize.ir import Array, Graph, Node, Op

Float = npt.NDArray[np.floating[Any]]
Shapes = Mapping[str, tuple[int, ...]]
LEAKY_SLOPE = 26 / 256  # the DPU's only one


def run(graph: Graph, inputs: Float, batch: int = 64) -> Float:
    """Return the graph's output [N, ...] for inputs [N, height, width, channels]."""
    parts = [_last(graph, inputs[i : i + batch]) for i in range(0, len(inputs), batch)]
    return np.concatenate(parts)


def _last(graph: Graph, inputs: Float) -> Float:
    return np.asarray(values(graph, inputs)[graph.output])


def until(graph: Graph, inputs: Float, name: str, batch: int = 64) -> Float:
    """Return one node's output for inputs [N, height, width, channels]."""
    return run(replace(graph, output=name), inputs, batch)


def values(graph: Graph, inputs: Float) -> dict[str, Array]:
    """Compute every node up to the output for one batch.

    Raises `GraphError` naming a node that cannot be computed.
    """
    found: dict[str, Array] = {}
    for node in graph.nodes.values():
        if graph.output in found:
            break
        found[node.name] = (
            inputs if node.op is Op.INPUT else evaluate(node, [found[name] for name in node.inputs])
        )
    return found


def shapes(graph: Graph) -> Shapes:
    """Shape of every node's output for a batch of 1, found by running zeros through the graph."""
    zeros = np.zeros((1, *graph.input_shape), np.float32)
    return {name: value.shape for name, value in values(graph, zeros).items()}


def largest_map(graph: Graph) -> int:
    """Return how many values the largest computed tensor has, for one input."""
    found = shapes(graph)
    return max(
        math.prod(found[name]) for name, node in graph.nodes.items() if node.op is not Op.CONST
    )


def evaluate(node: Node, inputs: Sequence[Array]) -> Array:
    """Compute one node from its inputs."""
    if node.value is not None:
        return node.value
    try:
        return np.asarray(_OPERATORS[node.op](node, *inputs))
    except (ValueError, IndexError, TypeError, KeyError) as error:
        given = ", ".join(str(x.shape) for x in inputs)
        reason = str(error).splitlines()[0]
        raise GraphError(f"node {node.name!r} ({node.op}) cannot take {given}: {reason}") from None


def resolved_pads(
    node: Node, size: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Rows and columns (top, bottom, left, right) that a CONV or MAX_POOL adds to a map.

    ``size`` is the map's (height, width).

    TensorFlow's SAME gives ceil(size / stride) outputs and puts an odd zero at the bottom and
    right: on an even input with stride 2 and a 3×3 kernel that is 0 at the top, 1 at the bottom.
    """
    if node.attributes.get("padding") != "same":
        top, bottom, left, right = node.ints("pads", (0, 0, 0, 0))
        return top, bottom, left, right
    sides: list[int] = []
    for length, taps, stride in zip(size, kernel, node.ints("strides"), strict=True):
        total = max((-(-length // stride) - 1) * stride + taps - length, 0)
        sides += [total // 2, total - total // 2]
    return sides[0], sides[1], sides[2], sides[3]


def windows(x: Any, kernel: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """View of all kernel windows: [N, out_h, out_w, kernel_h, kernel_w, channels]."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    return view[:, :: strides[0], :: strides[1]].transpose(0, 1, 2, 4, 5, 3)


def convolve(node: Node, x: Any, weights: Any, bias: Any = 0.0) -> Any:
    """Convolve x [N, H, W, in] with weights [out, kh, kw, in] and add a bias [out].

    The activation is left out.
    """
    columns = conv_windows(node, x, weights.shape[1:3])
    if node.flag("depthwise"):
        return _depthwise(columns, weights) + bias
    n, height, width = columns.shape[:3]
    product = columns.reshape(n * height * width, -1) @ weights.reshape(len(weights), -1).T
    return (product + bias).reshape(n, height, width, -1)


def conv_windows(node: Node, x: Any, kernel: tuple[int, ...]) -> Any:
    """View of the windows of a CONV on its padded input; see `windows`."""
    top, bottom, left, right = resolved_pads(node, x.shape[1:3], kernel)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    return windows(padded, kernel, node.ints("strides"))


def _depthwise(columns: Any, weights: Any) -> Any:
    *lead, kernel_h, kernel_w, channels = columns.shape
    kernel = weights[..., 0].reshape(channels, -1, kernel_h, kernel_w)
    total = np.zeros((*lead, channels, kernel.shape[1]), np.result_type(columns, weights))
    for i in range(kernel_h):
        for j in range(kernel_w):
            total += columns[:, :, :, i, j, :, np.newaxis] * kernel[:, :, i, j]
    return total.reshape(*lead, -1)


def _conv(node: Node, x: Any, weights: Any, bias: Any = 0.0) -> Any:
    return activate(node.activation, convolve(node, x, weights, bias))


def _dense(node: Node, x: Any, weights: Any, bias: Any = 0.0) -> Any:
    return activate(node.activation, x @ weights + bias)


def activate(activation: Activation, y: Any) -> Any:
    """Apply a merged activation; the slope of a leaky ReLU is the DPU's."""
    if activation is Activation.RELU:
        return np.maximum(y, 0)
    if activation is Activation.RELU6:
        return np.clip(y, 0, 6)
    if activation is Activation.LEAKY_RELU:
        return np.where(y < 0, y * np.asarray(y).dtype.type(LEAKY_SLOPE), y)
    return y


def _batch_norm(node: Node, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
    scale = gamma / np.sqrt(variance + np.float32(node.number("epsilon")))
    return (x - mean) * scale + beta


def _avg_pool(node: Node, x: Any) -> Any:
    return windows(x, node.ints("kernel"), node.ints("strides")).mean(axis=(3, 4))


def _max_pool(node: Node, x: Any) -> Any:
    top, bottom, left, right = resolved_pads(node, x.shape[1:3], node.ints("kernel"))
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    padded = np.pad(x, around, constant_values=-np.inf)
    return windows(padded, node.ints("kernel"), node.ints("strides")).max(axis=(3, 4))


def _pad(node: Node, x: Any) -> Any:
    top, bottom, left, right = node.ints("pads")
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def _leaky_relu(node: Node, x: Any) -> Any:
    return np.where(x < 0, x * x.dtype.type(node.number("alpha")), x)


def _concat(node: Node, *x: Any) -> Any:
    return np.concatenate(x, axis=int(node.number("axis")))


def _softmax(node: Node, x: Any) -> Any:
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _squeeze(node: Node, x: Any) -> Any:
    every = tuple(i for i, size in enumerate(x.shape) if i and size == 1)
    return np.squeeze(x, node.ints("axes", ()) or every)


def _reshape(node: Node, x: Any) -> Any:
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(node.ints("shape"))])


def _unknown(node: Node, *x: Any) -> Any:
    """Zeros: a graph with such a node has shapes, and no values."""
    if "shape" in node.attributes:
        return np.zeros(node.ints("shape"))
    if node.flag("keeps_shape") and x:
        return np.zeros_like(x[0])
    raise ValueError("the size of its output is not known")


_OPERATORS: dict[Op, Callable[..., Any]] = {
    Op.IDENTITY: lambda node, x: x,
    Op.CONV: _conv,
    Op.DENSE: _dense,
    Op.BATCH_NORM: _batch_norm,
    Op.ADD: lambda node, a, b: activate(node.activation, a + b),
    Op.SUB: lambda node, a, b: a - b,
    Op.MUL: lambda node, a, b: a * b,
    Op.DIV: lambda node, a, b: a / b,
    Op.MAXIMUM: lambda node, a, b: np.maximum(a, b),
    Op.MINIMUM: lambda node, a, b: np.minimum(a, b),
    Op.RSQRT: lambda node, x: 1 / np.sqrt(x),
    Op.RELU: lambda node, x: np.maximum(x, 0),
    Op.RELU6: lambda node, x: np.clip(x, 0, 6),
    Op.LEAKY_RELU: _leaky_relu,
    Op.AVG_POOL: _avg_pool,
    Op.MAX_POOL: _max_pool,
    Op.PAD: _pad,
    Op.CONCAT: _concat,
    Op.MEAN: lambda node, x: x.mean(axis=node.ints("axes"), keepdims=node.flag("keep_dims")),
    Op.SOFTMAX: _softmax,
    Op.TRANSPOSE: lambda node, x: x.transpose(node.ints("perm")),
    Op.RESHAPE: _reshape,
    Op.SQUEEZE: _squeeze,
    Op.UNKNOWN: _unknown,
}
