"""From gray pixels to the network's int8 input, in integer arithmetic only.

docs/preprocessing.md is the specification; this is its Python implementation. Training,
calibration, evaluation and the board all use it: copied preprocessing is the commonest
accuracy bug of this field.
"""

import functools

import numpy as np
import numpy.typing as npt

from edge_runtime.images import Gray

VERSION = 1
SIDE = 32  # the network's input is SIDE × SIDE × 1
FIX_POINT = 7  # a network input value is q · 2^-7, so it lies in [-1, 127/128]
MIN_CONTRAST = 8  # below this difference a picture is taken as flat

Int8Image = npt.NDArray[np.int8]


def preprocess(gray: Gray) -> Int8Image:
    """Turn gray pixels of any size into the network's input.

    Parameters
    ----------
    gray : uint8 array of shape (height, width)

    Returns
    -------
    int8 array of shape (32, 32, 1), at fix point 7
    """
    return normalize_contrast(area_resize(gray, SIDE))[..., np.newaxis]


def area_resize(gray: Gray, side: int) -> Gray:
    """Stretch to ``side`` × ``side`` pixels, each the exact mean of the area that it covers.

    In units where the picture is ``height · side`` tall, input row r covers
    [r·side, (r+1)·side) and output row i covers [i·height, (i+1)·height); weights are the
    lengths of the overlaps, columns likewise. The weighted sum is divided by height · width,
    rounded half up. Enlarging follows the same rule.
    """
    height, width = gray.shape
    rows, columns = _overlaps(height, side), _overlaps(width, side)
    # Exact although in floating point: every sum is an integer under 255 · 64e6 < 2^53.
    sums = (rows @ gray.astype(np.float64) @ columns.T).astype(np.int64)
    area = height * width
    resized: Gray = ((2 * sums + area) // (2 * area)).astype(np.uint8)
    return resized


def normalize_contrast(gray: Gray) -> Int8Image:
    """Stretch the 2nd..98th percentile to 0..255 and center it: uint8 to int8, same shape.

    lo is the smallest value that at least 2 % of the pixels do not exceed, hi the same for
    98 %. A flat picture (hi - lo < 8) becomes all zero. Otherwise
    u = floor(((v - lo) · 255 + (hi - lo) // 2) / (hi - lo)), and q = clip(u, 0, 255) - 128.
    """
    counts = np.cumsum(np.bincount(gray.ravel(), minlength=256))
    total = gray.size
    lo = int(np.argmax(counts * 50 >= total))
    hi = int(np.argmax(counts * 50 >= total * 49))
    span = hi - lo
    if span < MIN_CONTRAST:
        return np.zeros(gray.shape, np.int8)
    levels = ((np.arange(256) - lo) * 255 + span // 2) // span
    table = (np.clip(levels, 0, 255) - 128).astype(np.int8)
    stretched: Int8Image = table[gray]
    return stretched


def to_float(inputs: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Value that an int8 input stands for, q / 128: what a float network is fed."""
    return inputs.astype(np.float32) * np.float32(2.0**-FIX_POINT)


@functools.lru_cache(maxsize=64)
def _overlaps(length: int, side: int) -> npt.NDArray[np.float64]:
    """Overlap of each output cell with each input cell, integers of shape [side, length]."""
    cell = np.arange(side)[:, np.newaxis] * length
    pixel = np.arange(length)[np.newaxis, :] * side
    overlap = np.minimum(cell + length, pixel + side) - np.maximum(cell, pixel)
    weights: npt.NDArray[np.float64] = np.maximum(overlap, 0).astype(np.float64)
    weights.setflags(write=False)
    return weights
