"""What one DPU kernel can hold, and how long its layers take at best: PG338, DPUCZDX8G.

Sizes are named after their peak operations a cycle: B1152 multiplies 4 pixels with 12 input and 12
output channels in every cycle, two operations each.
"""

import math
from dataclasses import dataclass

from edge_runtime.errors import SettingsError


@dataclass(frozen=True)
class Target:
    """A DPU size.

    pixels, inputs, outputs : how many pixels, input and output channels a cycle multiplies
    bram36 : its block RAMs of 36 kbit;  clock_hz : that boards usually run it at
    """

    name: str
    pixels: int
    inputs: int
    outputs: int
    bram36: float
    clock_hz: float

    @property
    def macs_per_cycle(self) -> int:
        """Multiply-adds a cycle, at best."""
        return self.pixels * self.inputs * self.outputs

    @property
    def memory_bytes(self) -> int:
        """On-chip memory: 4 KiB of data in each block RAM."""
        return int(self.bram36 * 4096)


_ZYNQ7000_HZ, _ULTRASCALE_HZ = 90e6, 300e6
TARGETS = {
    target.name: target
    for target in (
        Target("B512", 4, 8, 8, 69.5, _ULTRASCALE_HZ),
        Target("B800", 4, 10, 10, 87.0, _ULTRASCALE_HZ),
        Target("B1024", 8, 8, 8, 101.5, _ULTRASCALE_HZ),
        Target("B1152", 4, 12, 12, 117.5, _ZYNQ7000_HZ),
        Target("B1600", 8, 10, 10, 123.0, _ULTRASCALE_HZ),
        Target("B2304", 8, 12, 12, 161.5, _ULTRASCALE_HZ),
        Target("B3136", 8, 14, 14, 203.5, _ULTRASCALE_HZ),
        Target("B4096", 8, 16, 16, 249.5, _ULTRASCALE_HZ),
    )
}
# Kernels and strides, in the order of the product guide's table of operators.
MAX_KERNEL, MAX_STRIDE = 16, 8
MAX_AVERAGE, MAX_MAXIMUM = 8, 8
MAX_WEIGHT_BANK = 2048  # kernel width · height · ceil(input channels / input parallelism)
MAX_OUTPUT_GROUPS = 256  # ceil(output channels / output parallelism)
MAX_DENSE = (16, 16, 4096)  # height, width and channels that a dense layer may flatten


def target_named(name: str) -> Target:
    """Return a target by its name."""
    if name.upper() not in TARGETS:
        raise SettingsError(f"no target {name!r}; there are {', '.join(TARGETS)}")
    return TARGETS[name.upper()]


def conv_cycles(target: Target, out: tuple[int, int, int], kernel: int, inputs: int) -> int:
    """Cycles of a convolution if every cycle multiplies: out is (height, width, channels)."""
    pixels = out[0] * math.ceil(out[1] / target.pixels)
    groups = math.ceil(inputs / target.inputs) * math.ceil(out[2] / target.outputs)
    return pixels * groups * kernel


def channel_cycles(target: Target, out: tuple[int, int, int], kernel: int) -> int:
    """Cycles of a layer that treats every channel by itself: pools and depthwise layers."""
    pixels = out[0] * math.ceil(out[1] / target.pixels)
    return pixels * math.ceil(out[2] / target.outputs) * kernel
