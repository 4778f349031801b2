"""What the image readers share: limits, errors, and the step from color to gray."""

import numpy as np
import numpy.typing as npt

MAX_PIXELS = 64 * 10**6
MAX_SIDE = 16384

Gray = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.integer]


class Damage(Exception):  # noqa: N818 - what is wrong with a file, not an error of ours
    """A file breaks the rules of its format; the text says which part."""


class TooLarge(Exception):  # noqa: N818
    """A picture has more pixels than the specification allows."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"{width}×{height}")
        self.width, self.height = width, height


def check_size(width: int, height: int) -> None:
    """Refuse pictures without pixels (`Damage`) and too large ones (`TooLarge`)."""
    if width == 0 or height == 0:
        raise Damage("no pixels")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise TooLarge(width, height)


def gray_of(rgb: Samples) -> Gray:
    """(4899 R + 9617 G + 1868 B + 8192) >> 14 of samples [..., 3] in 0..255."""
    wide = rgb.astype(np.int32)
    weighted = 4899 * wide[..., 0] + 9617 * wide[..., 1] + 1868 * wide[..., 2]
    gray: Gray = ((weighted + 8192) >> 14).astype(np.uint8)
    return gray


def over_white(samples: Samples, alpha: Samples) -> Samples:
    """Lay samples [..., n] of transparency alpha [...] over white, each by itself."""
    a = alpha.astype(np.int32)[..., np.newaxis]
    return (samples.astype(np.int32) * a + 255 * (255 - a) + 127) // 255
