"""Looking inside a program that only prints logits, by bundles whose logits are what one wants.

The program runs any bundle. One whose network copies its input tells the preprocessed bytes; one
that ends behind a layer, with a depthwise convolution that copies some positions of its map, tells
that layer's integers. So no build needs a debugging door.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import Bundle, GoldenVectors, write_bundle
from edge_runtime.layers import Activation, Conv, IntegerNetwork, Layer
from edge_runtime.preprocess import FIX_POINT, SIDE
from edge_runtime.scores import build_table
from edge_runtime.trace import Trace

_CLASSES = 4096  # that a bundle may have
_FIRST_SYMBOL = 0x4E00  # 4,096 letters in a row
_NO_PAD = (0, 0, 0, 0)


def preprocessing_bundle(path: Path) -> None:
    """Write a bundle whose 1,024 logits are the preprocessed image, row by row."""
    _write(path, [], _copies((SIDE, SIDE, 1), range(SIDE * SIDE), -1, FIX_POINT))


@dataclasses.dataclass(frozen=True)
class Peek:
    """Some positions of a layer's map: ``positions`` are row · width + column, int [m]."""

    layer: int
    positions: range
    channels: int

    def values(self, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Logits of the peek's bundle as integers [m, channels]."""
        return logits[: self.channels * len(self.positions)].reshape(self.channels, -1).T


def peeks(network: IntegerNetwork, layer: int) -> Iterator[Peek]:
    """Yield what it takes to see all of one layer's map; nothing where it has too many channels."""
    height, width, channels = network.output_shapes()[layer]
    at_once = _CLASSES // channels
    if not at_once:
        return
    for start in range(0, height * width, at_once):
        positions = range(start, min(start + at_once, height * width))
        yield Peek(layer, positions, channels)


def write_peek(path: Path, network: IntegerNetwork, peek: Peek) -> None:
    """Write the bundle that shows ``peek`` of a network."""
    shape = network.output_shapes()[peek.layer]
    fix_point = network.layers[peek.layer].fix_point
    last = _copies(shape, peek.positions, peek.layer, fix_point)
    _write(path, list(network.layers[: peek.layer + 1]), last)


def trace_by_peeks(
    network: IntegerNetwork, base: Trace, path: Path, logits_of: Callable[[Path], npt.NDArray[Any]]
) -> Trace:
    """Outputs of a network's layers for one image, up to the first that is not as in ``base``.

    Parameters
    ----------
    path : for the bundles that are run;  logits_of : runs one, logits [classes]
    """
    found: Trace = {}
    shapes = network.output_shapes()
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        wanted = base.get(layer.name)
        if (last and network.int32_logits) or wanted is None or wanted.shape[1:] != shapes[number]:
            return found
        parts = []
        for peek in peeks(network, number):
            write_peek(path, network, peek)
            parts.append(peek.values(logits_of(path)))
        if not parts:
            return found
        found[layer.name] = np.concatenate(parts).reshape(1, *shapes[number])
        if not np.array_equal(found[layer.name], wanted):
            return found
    return found


def _copies(shape: tuple[int, int, int], positions: range, source: int, fix_point: int) -> Conv:
    """Make the convolution whose output channel c · m + i is channel c at position i of m."""
    height, width, channels = shape
    many = len(positions) * channels
    repeated = 2 if many == 1 else 1  # an alphabet has at least two symbols
    weights = np.zeros((channels, len(positions) * repeated, height, width, 1), np.int8)
    for i in range(len(positions) * repeated):
        row, column = divmod(positions[i % len(positions)], width)
        weights[:, i, row, column] = 1
    flat = weights.reshape(-1, height, width, 1)
    bias = np.zeros(len(flat), np.int8)
    none = Activation.NONE
    depthwise = channels > 1
    return Conv("peek", source, flat, bias, (1, 1), _NO_PAD, none, 0, 0, fix_point, depthwise)


def _write(path: Path, layers: list[Layer], last: Conv) -> None:
    network = IntegerNetwork((SIDE, SIDE, 1), FIX_POINT, (*layers, last))
    symbols = tuple(chr(_FIRST_SYMBOL + i) for i in range(network.classes))
    table = build_table(False, min(max(last.fix_point, -20), 20), 1.0, 1.0)
    golden = GoldenVectors.record(network, np.zeros((1, SIDE, SIDE, 1), np.int8))
    write_bundle(path, Bundle("peek", Alphabet(symbols), network, table, golden))
