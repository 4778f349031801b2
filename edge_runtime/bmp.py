"""BMP files as gray pixels: palettes, 16, 24 and 32 bits, bit masks, run-length coding.

Read here and not by Pillow, so that docs/preprocessing.md can state all that is accepted.
"""

import struct
from dataclasses import dataclass

import numpy as np

from edge_runtime.pixels import Damage, Gray, Samples, check_size, gray_of, over_white

_RAW, _RLE8, _RLE4, _MASKS = 0, 1, 2, 3
_FILE_HEADER = 14
_DEFAULT_MASKS = {
    16: (0x7C00, 0x3E0, 0x1F, 0),
    24: (0xFF0000, 0xFF00, 0xFF, 0),
    32: (0xFF0000, 0xFF00, 0xFF, 0),
}


@dataclass(frozen=True)
class _Header:
    size: int
    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    colors: int
    offset: int
    masks: tuple[int, int, int, int]


def decode(data: bytes) -> Gray:
    """Decode a file; `Damage` where it breaks the format, `TooLarge` beyond the limits."""
    try:
        header = _read_header(data)
    except struct.error:
        raise Damage("header") from None
    packed = header.compression in (_RLE8, _RLE4)
    if packed and header.width * header.height > 256 * len(data):  # more than it can well hold
        raise Damage("pixel data")
    if header.bits <= 8:
        indices = (
            _raw_indices(header, data)
            if header.compression == _RAW
            else _run_length(header, data[header.offset :])
        )
        table = _palette(header, data)
        if indices.max() >= len(table):
            raise Damage("palette")
        gray = table[indices]
    else:
        gray = _colors(header, data)
    return gray if header.top_down else np.ascontiguousarray(gray[::-1])


def _read_header(data: bytes) -> _Header:
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
        compression, colors = _RAW, 0
    elif size in (40, 52, 56, 64, 108, 124):
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        (colors,) = struct.unpack_from("<I", data, 46)
    else:
        raise Damage("header")
    if width < 0 or offset < _FILE_HEADER + size:
        raise Damage("header")
    check_size(width, abs(height))
    allowed = {
        _RAW: (1, 4, 8, 16, 24, 32),
        _RLE8: (8,),
        _RLE4: (4,),
        _MASKS: () if size == 64 else (16, 32),
    }
    if bits not in allowed.get(compression, ()):
        raise Damage("bit depth or compression")
    if height < 0 and compression in (_RLE8, _RLE4):
        raise Damage("bit depth or compression")
    masks = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
    if compression == _MASKS:
        count = 3 if size < 56 else 4
        found = struct.unpack_from(f"<{count}I", data, _FILE_HEADER + 40)
        masks = (*found[:3], found[3] if count == 4 else 0)
    return _Header(size, width, abs(height), height < 0, bits, compression, colors, offset, masks)


def _rows(header: _Header, data: bytes) -> Gray:
    """Rows as they are stored, uint8 [height, bytes of a row with its padding]."""
    stride = (header.width * header.bits + 31) // 32 * 4
    if len(data) - header.offset < stride * header.height:
        raise Damage("pixel data")
    flat = np.frombuffer(data, np.uint8, stride * header.height, header.offset)
    return flat.reshape(header.height, stride)


def _raw_indices(header: _Header, data: bytes) -> Samples:
    bits = np.unpackbits(_rows(header, data), axis=1)
    if header.bits == 8:
        return _rows(header, data)[:, : header.width]
    if header.bits == 1:
        return bits[:, : header.width]
    nibbles = bits.reshape(header.height, -1, 4) @ np.array([8, 4, 2, 1], np.uint8)
    return np.asarray(nibbles[:, : header.width])


def _palette(header: _Header, data: bytes) -> Gray:
    """Return the gray values of the palette's entries."""
    entry = 3 if header.size == 12 else 4
    count = min(header.colors or 256, 1 << header.bits)
    start = _FILE_HEADER + header.size
    if len(data) < start + entry * count:
        raise Damage("palette")
    colors = np.frombuffer(data, np.uint8, entry * count, start).reshape(count, entry)
    return gray_of(colors[:, 2::-1])


def _colors(header: _Header, data: bytes) -> Gray:
    rows, size = _rows(header, data), header.bits // 8
    samples = rows[:, : header.width * size].reshape(header.height, header.width, size)
    values = sum(samples[..., i].astype(np.int64) << (8 * i) for i in range(size))
    red, green, blue = (_masked(np.asarray(values), mask) for mask in header.masks[:3])
    rgb = np.stack([red, green, blue], axis=-1)
    if header.masks[3]:
        rgb = over_white(rgb, _masked(np.asarray(values), header.masks[3]))
    return gray_of(rgb)


def _masked(values: Samples, mask: int) -> Samples:
    """Bits under a mask as 0..255, rounded down."""
    low = mask & -mask
    if mask == 0 or (mask + low) & mask:  # its bits are not next to each other
        raise Damage("bit masks")
    return (values & mask) // low * 255 // (mask // low)


def _run_length(header: _Header, codes: bytes) -> Samples:
    """Indices [height, width], rows as stored; pixels that are passed over stay 0."""
    width, height = header.width, header.height
    out, x, y, at = np.zeros((height, width), np.uint8), 0, 0, 0
    four = header.compression == _RLE4
    while y < height:
        if at + 2 > len(codes):
            raise Damage("pixel data")
        count, value = codes[at], codes[at + 1]
        at += 2
        if count == 0 and value == 0:
            x, y = 0, y + 1
        elif count == 0 and value == 1:
            break
        elif count == 0 and value == 2:
            if at + 2 > len(codes):
                raise Damage("pixel data")
            x, y, at = x + codes[at], y + codes[at + 1], at + 2
            if x > width or y >= height:
                raise Damage("pixel data")
        else:
            run = count or value
            size = 0 if count else ((run + 1) // 2 if four else run)
            if x + run > width or at + size > len(codes):
                raise Damage("pixel data")
            packed = bytes([value]) * run if count else codes[at : at + size]
            out[y, x : x + run] = _nibbles(packed, run) if four else list(packed[:run])
            x, at = x + run, at + size + size % 2
    return out


def _nibbles(packed: bytes, count: int) -> list[int]:
    return [n for byte in packed for n in (byte >> 4, byte & 15)][:count]
