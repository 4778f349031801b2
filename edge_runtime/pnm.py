"""PBM, PGM and PPM files, plain and binary (P1 to P6), as gray pixels.

Read here and not by Pillow, whose scaling of unusual largest values is floating-point.
"""

import re

import numpy as np

from edge_runtime.pixels import Damage, Gray, Samples, check_size, gray_of

_SPACE = rb"(?:[ \t\n\v\f\r]|#[^\n\r]*(?:[\n\r]|\Z))"
_NUMBER = re.compile(rb"(?:" + _SPACE + rb")+([0-9]{1,9})(?![0-9])")


def decode(data: bytes) -> Gray:
    """Decode a file; `Damage` where it breaks the format, `TooLarge` beyond the limits."""
    kind, position = int(data[1:2]), 2
    header = []
    for _ in range(2 if kind in (1, 4) else 3):
        match = _NUMBER.match(data, position)
        if not match:
            raise Damage("header")
        header.append(int(match[1]))
        position = match.end()
    width, height = header[:2]
    check_size(width, height)
    largest = header[2] if len(header) == 3 else 1
    if not 1 <= largest <= 65535 or not data[position : position + 1].isspace():
        raise Damage("header")
    bands = 3 if kind in (3, 6) else 1
    body = data[position + 1 :]
    if kind in (1, 4):
        bits = _plain_bits(body, width * height) if kind == 1 else _bits(body, width, height)
        return ((1 - bits.reshape(height, width)) * 255).astype(np.uint8)
    count = width * height * bands
    samples = _plain(body, count) if kind in (2, 3) else _binary(body, count, largest)
    if samples.max() > largest:
        raise Damage("pixel data")
    scaled = _to_bytes(samples, largest).reshape(height, width, bands)
    return scaled[..., 0].astype(np.uint8) if bands == 1 else gray_of(scaled)


def _to_bytes(samples: Samples, largest: int) -> Samples:
    """Scale 0..largest to 0..255, rounded half up; what needs two bytes then loses the low one."""
    if largest == 255:
        return samples
    full = 255 if largest < 256 else 65535
    scaled = (2 * samples.astype(np.int64) * full + largest) // (2 * largest)
    return scaled if largest < 256 else scaled >> 8


def _binary(body: bytes, count: int, largest: int) -> Samples:
    kind = np.dtype(np.uint8 if largest < 256 else ">u2")
    if len(body) < count * kind.itemsize:
        raise Damage("pixel data")
    return np.frombuffer(body, kind, count)


def _bits(body: bytes, width: int, height: int) -> Samples:
    stride = -(-width // 8)
    if len(body) < stride * height:
        raise Damage("pixel data")
    rows = np.frombuffer(body, np.uint8, stride * height).reshape(height, stride)
    return np.unpackbits(rows, axis=1)[:, :width]


def _plain(body: bytes, count: int) -> Samples:
    words = _without_comments(body).split(maxsplit=count)[:count]
    if len(words) < count or not all(w.isdigit() and len(w) <= 9 for w in words):
        raise Damage("pixel data")
    return np.array([int(w) for w in words], np.int64)


def _plain_bits(body: bytes, count: int) -> Samples:
    digits = b"".join(_without_comments(body).split())[:count]
    if len(digits) < count or digits.strip(b"01"):
        raise Damage("pixel data")
    return np.frombuffer(digits, np.uint8) - ord("0")


def _without_comments(body: bytes) -> bytes:
    return re.sub(rb"#[^\n\r]*", b" ", body) if b"#" in body else body
