"""Shapes of the network: channels of every convolution, what they cost, what a budget buys."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import SettingsError
from edge_runtime.preprocess import SIDE
from semi_supervised.training.networks import CONVOLUTIONS

# Channels go by sixteens: that many are a word of the open core's memories, what the largest DPU
# multiplies at once, and the int32 sums of an AVX-512 register. There 17 cost as much as 32.
STEP = 16

Channels = tuple[int, ...]


def multiply_adds(channels: Sequence[int], classes: int) -> int:
    """Of all convolutions and the dense layer, for one image, taps in the padding counted."""
    inputs = (1, *channels)
    taps = zip(_taps(), inputs, channels, strict=False)
    return sum(each * i * o for each, i, o in taps) + inputs[-1] * classes


def shape_within(worth: Sequence[npt.NDArray[np.float64]], classes: int, budget: int) -> Channels:
    """The best shape that a budget of multiply-adds buys from a network.

    Of all shapes within it, that which keeps most of every layer: the product of the layers' kept
    worth is largest. A sum would let one layer shrink to almost nothing, through which all must
    pass. Channels are kept from the worthiest on, in sixteens.

    Parameters
    ----------
    worth : float64 [channels] of each convolution

    Raises
    ------
    SettingsError
        Not even the smallest shape fits: 16 channels everywhere.
    """
    # By channels of the layer before: the ways to get there that are worth going on with.
    ways: dict[int, list[_Way]] = {1: [_Way(0, 0.0, ())]}
    least = tuple(_counts(len(each))[0] for each in worth)
    if multiply_adds(least, classes) > budget:
        raise SettingsError(
            f"a budget of {budget:,} multiply-adds is too small; the smallest network has "
            f"{multiply_adds(least, classes):,}, with channels {text_of(least)}"
        )
    for each, taps in zip(worth, _taps(), strict=True):
        kept = np.cumsum(np.sort(each)[::-1]) / max(each.sum(), np.finfo(float).tiny)
        ways = {
            count: _undominated(
                _Way(
                    way.cost + taps * inputs * count,
                    way.lost - math.log(max(kept[count - 1], np.finfo(float).tiny)),
                    (*way.shape, count),
                )
                for inputs, group in ways.items()
                for way in group
                if way.cost + taps * inputs * count <= budget
            )
            for count in _counts(len(each))
        }
    ends = [way for group in ways.values() for way in group]
    within = [way for way in ends if multiply_adds(way.shape, classes) <= budget]
    return min(within, key=lambda way: (way.lost, way.cost)).shape


def checked(channels: Sequence[int], own: Sequence[int]) -> Channels:
    """Channels that a user names, if a network with ``own`` channels can give them."""
    fits = len(channels) == len(own) and all(
        count in _counts(had) for count, had in zip(channels, own, strict=True)
    )
    if not fits:
        raise SettingsError(
            f"channels {text_of(channels)}: of a network with {text_of(own)}, each convolution "
            f"keeps all channels or a multiple of {STEP}"
        )
    return tuple(channels)


def text_of(channels: Sequence[int]) -> str:
    """Channels as options take them: ``48,48,64``."""
    return ",".join(map(str, channels))


class _Way(NamedTuple):
    """Channels of the first layers: their multiply-adds, and the logarithm of the worth lost."""

    cost: int
    lost: float
    shape: Channels


def _undominated(ways: Iterable[_Way]) -> list[_Way]:
    """Those that lose less than all cheaper ones."""
    found: list[_Way] = []
    for way in sorted(ways):
        if not found or way.lost < found[-1].lost:
            found.append(way)
    return found


def _counts(channels: int) -> list[int]:
    """Channels that a layer may keep: multiples of 16, or all."""
    return sorted({*range(STEP, channels, STEP), channels})


def _taps() -> list[int]:
    """Pixels of each convolution's map, times the nine weights of a kernel."""
    found, side = [], SIDE
    for _, stride, padding in CONVOLUTIONS:
        side = -(-side // stride) if padding == "SAME" else (side - 3) // stride + 1
        found.append(9 * side * side)
    return found
