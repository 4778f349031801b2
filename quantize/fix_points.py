"""The DPU's number format: rounding, and where to put the binary point of a tensor.

A tensor is int8 with one fix point p: value = q · 2^-p, q in [-128, 127]. The rules are those of
decent_q (DNNDK 3.x) and its open successor vai_q_tensorflow 1.x (Apache-2.0): rounding as in
``fix_neuron_kernel.cc``, positions as in ``quantize_utils.cc``, shift limits as in
``graph_quantizer.cc``.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating[Any]]
Rounding = Callable[[Float], Float]

LOWEST, HIGHEST = -128, 127
ALL_ZERO = 127  # the fix point that both rules give a tensor without a value
SEARCHED = 5  # min_mse tries this many positions, from the non-overflow one up
MAX_SHIFT = 16


def half_up(x: Float) -> Float:
    """Round half up, floor(x + ½): the DPU's rule for activations and inputs."""
    return np.asarray(np.floor(x + x.dtype.type(0.5)))


def half_away_from_zero(x: Float) -> Float:
    """Round half away from zero, sign(x)·floor(|x| + ½), as C's round: weights and biases."""
    # The number below ½, because ½ plus the number below it would be rounded to 1.
    below = np.nextafter(x.dtype.type(0.5), x.dtype.type(0))
    return np.asarray(np.copysign(np.floor(np.abs(x) + below), x))


def to_integers(x: Float, fix_point: int, rounding: Rounding) -> npt.NDArray[np.int8]:
    """Quantize: round x · 2^fix_point, clip to [-128, 127]; int8 of the same shape."""
    return _clipped(x, fix_point, rounding).astype(np.int8)


def quantized(x: Float, fix_point: int, rounding: Rounding) -> Float:
    """Return the values that the quantized tensor stands for, in the same floating type."""
    return np.asarray(np.ldexp(_clipped(x, fix_point, rounding), -fix_point))


def _clipped(x: Float, fix_point: int, rounding: Rounding) -> Float:
    # Scaling by a power of two is exact; a value that overflows to infinity is clipped as well.
    with np.errstate(over="ignore"):
        return np.asarray(np.clip(rounding(np.ldexp(x, fix_point)), LOWEST, HIGHEST))


def non_overflow(x: Float, rounding: Rounding = half_up) -> int:
    """Largest p at which no value is clipped by more than half a step (the vendor's method 0).

    step = max(xmin / -128.5, xmax / 127.5); p = floor(log2(1 / step)); 127 for all zeros. The
    rounding is not looked at; it is there so that both rules are called alike.
    """
    step = max(float(x.min()) / (LOWEST - 0.5), float(x.max()) / (HIGHEST + 0.5))
    if step <= 0:
        return ALL_ZERO
    # step = m · 2^e with m in [½, 1): floor(-log2(step)) is -e, and 1 - e at a power of two.
    mantissa, exponent = math.frexp(step)
    return 1 - exponent if mantissa == 0.5 else -exponent


def min_mse(x: Float, rounding: Rounding = half_up) -> int:
    """Of non-overflow's p0 to p0 + 4, the p of least squared error (the vendor's method 1).

    The smaller p wins a tie. Large positions clip outliers and resolve the rest more finely.
    """
    first = non_overflow(x)
    if first == ALL_ZERO:
        return first
    wide = x.astype(np.float64)
    best, least = first, math.inf
    for p in range(first, first + SEARCHED):
        error = float(np.square(quantized(wide, p, rounding) - wide).sum())
        if error < least:
            best, least = p, error
    return best


RULES: dict[str, Callable[[Float, Rounding], int]] = {
    "non-overflow": non_overflow,
    "min-mse": min_mse,
}


def most_frequent(positions: Iterable[int]) -> int:
    """Return the fix point that most batches found, the smallest on a tie."""
    counts = Counter(positions)
    return min(counts, key=lambda p: (-counts[p], p))


def limited(input_p: int, weight_p: int, bias_p: int, output_p: int) -> tuple[int, int]:
    """Move a layer's weight and bias positions as the vendor's quantizer does.

    First the weight: shift_cut = pw + pi - po must lie in [0, 16]. Then the bias: shift_bias =
    pw + pi - pb must lie in [min(0, -(24 - (8 + shift_cut))), 16]. It may be negative; the
    vendor's compiler then moves the bias, see `board_bias`.
    """
    cut = min(max(weight_p + input_p - output_p, 0), MAX_SHIFT)
    weight_p = cut + output_p - input_p
    lowest = min(0, -(24 - (8 + cut)))
    shift = min(max(weight_p + input_p - bias_p, lowest), MAX_SHIFT)
    return weight_p, weight_p + input_p - shift


def board_bias(
    bias: npt.NDArray[np.int8], excess: int, evaluation: bool = False
) -> npt.NDArray[np.int8]:
    """Bring a bias that is ``excess`` positions finer than the accumulator to its position.

    The vendor's compiler, and so the board, rounds half up: (b + 1) >> 1 for one position. Its
    evaluation graph adds the finer bias; before a rounding shift that is the same as rounding it
    down: floor((n + f) / 2^s) = floor(n / 2^s) for an integer n and 0 <= f < 1.
    """
    if excess <= 0:
        return bias
    half = 0 if evaluation else 1 << (excess - 1)
    return ((bias.astype(np.int32) + half) >> excess).astype(np.int8)


def pool_factor(kernel_h: int, kernel_w: int) -> tuple[int, int]:
    """Return (multiplier, shift): the DPU's multiplier / 2^shift for 1 / (kernel_h · kernel_w).

    Five square kernels have factors of their own. For others it is the fraction k / 2^n nearest to
    the reciprocal with n < ceil(log2(128 · kernel_h · kernel_w)), the smallest n on a tie.
    """
    special = {3: (7, 6), 5: (10, 8), 6: (7, 8), 7: (21, 10), 14: (21, 12)}
    if kernel_h == kernel_w and kernel_h in special:
        return special[kernel_h]
    area = kernel_h * kernel_w
    best, least = (1, 0), math.inf
    for n in range((128 * area - 1).bit_length()):  # ceil(log2(m)) is the bit length of m - 1
        k = max(1, (2 * 2**n + area) // (2 * area))
        error = abs(k * area - 2**n) / 2**n  # |k / 2^n - 1 / area| · area, exactly
        if error < least:
            best, least = (k, n), error
    return best
