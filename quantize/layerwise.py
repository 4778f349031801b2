"""Weights and fix points found layer by layer, so that outputs stay near the float network's.

For each convolution, in order, with the inputs X that the quantized network really gives it and the
outputs T that the float network wants:

1. the weights are fitted to the quantized inputs (ridge regression towards the float weights),
   which undoes part of the error of earlier layers and corrects the bias;
2. they are rounded one input at a time, each rounding error being compensated by the weights not
   yet rounded (Frantar et al. 2022, "GPTQ", after Hassibi's optimal brain surgeon): adaptive
   rounding in closed form;
3. of the fix points around the vendor's choice, those are kept whose rounded output is nearest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_runtime.errors import GraphError
from quantize import execute, fix_points
from quantize.calibrate import FixPoints, pool_correction
from quantize.equalize import with_constants
from quantize.execute import Float
from quantize.fix_points import (
    HIGHEST,
    MAX_SHIFT,
    half_away_from_zero,
    half_up,
    quantized,
)
from quantize.ir import Graph, Node, Op

_RIDGE = 0.3  # of the inputs' mean square: how much the float weights are trusted
_NEIGHBOURS = (-1, 0, 1)
_CHUNK = 64  # inputs per matrix product
_BLOCK = 64  # rows between whose rounding the others wait
_JUDGED = 256  # inputs on which fix points are compared


@dataclass(frozen=True)
class _Fitted:
    """A layer's constants at their fix points, and the squared error of its output."""

    weights: Float
    bias: Float
    weight_p: int
    bias_p: int
    output_p: int
    error: float


def optimize(graph: Graph, inputs: Float, start: FixPoints) -> tuple[Graph, FixPoints]:
    """Find fix points and rounded constants.

    Parameters
    ----------
    graph : a simplified graph
    inputs : float32 [N, height, width, channels]
    start : fix points to search around; those of the input and of concatenated tensors are kept

    Returns
    -------
    The graph with constants that are exact at their fix points, and all fix points.
    """
    found = dict(start)
    constants: dict[str, Float] = {}
    wanted: dict[str, Float] = {graph.input: inputs}  # the float network's tensors
    given = {graph.input: quantized(inputs, start[graph.input], half_up)}  # the quantized one's
    joined = {
        name
        for node in graph.nodes.values()
        if node.op is Op.CONCAT
        for name in (*node.inputs, node.name)
    }
    nodes = [n for n in graph.nodes.values() if n.value is None and n.op is not Op.INPUT]
    for node in tqdm(nodes, desc="fit layers", unit="layer", disable=None, leave=False):
        if node.op is Op.CONV:
            layer = _Layer(graph, node, wanted, given)
            wanted[node.name] = layer.wanted
            fitted = layer.fit(found, may_move=node.name not in joined)
            found[node.inputs[1]], found[node.inputs[2]] = fitted.weight_p, fitted.bias_p
            found[node.name] = fitted.output_p
            constants[node.inputs[1]], constants[node.inputs[2]] = fitted.weights, fitted.bias
            exact = layer.outputs(fitted.weights, fitted.bias)
        else:
            wanted[node.name] = _evaluated(node, wanted)
            exact = _evaluated(node, given)
            if node.op is Op.AVG_POOL:
                exact = exact * np.float32(pool_correction(node))
            if node.name not in joined:
                found[node.name] = _nearest(exact, wanted[node.name], found[node.name])[0]
        given[node.name] = quantized(exact, found[node.name], half_up)
        _forget(graph, node, wanted, given)
    return with_constants(graph, constants), found


def refit_last(
    graph: Graph, fitted: Graph, inputs: Float, given: Float, positions: FixPoints
) -> tuple[Graph, FixPoints]:
    """Fit the last layer once more, to a float graph whose last layer was scaled since.

    Parameters
    ----------
    graph : the float network;  fitted : what `optimize` made of it before
    given : what the quantized network's last layer reads, for ``inputs``
    positions : of ``fitted``; that of the output is kept
    """
    node = graph[graph.output]
    wanted = {node.inputs[0]: execute.until(graph, inputs, node.inputs[0])}
    layer = _Layer(graph, node, wanted, {node.inputs[0]: given})
    weights = graph.value(node.inputs[1])
    start = positions | {
        node.inputs[1]: fix_points.min_mse(np.asarray(weights, np.float64), half_away_from_zero)
    }
    found = layer.fit(start, may_move=False)
    moved = {node.inputs[1]: found.weight_p, node.inputs[2]: found.bias_p}
    constants = {node.inputs[1]: found.weights, node.inputs[2]: found.bias}
    return with_constants(fitted, constants), positions | moved


def _evaluated(node: Node, tensors: dict[str, Float]) -> Float:
    return np.asarray(execute.evaluate(node, [tensors[name] for name in node.inputs]), np.float32)


def _nearest(exact: Float, wanted: Float, start: int) -> tuple[int, float]:
    """Return the fix point near ``start`` at which ``exact`` is nearest to ``wanted``."""
    errors = {
        start + step: float(np.square(quantized(exact, start + step, half_up) - wanted).mean())
        for step in _NEIGHBOURS
    }
    best = min(errors, key=lambda p: (errors[p], p))
    return best, errors[best]


def _forget(graph: Graph, node: Node, *tensors: dict[str, Float]) -> None:
    """Free tensors that no later node reads."""
    order = list(graph.nodes)
    done = order.index(node.name)
    for name in node.inputs:
        if all(order.index(reader.name) <= done for reader in graph.consumers(name)):
            for each in tensors:
                each.pop(name, None)


