"""From an image file to gray pixels.

The rules are part of the preprocessing specification (docs/preprocessing.md): 16-bit samples
lose their low byte, transparency is laid over white, and color becomes gray by fixed integer
weights, so that any implementation arrives at the same bytes, and refuses the same files.
"""

import io
import sys
from pathlib import Path

import numpy as np

from edge_runtime import bmp, png, pnm
from edge_runtime.errors import ImageError
from edge_runtime.pixels import (
    MAX_PIXELS,
    MAX_SIDE,
    Damage,
    Gray,
    TooLarge,
    check_size,
    gray_of,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Gray",
    "decode_gray",
    "read_gray",
    "read_image_bytes",
    "read_standard_input",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm"})
MAX_FILE_BYTES = 64 * 2**20


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
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from None


def read_standard_input() -> Gray:
    """Read one encoded image from standard input as gray pixels."""
    data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"-: {len(data):,} bytes is over the limit of {MAX_FILE_BYTES:,}")
    return decode_gray(data, "-")


def decode_gray(data: bytes, name: str) -> Gray:
    """Decode an encoded image into gray pixels, uint8 of shape [height, width].

    ``name`` stands for the image in error messages.
    """
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes); replace or remove it")
    try:
        return _decode(data, name)
    except TooLarge as size:
        raise ImageError(
            f"{name}: {size.width}×{size.height} pixels is over the limit of "
            f"{MAX_PIXELS:,} in all and {MAX_SIDE:,} a side; make it smaller"
        ) from None
    except Damage as damage:
        raise ImageError(f"{name}: damaged or truncated image ({damage})") from None


def _decode(data: bytes, name: str) -> Gray:
    """Decode by the file's own first bytes."""
    if data.startswith(png.MAGIC):
        return png.decode(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _decode_jpeg(data)
    if data.startswith(b"BM"):
        return bmp.decode(data)
    if data[:1] == b"P" and data[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return pnm.decode(data)
    raise ImageError(f"{name}: not a PNG, JPEG, BMP, PGM or PPM image")


def _decode_jpeg(data: bytes) -> Gray:
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        image = JpegImageFile(io.BytesIO(data))
        check_size(*image.size)
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError):
        raise Damage("JPEG data") from None
    if image.mode == "L":
        return np.asarray(image)
    return gray_of(np.asarray(image.convert("RGB")))
