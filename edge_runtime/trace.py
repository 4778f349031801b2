"""What the layers of a network compute: only asked for where two networks differ."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_runtime.layers import Int8

Trace = dict[str, npt.NDArray[Any]]  # layer's name → output [N, …], NHWC, in order


@runtime_checkable
class Traced(Protocol):
    """A runner that can say what its layers compute."""

    def trace(self, inputs: Int8) -> Trace:
        """Outputs of the layers for int8 inputs [N, 32, 32, 1]."""
        ...


def first_difference(
    found: npt.NDArray[Any], wanted: npt.NDArray[Any], tolerance: float = 0.0
) -> tuple[int, ...] | None:
    """Index of the first element that differs by more than ``tolerance``, or None.

    NaN differs from everything. Arrays of another shape differ at their first element.
    """
    if found.shape != wanted.shape:
        return (0,) * max(1, found.ndim)
    if tolerance:
        near = np.abs(found.astype(np.float64) - wanted.astype(np.float64)) <= tolerance
    else:
        near = found == wanted
    if near.all():
        return None
    return tuple(int(i) for i in np.argwhere(~near)[0])