class _Layer:
    """A convolution with the inputs that it gets and the outputs that it should give."""

    def __init__(
        self, graph: Graph, node: Node, wanted: dict[str, Float], given: dict[str, Float]
    ) -> None:
        self.node = node
        self.weights, self.bias = (
            np.asarray(graph.value(name), np.float64) for name in node.inputs[1:]
        )
        self.given = given[node.inputs[0]]
        self.targets = self._convolved(wanted[node.inputs[0]], self.weights, self.bias)
        self.wanted = np.asarray(execute.activate(node.activation, self.targets), np.float32)

    def _convolved(self, x: Float, weights: Float, bias: Float) -> Float:
        narrow = weights.astype(np.float32), bias.astype(np.float32)
        parts = [
            execute.convolve(self.node, x[i : i + _CHUNK], *narrow)
            for i in range(0, len(x), _CHUNK)
        ]
        return np.concatenate(parts)

    def outputs(self, weights: Float, bias: Float, count: int | None = None) -> Float:
        """Return what the layer gives with other constants, activation applied, not rounded."""
        exact = self._convolved(self.given[:count], weights, bias)
        return np.asarray(execute.activate(self.node.activation, exact), np.float32)

    def fit(self, start: FixPoints, may_move: bool) -> _Fitted:
        """Return the constants and fix points of least output error."""
        x, weights, _ = self.node.inputs
        entry, output = start[x], start[self.node.name]
        steps = _NEIGHBOURS if may_move else (0,)
        moments = None if self.node.flag("depthwise") else self._moments()
        best: _Fitted | None = None
        for weight_p in (start[weights] + step for step in _NEIGHBOURS):
            rounded, bias = self._rounded(weight_p, moments)
            bias_p = min(_widest(bias), weight_p + entry)
            bias_p = max(bias_p, weight_p + entry - MAX_SHIFT)
            bias = quantized(bias, bias_p, half_away_from_zero)
            exact = self.outputs(rounded, bias, _JUDGED)
            for output_p in (output + step for step in steps):
                if not 0 <= weight_p + entry - output_p <= MAX_SHIFT:
                    continue
                found = quantized(exact, output_p, half_up)
                error = float(np.square(found - self.wanted[:_JUDGED]).mean(dtype=np.float64))
                if best is None or error < best.error:
                    best = _Fitted(rounded, bias, weight_p, bias_p, output_p, error)
        if best is None:
            raise GraphError(f"{self.node.name!r}: no fix points lie within the shift limits")
        return best

    def _moments(self) -> tuple[Any, Any]:
        """Second moments of the inputs (with a constant 1 before them), and with the targets."""
        kernel = self.weights.shape[1:3]
        size = 1 + int(np.prod(self.weights.shape[1:]))
        squares, products = np.zeros((size, size)), np.zeros((size, len(self.weights)))
        for i in range(0, len(self.given), _CHUNK):
            windows = execute.conv_windows(self.node, self.given[i : i + _CHUNK], kernel)
            columns = windows.reshape(-1, size - 1)
            rows = np.concatenate([np.ones((len(columns), 1), np.float32), columns], axis=1)
            targets = self.targets[i : i + _CHUNK].reshape(len(rows), -1)
            squares += rows.T @ rows
            products += rows.T @ targets
        return squares, products

    def _rounded(self, weight_p: int, moments: tuple[Any, Any] | None) -> tuple[Float, Float]:
        """Return the weights at a fix point, and the bias that goes with them, not yet rounded.

        The bias makes the mean of every output channel right.
        """
        if moments is None:
            rounded = quantized(self.weights, weight_p, half_away_from_zero)
            error = self.targets - self._convolved(self.given, rounded, np.zeros_like(self.bias))
            return rounded, error.reshape(-1, error.shape[-1]).mean(axis=0, dtype=np.float64)
        squares, products = moments
        rounded = self._compensated(weight_p, squares, products)
        sums = squares[0, 1:] @ rounded.reshape(len(rounded), -1).T
        return rounded, np.asarray((products[0] - sums) / squares[0, 0])

    def _compensated(self, weight_p: int, squares: Any, products: Any) -> Float:
        out = len(self.weights)
        original = np.concatenate([self.bias[:, np.newaxis], self.weights.reshape(out, -1)], 1).T
        ridge = _RIDGE * np.trace(squares) / len(squares)
        damped = squares + ridge * np.eye(len(squares))
        weights = np.linalg.solve(damped, products + ridge * original)
        # Most important inputs first: what is rounded last cannot be compensated any more.
        order = np.concatenate([[0], 1 + np.argsort(-np.diag(squares)[1:], kind="stable")])
        upper = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
        rounded = _round_in_order(weights[order], weight_p, upper)
        restored = np.empty_like(rounded)
        restored[order] = rounded
        return np.asarray(restored[1:].T.reshape(self.weights.shape))


def _round_in_order(weights: Any, p: int, upper: Any) -> Any:
    """Round rows [inputs, out] from the second on, each error being spread over later rows.

    ``upper`` is the Cholesky factor U of the inverse second moments, U^T · U. The first row stands
    for the bias, which is found afterwards.
    """
    rounded = weights.copy()
    for first in range(0, len(rounded), _BLOCK):
        last = min(first + _BLOCK, len(rounded))
        errors = np.zeros((last - first, rounded.shape[1]))
        for i in range(first, last):
            if i:
                exact = rounded[i].copy()
                rounded[i] = quantized(exact, p, half_away_from_zero)
                errors[i - first] = (exact - rounded[i]) / upper[i, i]
            rounded[i + 1 : last] -= np.outer(upper[i, i + 1 : last], errors[i - first])
        rounded[last:] -= upper[first:last, last:].T @ errors
    return rounded


def _widest(bias: Float) -> int:
    """Return the largest fix point at which no bias overflows."""
    largest = float(np.abs(bias).max())
    return 127 if largest == 0 else int(np.floor(np.log2(HIGHEST / largest)))
