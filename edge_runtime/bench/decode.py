"""From encoded images to inputs as a program around a general engine would do it: by OpenCV.

The steps are those of docs/preprocessing.md, by OpenCV's functions: gray, mean of areas, contrast
from the 2nd to the 98th percentile. Pixels may differ from the specification by a rounding; what is
timed here is not what accuracy is measured on.
"""

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import ImageError, MissingDependencyError
from edge_runtime.layers import Int8
from edge_runtime.preprocess import MIN_CONTRAST, SIDE

_LEVELS = np.arange(256, dtype=np.float32)


def has_opencv() -> bool:
    """Whether OpenCV is installed."""
    try:
        import cv2  # noqa: F401
    except ImportError:
        return False
    return True


def decode(files: Sequence[bytes]) -> Int8:
    """Inputs int8 [N, 32, 32, 1] of N encoded images."""
    inputs = np.empty((len(files), SIDE, SIDE, 1), np.int8)
    for data, into in zip(files, inputs, strict=True):
        _decode(data, into[..., 0])
    return inputs


def _decode(data: bytes, into: Int8) -> None:
    try:
        import cv2
    except ImportError:
        raise MissingDependencyError("pip install 'edgeglyph[bench]'") from None
    gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        raise ImageError("OpenCV cannot decode the image to be timed; name others with --images")
    small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    counts = np.bincount(small.ravel(), minlength=256).cumsum()
    low, high = counts.searchsorted((0.02 * small.size, 0.98 * small.size))
    if high - low < MIN_CONTRAST:
        into[:] = 0
        return
    stretched = (_LEVELS - low) * (255 / (high - low)) + 0.5
    table = (np.clip(stretched, 0, 255).astype(np.int16) - 128).astype(np.int8)
    into[:] = table[small]
