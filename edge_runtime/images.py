"""From an image file to gray pixels.

The rules are part of the preprocessing specification (docs/preprocessing.md): 16-bit samples
lose their low byte, transparency is laid over white, and color becomes gray by fixed integer
weights, so that any implementation arrives at the same bytes.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from edge_runtime.errors import ImageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm"})
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 10**6
MAX_SIDE = 16384
_FORMATS = ("PNG", "JPEG", "BMP", "PPM")

Gray = npt.NDArray[np.uint8]


def read_gray(path: Path) -> Gray:
    """Read an image file as gray pixels, uint8 of shape [height, width].

    Raises
    ------
    ImageError
        When the file is missing, empty, truncated, too large or no image. The message names it.
    """
    return decode_gray(read_image_bytes(path), str(path))


def read_image_bytes(path: Path) -> bytes:
    """Read an image file's bytes; `ImageError` where that cannot be done."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ImageError(f"{path}: {size:,} bytes is over the limit of {MAX_FILE_BYTES:,}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes); replace or remove it")
    return data


def decode_gray(data: bytes, name: str) -> Gray:
    """Decode an encoded image into gray pixels, uint8 of shape [height, width].

    ``name`` stands for the image in error messages.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size limit; ours is checked below
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise ImageError(
                f"{name}: {image.width}×{image.height} pixels is over the limit of "
                f"{MAX_PIXELS:,} in all and {MAX_SIDE:,} a side; make it smaller"
            )
        image.load()
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a PNG, JPEG, BMP, PGM or PPM image") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than {MAX_PIXELS:,} pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name}: damaged or truncated image ({reason})") from None
    return _to_gray(image)


def _to_gray(image: Image.Image) -> Gray:
    if image.mode.startswith("I"):  # 16-bit gray
        wide = np.asarray(image).astype(np.int64)
        high: Gray = np.clip(wide >> 8, 0, 255).astype(np.uint8)
        return high
    transparent = "A" in image.getbands() or "transparency" in image.info
    if transparent:
        rgba = np.asarray(image.convert("RGBA")).astype(np.int32)
        alpha = rgba[..., 3:]
        rgb = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    elif image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    else:
        rgb = np.asarray(image.convert("RGB")).astype(np.int32)
    weighted = 4899 * rgb[..., 0] + 9617 * rgb[..., 1] + 1868 * rgb[..., 2]
    gray: Gray = ((weighted + 8192) >> 14).astype(np.uint8)
    return gray
