"""The layers of an integer network: what they hold, what they accept, what shape they make.

Their arithmetic is in `edge_runtime.integer`; docs/bundle.md states it for other implementations.
All maps are NHWC; a fix point p says that an integer q stands for q · 2^-p.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Int8 = npt.NDArray[np.int8]
Shape = tuple[int, int, int]  # (height, width, channels)

MAX_SHIFT = 16  # of what the DPU shifts: bias and cut of a convolution, inputs of an addition
ACCUMULATOR_LIMIT = 2**31  # every sum, with bias and rounding term, stays below in magnitude
SMALLEST_SHIFT, LARGEST_SHIFT = -16, 40  # of pools and additions; a negative shift multiplies


class Activation(StrEnum):
    """What is applied to a sum before its only rounding.

    LEAKY_RELU has the DPU's one slope, 26/256, on negative sums.
    """

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"


def output_range(activation: Activation, fix_point: int) -> tuple[int, int]:
    """Smallest and largest output integer; ReLU6 caps at floor(6 · 2^fix_point + ½)."""
    if activation is Activation.RELU6:
        return 0, min(127, math.floor(math.ldexp(6.0, min(fix_point, 8)) + 0.5))
    return (0 if activation is Activation.RELU else -128), 127


@dataclass(frozen=True)
class Conv:
    """A 2-D convolution, its activation and one rounding shift.

    A dense layer is one of kernel 1×1 on a 1×1 map.

    source : index of the layer that feeds this one, -1 is the network's input
    weights : int8 [out, kernel_h, kernel_w, in]; depthwise [out, kernel_h, kernel_w, 1], where
        output channel o reads input channel o // (out / in)
    bias : int8 [out]
    pad : zeros added at (top, bottom, left, right);  fix_point : of the output
    int32_output : the accumulators themselves are the output, neither shifted nor clipped; only
        for the last layer, with shift_cut 0 and no activation
    """

    name: str
    source: int
    weights: Int8
    bias: Int8
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]
    activation: Activation
    shift_cut: int
    shift_bias: int
    fix_point: int
    depthwise: bool = False
    int32_output: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.shift_cut <= MAX_SHIFT or not 0 <= self.shift_bias <= MAX_SHIFT:
            raise ValueError(
                f"{self.name}: shifts {self.shift_cut}, {self.shift_bias} outside 0..{MAX_SHIFT}"
            )
        if self.weights.ndim != 4 or self.bias.shape != self.weights.shape[:1]:
            raise ValueError(f"{self.name}: weights {self.weights.shape}, bias {self.bias.shape}")
        if self.depthwise and self.weights.shape[3] != 1:
            raise ValueError(f"{self.name}: depthwise weights {self.weights.shape}")
        _check_geometry(self.name, self.weights.shape[1:3], self.stride, self.pad)
        if self.int32_output and (self.shift_cut or self.activation is not Activation.NONE):
            raise ValueError(f"{self.name}: int32 output takes no shift and no activation")
        if self.accumulator_bound() >= ACCUMULATOR_LIMIT:
            raise ValueError(f"{self.name}: its sums do not fit in 32 bits")

    @property
    def sources(self) -> tuple[int, ...]:
        """Indices of the layers that feed this one."""
        return (self.source,)

    def accumulator_bound(self) -> int:
        """Return the largest magnitude that a sum with bias and rounding term can have."""
        products = 128 * np.abs(self.weights.astype(np.int64)).sum(axis=(1, 2, 3))
        bias = np.abs(self.bias.astype(np.int64)) << self.shift_bias
        return int((products + bias).max()) + ((1 << self.shift_cut) >> 1)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (height, width, channels) of the output."""
        out, kernel_h, kernel_w, expected = self.weights.shape
        channels = inputs[0][2]
        if self.depthwise and out % channels:
            raise ValueError(f"{self.name}: {out} depthwise kernels for {channels} channels")
        if not self.depthwise and channels != expected:
            raise ValueError(f"{self.name}: needs {expected} channels, gets {channels}")
        return _windowed(self.name, inputs[0], (kernel_h, kernel_w), self.stride, self.pad, out)


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
        _check_geometry(self.name, self.kernel, self.stride, (0, 0, 0, 0))
        _check_shift(self.name, self.shift)
        bound = math.prod(self.kernel) * 128 * self.multiplier << max(-self.shift, 0)
        if self.multiplier < 1 or bound >= 2**62:
            raise ValueError(f"{self.name}: multiplier {self.multiplier} on kernel {self.kernel}")

    @property
    def sources(self) -> tuple[int, ...]:
        """Indices of the layers that feed this one."""
        return (self.source,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (height, width, channels) of the output."""
        no_pad = (0, 0, 0, 0)
        return _windowed(self.name, inputs[0], self.kernel, self.stride, no_pad, inputs[0][2])


@dataclass(frozen=True)
class MaxPool:
    """Maximum over kernel windows; padding never wins. ``shift`` is the change of fix point."""

    name: str
    source: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]
    shift: int
    fix_point: int

    def __post_init__(self) -> None:
        _check_geometry(self.name, self.kernel, self.stride, self.pad)
        _check_shift(self.name, self.shift)
        if max(self.pad[:2]) >= self.kernel[0] or max(self.pad[2:]) >= self.kernel[1]:
            raise ValueError(f"{self.name}: a window lies in the padding {self.pad} alone")

    @property
    def sources(self) -> tuple[int, ...]:
        """Indices of the layers that feed this one."""
        return (self.source,)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (height, width, channels) of the output."""
        return _windowed(self.name, inputs[0], self.kernel, self.stride, self.pad, inputs[0][2])


@dataclass(frozen=True)
class Add:
    """Sum of two maps of one shape, its activation and one rounding.

    left_shifts : what brings each input to the finer of the two fix points; one of them is 0
    shift : from there to the output's fix point
    """

    name: str
    sources: tuple[int, int]
    left_shifts: tuple[int, int]
    activation: Activation
    shift: int
    fix_point: int

    def __post_init__(self) -> None:
        if min(self.left_shifts) != 0 or max(self.left_shifts) > MAX_SHIFT:
            raise ValueError(f"{self.name}: left shifts {self.left_shifts}")
        _check_shift(self.name, self.shift)

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (height, width, channels) of the output."""
        if inputs[0] != inputs[1]:
            raise ValueError(f"{self.name}: cannot add {inputs[0]} and {inputs[1]}")
        return inputs[0]


@dataclass(frozen=True)
class Concat:
    """Channels of several maps one after another; all have the output's fix point."""

    name: str
    sources: tuple[int, ...]
    fix_point: int

    def __post_init__(self) -> None:
        if len(self.sources) < 2:
            raise ValueError(f"{self.name}: concatenates {len(self.sources)} maps")

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (height, width, channels) of the output."""
        if len({shape[:2] for shape in inputs}) != 1:
            raise ValueError(f"{self.name}: cannot concatenate maps {[s[:2] for s in inputs]}")
        return (*inputs[0][:2], sum(shape[2] for shape in inputs))


Layer = Conv | AvgPool | MaxPool | Add | Concat


@dataclass(frozen=True)
class IntegerNetwork:
    """Layers in order of execution; the last one's output is the logits.

    input_shape : (height, width, channels);  input_fix_point : value = q · 2^-fix_point
    """

    input_shape: Shape
    input_fix_point: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a network needs at least one layer")
        last = self.output_shapes()[-1]
        if last[:2] != (1, 1):
            raise ValueError(f"the last layer's map is {last[:2]}, not 1×1")
        for layer in self.layers[:-1]:
            if isinstance(layer, Conv) and layer.int32_output:
                raise ValueError(f"{layer.name}: only the last layer's output may be int32")
        for layer in self.layers:
            self._check_fix_points(layer)

    def _check_fix_points(self, layer: Layer) -> None:
        given = [self.fix_point(source) for source in layer.sources]
        if isinstance(layer, Concat):
            consistent = set(given) == {layer.fix_point}
        elif isinstance(layer, Add):
            finer = max(given)
            shifts = tuple(finer - p for p in given)
            consistent = layer.left_shifts == shifts and layer.shift == finer - layer.fix_point
        elif isinstance(layer, MaxPool):
            consistent = layer.shift == given[0] - layer.fix_point
        else:
            return
        if not consistent:
            raise ValueError(
                f"{layer.name}: its shifts do not lead from fix points {given} to {layer.fix_point}"
            )

    def fix_point(self, index: int) -> int:
        """Fix point of a layer's output, or of the input for -1."""
        return self.input_fix_point if index < 0 else self.layers[index].fix_point

    def output_shapes(self) -> list[Shape]:
        """(height, width, channels) of every layer's output."""
        shapes: list[Shape] = []
        for i, layer in enumerate(self.layers):
            for source in layer.sources:
                if not -1 <= source < i:
                    raise ValueError(f"{layer.name}: fed by layer {source}, which comes later")
            given = [self.input_shape if s < 0 else shapes[s] for s in layer.sources]
            shapes.append(layer.output_shape(given))
        return shapes

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.output_shapes()[-1][2]

    @property
    def multiply_adds(self) -> int:
        """Of the convolutions, for one input, taps in the padding counted."""
        shapes = self.output_shapes()
        return sum(
            shape[0] * shape[1] * layer.weights.size
            for layer, shape in zip(self.layers, shapes, strict=True)
            if isinstance(layer, Conv)
        )

    @property
    def logits_fix_point(self) -> int:
        """Fix point of the logits."""
        return self.layers[-1].fix_point

    @property
    def int32_logits(self) -> bool:
        """Whether the logits are the last layer's accumulators."""
        last = self.layers[-1]
        return isinstance(last, Conv) and last.int32_output


def _check_geometry(
    name: str, kernel: Sequence[int], stride: tuple[int, int], pad: tuple[int, int, int, int]
) -> None:
    if min(kernel) < 1 or min(stride) < 1 or min(pad) < 0:
        raise ValueError(f"{name}: kernel {tuple(kernel)}, stride {stride}, pad {pad}")


def _check_shift(name: str, shift: int) -> None:
    if not SMALLEST_SHIFT <= shift <= LARGEST_SHIFT:
        raise ValueError(f"{name}: shift {shift} outside {SMALLEST_SHIFT}..{LARGEST_SHIFT}")


def _windowed(
    name: str,
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int, int, int],
    channels: int,
) -> Shape:
    height, width = shape[0] + pad[0] + pad[1], shape[1] + pad[2] + pad[3]
    if height < kernel[0] or width < kernel[1]:
        raise ValueError(f"{name}: kernel {kernel[0]}×{kernel[1]} on a {height}×{width} map")
    return (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1, channels
