"""Exact execution of an integer network in NumPy (the reference).

All other engines must give the same integers as this file. The rules are those of the DPU's
int8 format: one fix point per tensor, the activation before the single rounding shift, half up::

    acc = sum(x_q · w_q) + (b_q << shift_bias)
    y   = clip((acc + (1 << (shift_cut - 1))) >> shift_cut, -128, 127)

Sums of products run as float64 matrix products: each is an integer far below 2^53, so they
are exact in any order of summation and use the fast BLAS routines.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.layers import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Int8,
    IntegerNetwork,
    Layer,
    MaxPool,
    output_range,
)

__all__ = [
    "Activation",
    "Add",
    "AvgPool",
    "Concat",
    "Conv",
    "Int8",
    "IntegerNetwork",
    "Layer",
    "Logits",
    "MaxPool",
    "checksums",
    "requantize",
    "run",
    "run_layers",
]

Logits = npt.NDArray[Any]  # int8 or int32
_Int64 = npt.NDArray[np.int64]
_LEAKY_NUMERATOR, _LEAKY_BITS = 26, 8  # slope 26 / 2^8


def run_layers(network: IntegerNetwork, inputs: Int8) -> Iterator[Logits]:
    """Yield each layer's output for a batch, int8 [N, height, width, channels].

    The last one is int32 where the network has int32 logits.
    """
    outputs: list[Logits] = []
    for layer in network.layers:
        given = [inputs if i < 0 else outputs[i] for i in layer.sources]
        outputs.append(run_layer(layer, given))
        yield outputs[-1]


def run_layer(layer: Layer, inputs: Sequence[Int8]) -> Logits:
    """Compute one layer from the maps that feed it."""
    if isinstance(layer, Conv):
        return _run_conv(layer, inputs[0])
    if isinstance(layer, AvgPool):
        return _run_avg_pool(layer, inputs[0])
    if isinstance(layer, MaxPool):
        return _run_max_pool(layer, inputs[0])
    if isinstance(layer, Add):
        return _run_add(layer, inputs)
    return np.concatenate(inputs, axis=3)


def run(network: IntegerNetwork, inputs: Int8) -> Logits:
    """Logits [N, classes] of a batch int8 [N, height, width, channels]."""
    if inputs.dtype != np.int8 or inputs.shape[1:] != network.input_shape:
        raise ValueError(
            f"inputs are {inputs.dtype} {inputs.shape}, not int8 [N, "
            f"{', '.join(map(str, network.input_shape))}]"
        )
    *_, logits = run_layers(network, inputs)
    return logits.reshape(len(inputs), -1)


def checksums(network: IntegerNetwork, inputs: Int8) -> list[int]:
    """CRC-32 of each layer's output bytes (int32 little-endian), in execution order."""
    return [zlib.crc32(output_bytes(y)) for y in run_layers(network, inputs)]


def output_bytes(output: Logits) -> bytes:
    """Return a layer's output as the bytes that checksums and files hold."""
    return np.ascontiguousarray(output, output.dtype.newbyteorder("<")).tobytes()


def requantize(acc: _Int64, shift: int) -> Int8:
    """floor(acc · 2^-shift + ½), clipped to int8; a negative shift multiplies."""
    return _clipped(_shifted(acc, shift), -128, 127)


def _shifted(acc: _Int64, shift: int) -> _Int64:
    return acc << -shift if shift <= 0 else (acc + (1 << (shift - 1))) >> shift


def _clipped(values: _Int64, low: int, high: int) -> Int8:
    clipped: Int8 = np.clip(values, low, high).astype(np.int8)
    return clipped


def _finish(acc: _Int64, activation: Activation, shift: int, fix_point: int) -> Int8:
    """Apply an activation and the only rounding: int8 of the same shape.

    ReLU and ReLU6 are clips, which give the same before and after a monotone rounding.
    """
    shifted = _shifted(acc, shift)
    if activation is Activation.LEAKY_RELU:
        below = _shifted(acc * _LEAKY_NUMERATOR, shift + _LEAKY_BITS)
        shifted = np.where(acc < 0, below, shifted)
    return _clipped(shifted, *output_range(activation, fix_point))


def _run_conv(layer: Conv, x: Int8) -> Logits:
    padded = _padded(x, layer.pad, 0)
    windows = _windows(padded, layer.weights.shape[1:3], layer.stride)
    acc = _depthwise_sums(layer, windows) if layer.depthwise else _sums(layer, windows)
    acc += layer.bias.astype(np.int64) << layer.shift_bias
    if layer.int32_output:
        return acc.astype(np.int32)
    return _finish(acc, layer.activation, layer.shift_cut, layer.fix_point)


def _sums(layer: Conv, windows: Int8) -> _Int64:
    n, height, width = windows.shape[:3]
    columns = windows.reshape(n * height * width, -1).astype(np.float64)
    kernel = layer.weights.reshape(len(layer.weights), -1).T.astype(np.float64)
    return (columns @ kernel).astype(np.int64).reshape(n, height, width, -1)


def _depthwise_sums(layer: Conv, windows: Int8) -> _Int64:
    """Return sums by channel; output channels of one input channel stand side by side."""
    *lead, kernel_h, kernel_w, channels = windows.shape
    kernel = layer.weights[..., 0].reshape(channels, -1, kernel_h, kernel_w).astype(np.int64)
    acc = np.zeros((*lead, channels, kernel.shape[1]), np.int64)
    for i in range(kernel_h):
        for j in range(kernel_w):
            acc += windows[:, :, :, i, j, :, np.newaxis].astype(np.int64) * kernel[:, :, i, j]
    return acc.reshape(*lead, -1)


def _run_avg_pool(layer: AvgPool, x: Int8) -> Int8:
    windows = _windows(x, layer.kernel, layer.stride)
    total = windows.sum(axis=(3, 4), dtype=np.int64)
    return requantize(total * layer.multiplier, layer.shift)


def _run_max_pool(layer: MaxPool, x: Int8) -> Int8:
    # No value is below -128, so that padding of it never wins over one.
    windows = _windows(_padded(x, layer.pad, -128), layer.kernel, layer.stride)
    return requantize(windows.max(axis=(3, 4)).astype(np.int64), layer.shift)


def _run_add(layer: Add, inputs: Sequence[Int8]) -> Int8:
    first, second = (
        x.astype(np.int64) << shift for x, shift in zip(inputs, layer.left_shifts, strict=True)
    )
    return _finish(first + second, layer.activation, layer.shift, layer.fix_point)


def _padded(x: Int8, pad: tuple[int, int, int, int], value: int) -> Int8:
    top, bottom, left, right = pad
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _windows(x: Int8, kernel: Sequence[int], stride: tuple[int, int]) -> Int8:
    """View of all kernel windows: [N, out_h, out_w, kernel_h, kernel_w, channels]."""
    view = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(1, 2))
    strided: Int8 = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    return strided
