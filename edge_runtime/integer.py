"""The integer network: layers, and their exact execution in NumPy (the reference).

All other engines must give the same integers as this file. The rules are those of the DPU's
int8 format: one fix point per tensor, ReLU before the single rounding shift, half up::

    acc = sum(x_q · w_q) + (b_q << shift_bias)
    y   = clip((acc + (1 << (shift_cut - 1))) >> shift_cut, -128, 127)

Sums of products run as float64 matrix products: each is an integer far below 2^53, so they
are exact in any order of summation and use the fast BLAS routines.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Conv:
    """A 2-D convolution (a dense layer is one of kernel 1×1 on a 1×1 map) with optional ReLU.

    weights : int8 [out, kernel_h, kernel_w, in];  bias : int8 [out]
    pad : zeros added at (top, bottom, left, right);  fix_point : of the output
    """

    name: str
    source: int  # index of the layer that feeds this one, -1 is the network's input
    weights: Int8
    bias: Int8
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]
    relu: bool
    shift_cut: int
    shift_bias: int
    fix_point: int

    def __post_init__(self) -> None:
        if not 0 <= self.shift_cut <= 16 or not 0 <= self.shift_bias <= 16:
            raise ValueError(
                f"{self.name}: shifts {self.shift_cut}, {self.shift_bias} outside 0..16"
            )
        if self.weights.ndim != 4 or self.bias.shape != self.weights.shape[:1]:
            raise ValueError(f"{self.name}: weights {self.weights.shape}, bias {self.bias.shape}")
        if min(self.stride) < 1 or min(self.pad) < 0:
            raise ValueError(f"{self.name}: stride {self.stride}, pad {self.pad}")


@dataclass(frozen=True)
class AvgPool:
    """Mean over kernel windows without padding, times the DPU's factor multiplier / 2^shift.

    ``shift`` already contains the change of fix point: y = floor(sum · multiplier / 2^shift + ½).
    """

    name: str
    source: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    multiplier: int
    shift: int
    fix_point: int

    def __post_init__(self) -> None:
        if min(self.kernel) < 1 or min(self.stride) < 1 or self.multiplier < 1:
            raise ValueError(f"{self.name}: kernel {self.kernel}, stride {self.stride}")
        if not -16 <= self.shift <= 40:
            raise ValueError(f"{self.name}: shift {self.shift} outside -16..40")


Layer = Conv | AvgPool


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers in order of execution; the last one's output is the logits.

    input_shape : (height, width, channels);  input_fix_point : value = q · 2^-fix_point
    """

    input_shape: tuple[int, int, int]
    input_fix_point: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        last = self.output_shapes()[-1]
        if last[:2] != (1, 1):
            raise ValueError(f"the last layer's map is {last[:2]}, not 1×1")

    def output_shapes(self) -> list[tuple[int, int, int]]:
        """(height, width, channels) of every layer's output."""
        shapes: list[tuple[int, int, int]] = []
        for i, layer in enumerate(self.layers):
            if not -1 <= layer.source < i:
                raise ValueError(f"{layer.name}: fed by layer {layer.source}, which comes later")
            shape = self.input_shape if layer.source < 0 else shapes[layer.source]
            shapes.append(output_shape(layer, shape))
        return shapes

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.output_shapes()[-1][2]

    @property
    def logits_fix_point(self) -> int:
        """Fix point of the logits."""
        return self.layers[-1].fix_point


def output_shape(layer: Layer, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(height, width, channels) that ``layer`` makes of an input of ``shape``."""
    height, width, channels = shape
    if isinstance(layer, Conv):
        out, kernel_h, kernel_w, expected = layer.weights.shape
        if channels != expected:
            raise ValueError(f"{layer.name}: needs {expected} channels, gets {channels}")
        height += layer.pad[0] + layer.pad[1]
        width += layer.pad[2] + layer.pad[3]
    else:
        (kernel_h, kernel_w), out = layer.kernel, channels
    if height < kernel_h or width < kernel_w:
        raise ValueError(f"{layer.name}: kernel {kernel_h}×{kernel_w} on a {height}×{width} map")
    return (
        (height - kernel_h) // layer.stride[0] + 1,
        (width - kernel_w) // layer.stride[1] + 1,
        out,
    )


def run_layers(network: IntegerNetwork, inputs: Int8) -> Iterator[Int8]:
    """Yield each layer's output for a batch, int8 [N, height, width, channels]."""
    outputs: list[Int8] = []
    for layer in network.layers:
        x = inputs if layer.source < 0 else outputs[layer.source]
        outputs.append(_run_conv(layer, x) if isinstance(layer, Conv) else _run_pool(layer, x))
        yield outputs[-1]


def run(network: IntegerNetwork, inputs: Int8) -> Int8:
    """Logits of a batch: int8 [N, height, width, channels] to int8 [N, classes]."""
    if inputs.dtype != np.int8 or inputs.shape[1:] != network.input_shape:
        raise ValueError(
            f"inputs are {inputs.dtype} {inputs.shape}, not int8 [N, "
            f"{', '.join(map(str, network.input_shape))}]"
        )
    *_, logits = run_layers(network, inputs)
    return logits.reshape(len(inputs), -1)


def checksums(network: IntegerNetwork, inputs: Int8) -> list[int]:
    """CRC-32 of each layer's output bytes, in execution order."""
    return [zlib.crc32(np.ascontiguousarray(y).tobytes()) for y in run_layers(network, inputs)]


def requantize(acc: npt.NDArray[np.int64], shift: int) -> Int8:
    """floor(acc · 2^-shift + ½), clipped to int8; a negative shift multiplies."""
    scaled = acc << -shift if shift <= 0 else (acc + (1 << (shift - 1))) >> shift
    clipped: Int8 = np.clip(scaled, -128, 127).astype(np.int8)
    return clipped


def _run_conv(layer: Conv, x: Int8) -> Int8:
    top, bottom, left, right = layer.pad
    out, kernel_h, kernel_w, _ = layer.weights.shape
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = _windows(padded, (kernel_h, kernel_w), layer.stride)
    n, height, width = windows.shape[:3]
    columns = windows.reshape(n * height * width, -1).astype(np.float64)
    kernel = layer.weights.reshape(out, -1).T.astype(np.float64)
    acc = (columns @ kernel).astype(np.int64)
    acc += layer.bias.astype(np.int64) << layer.shift_bias
    if layer.relu:
        acc = np.maximum(acc, 0)
    return requantize(acc, layer.shift_cut).reshape(n, height, width, out)


def _run_pool(layer: AvgPool, x: Int8) -> Int8:
    windows = _windows(x, layer.kernel, layer.stride)
    total = windows.sum(axis=(3, 4), dtype=np.int64)
    return requantize(total * layer.multiplier, layer.shift)


def _windows(x: Int8, kernel: Sequence[int], stride: tuple[int, int]) -> Int8:
    """View of all kernel windows: [N, out_h, out_w, kernel_h, kernel_w, channels]."""
    view = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(1, 2))
    strided: Int8 = view[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)
    return strided
