"""Fake quantization: train a network as the DPU will compute it (Jacob et al. 2018, section 3).

Values stay float32, but are rounded and clipped where the DPU's int8 format does it, by the rules
of the quantizer: a tensor with fix point p holds q · 2^-p with q in [-128, 127]; weights and biases
are rounded half away from zero, activations half up. The gradient passes straight through the
rounding, and is zero where a value is clipped (Bengio et al. 2013).

Batch normalization is folded into the kernel first, with the moving statistics, because that is
what is quantized. In inference the results are the integer network's, times a power of two.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from edge_runtime.errors import InputError, SettingsError

_LOWEST, _HIGHEST = -128.0, 127.0
# Just below ½: added to ½ itself it is rounded to 1, added to anything less it stays below.
_BELOW_HALF = float(np.nextafter(np.float32(0.5), np.float32(0)))


class Norm(Protocol):
    """A batch normalization with moving statistics, each [channels]."""

    gamma: tf.Variable
    beta: tf.Variable
    mean: tf.Variable
    variance: tf.Variable


@dataclass(frozen=True)
class LayerNames:
    """Names of a layer's tensors in quantization.json: those of the frozen graph."""

    weight: str
    bias: str
    activation: str


def fold(kernel: tf.Tensor, norm: Norm, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return kernel [kh, kw, in, out] and bias [out] with a batch normalization merged into them.

    In float64, as the quantizer does it, so that both round the same numbers.
    """
    gamma, beta, mean, variance, wide = (
        tf.cast(each, tf.float64)
        for each in (norm.gamma, norm.beta, norm.mean, norm.variance, kernel)
    )
    scale = gamma / tf.sqrt(variance + tf.constant(epsilon, tf.float64))
    return tf.cast(wide * scale, tf.float32), tf.cast(beta - mean * scale, tf.float32)


def round_weights(x: tf.Tensor, fix_point: int) -> tf.Tensor:
    """Round to a fix point half away from zero and clip: weights and biases, float32."""
    return _straight_through(x, fix_point, lambda t: tf.sign(t) * tf.floor(tf.abs(t) + _BELOW_HALF))


def round_activations(x: tf.Tensor, fix_point: int) -> tf.Tensor:
    """Round to a fix point half up and clip: inputs and activations, float32."""
    return _straight_through(x, fix_point, lambda t: tf.floor(t + 0.5))


def _straight_through(
    x: tf.Tensor, fix_point: int, rounding: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    step = float(2.0**-fix_point)

    @tf.custom_gradient
    def rounded(values: tf.Tensor) -> tuple[tf.Tensor, object]:
        steps = values / step  # a power of two: exact
        whole = rounding(steps)
        inside = (whole >= _LOWEST) & (whole <= _HIGHEST)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return tf.where(inside, upstream, tf.zeros_like(upstream))

        return tf.clip_by_value(whole, _LOWEST, _HIGHEST) * step, gradient

    return rounded(tf.convert_to_tensor(x))


class FakeQuantizer:
    """Rounds the tensors of a network at given fix points.

    Parameters
    ----------
    fix_points : by tensor, under the names of quantization.json; None leaves a tensor as it is,
        such as int32 logits
    board_biases : of biases that are finer than their layer's sums, the fix point of those: they
        are rounded once more, half up, as the vendor's compiler does
    """

    def __init__(
        self, fix_points: Mapping[str, int | None], board_biases: Mapping[str, int] | None = None
    ) -> None:
        self._fix_points = dict(fix_points)
        self._board_biases = dict(board_biases or {})

    @classmethod
    def read(cls, path: Path) -> "FakeQuantizer":
        """Take the fix points of a quantization.json.

        They are those of the float network's own weights for methods min-mse and non-overflow;
        method best changes the weights as well, so that its fix points fit those alone.
        """
        try:
            table = json.loads(path.read_text("utf-8"))
            tensors, last = table["tensors"], table["layers"][-1]
            found: dict[str, int | None] = {
                name: int(row["fix_point"]) for name, row in tensors.items()
            }
            moved = {
                name: int(row["integer_fix_point"])
                for name, row in tensors.items()
                if "integer_fix_point" in row
            }
            if last.get("output") == "int32":
                found[last["activation_tensor"]] = None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise InputError(
                f"{path}: not a quantization.json; `python -m quantize run` writes one"
            ) from None
        return cls(found, moved)

    def weights(self, name: str, kernel: tf.Tensor) -> tf.Tensor:
        """Round a kernel, already folded, at the fix point of ``name``."""
        p = self._fix_point(name)
        return kernel if p is None else round_weights(kernel, p)

    def bias(self, name: str, bias: tf.Tensor) -> tf.Tensor:
        """Round a bias, already folded; twice, where its layer's sums are coarser."""
        rounded = self.weights(name, bias)
        board = self._board_biases.get(name)
        return rounded if board is None else round_activations(rounded, board)

    def activation(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """Round an input or a layer's output, behind its activation function.

        The output of a mean over 2×2, 4×4 or 8×8 is one; over other sizes the DPU has factors of
        its own, which are not here.
        """
        p = self._fix_point(name)
        return x if p is None else round_activations(x, p)

    def convolution(
        self,
        names: LayerNames,
        x: tf.Tensor,
        kernel: tf.Tensor,
        norm: Norm,
        stride: int,
        padding: str,
        epsilon: float,
    ) -> tf.Tensor:
        """Convolution, batch normalization with moving statistics, and ReLU as the DPU does them.

        Parameters
        ----------
        x : [N, height, width, in], rounded before;  kernel : float32 [kh, kw, in, out]

        Returns
        -------
        Float32 [N, height / stride, width / stride, out].
        """
        folded, offset = fold(kernel, norm, epsilon)
        sums = tf.nn.conv2d(x, self.weights(names.weight, folded), stride, padding)
        return self.activation(names.activation, tf.nn.relu(sums + self.bias(names.bias, offset)))

    def dense(
        self, names: LayerNames, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tf.Tensor:
        """Matrix product and bias: logits [N, out] of x [N, in], rounded before."""
        sums = tf.matmul(x, self.weights(names.weight, kernel))
        return self.activation(names.activation, sums + self.bias(names.bias, bias))

    def _fix_point(self, name: str) -> int | None:
        if name not in self._fix_points:
            known = ", ".join(sorted(self._fix_points)[:5])
            raise SettingsError(f"no fix point is known for tensor {name!r}; there are {known}, …")
        return self._fix_points[name]
