"""PNG files as gray pixels: what is accepted is checked here, the pixels are Pillow's work.

Pillow gets a file of the critical chunks alone, so that neither color profiles nor animation
nor text can change a pixel or refuse a file. Palettes and transparency are applied here.
"""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from edge_runtime.pixels import Damage, Gray, Samples, check_size, gray_of, over_white

MAGIC = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_DEPTHS = {
    _GRAY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GRAY_ALPHA: (8, 16),
    _RGB_ALPHA: (8, 16),
}
_BANDS = {_GRAY: 1, _RGB: 3, _PALETTE: 1, _GRAY_ALPHA: 2, _RGB_ALPHA: 4}
# First row and column and step of the seven passes of an interlaced picture.
_PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    color: int
    interlaced: bool

    def data_size(self) -> int:
        """Return the bytes of the unpacked rows, each with its filter's number."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for row, column, row_step, column_step in passes:
            rows = -(-max(self.height - row, 0) // row_step)
            columns = -(-max(self.width - column, 0) // column_step)
            if columns:
                total += rows * (1 + -(-columns * self.depth * _BANDS[self.color] // 8))
        return total


def decode(data: bytes) -> Gray:
    """Decode a file; `Damage` where it breaks the format, `TooLarge` beyond the limits."""
    from PIL.PngImagePlugin import PngImageFile

    header, chunks = _read_chunks(data)
    _check_data(chunks[b"IDAT"], header)
    kept = [b"IHDR", b"PLTE", b"IDAT"] if header.color == _PALETTE else [b"IHDR", b"IDAT"]
    plain = MAGIC + b"".join(_chunk(kind, chunks[kind]) for kind in kept) + _chunk(b"IEND", b"")
    try:
        image = PngImageFile(io.BytesIO(plain))
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError):
        raise Damage("pixel data") from None
    samples = np.asarray(image.convert("L") if image.mode == "1" else image)
    if samples.dtype != np.uint8:  # 16-bit gray; Pillow has taken the high bytes of the others
        samples = (samples >> 8).astype(np.uint8)
    return _to_gray(samples, header, chunks.get(b"PLTE", b""), chunks.get(b"tRNS"))


def _read_chunks(data: bytes) -> tuple[_Header, dict[bytes, bytes]]:
    """Header, and the contents of IHDR, PLTE, tRNS and all IDAT together."""
    position, chunks = len(MAGIC), dict[bytes, bytes]()
    pieces: list[bytes] = []
    last, header = b"", None
    while last != b"IEND":
        if position + 12 > len(data):
            raise Damage("chunks")
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            raise Damage("chunks")
        content = data[position + 8 : position + 8 + length]
        (check,) = struct.unpack_from(">I", data, position + 8 + length)
        if header is None:  # too large a picture is told from its first bytes
            if kind != b"IHDR" or length != 13:
                raise Damage("header")
            header = _read_header(content)
        elif kind == b"IHDR":
            raise Damage("header")
        if check != zlib.crc32(content, zlib.crc32(kind)):
            raise Damage("checksum")
        if kind == b"IDAT":
            if pieces and last != b"IDAT":
                raise Damage("chunks")
            pieces.append(content)
        elif kind in (b"PLTE", b"tRNS"):
            if pieces or kind in chunks:
                raise Damage("chunks")
            chunks[kind] = content
        elif kind == b"IHDR":
            chunks[kind] = content
        elif kind != b"IEND" and not kind[0] & 32:  # an unknown chunk that one must understand
            raise Damage("chunks")
        position, last = position + 12 + length, kind
    if header is None or not pieces:
        raise Damage("chunks")
    chunks[b"IDAT"] = b"".join(pieces)
    _check_tables(header, chunks)
    return header, chunks


def _read_header(content: bytes) -> _Header:
    width, height, depth, color, method, filters, interlace = struct.unpack(">IIBBBBB", content)
    if depth not in _DEPTHS.get(color, ()) or method or filters or interlace > 1:
        raise Damage("header")
    check_size(width, height)
    return _Header(width, height, depth, color, interlace == 1)


def _check_tables(header: _Header, chunks: dict[bytes, bytes]) -> None:
    if header.color == _PALETTE:
        entries = len(chunks.get(b"PLTE", b""))
        if entries % 3 or not 1 <= entries // 3 <= 1 << header.depth:
            raise Damage("palette")
        if len(chunks.get(b"tRNS", b"")) > entries // 3:
            raise Damage("transparency")
    elif header.color in (_GRAY, _RGB):
        expected = 2 * _BANDS[header.color]
        if len(chunks.get(b"tRNS", bytes(expected))) != expected:
            raise Damage("transparency")


def _check_data(data: bytes, header: _Header) -> None:
    """Refuse compressed data that is damaged, or not exactly what the header calls for."""
    unpacker, size, left = zlib.decompressobj(), 0, data
    try:
        while not unpacker.eof:
            size += len(unpacker.decompress(left, 1 << 20))
            if not unpacker.unconsumed_tail and not unpacker.eof:
                size += len(unpacker.flush())
                break
            left = unpacker.unconsumed_tail
            if size > header.data_size():
                break
    except zlib.error:
        raise Damage("pixel data") from None
    if not unpacker.eof or size != header.data_size():
        raise Damage("pixel data")


def _to_gray(samples: Samples, header: _Header, palette: bytes, key: bytes | None) -> Gray:
    """Gray pixels of samples [height, width] or [height, width, bands] of 8 bits."""
    if header.color == _PALETTE:
        colors = np.frombuffer(palette, np.uint8).reshape(-1, 3)
        if int(samples.max()) >= len(colors):
            raise Damage("palette")
        alpha = np.full(len(colors), 255, np.uint8)
        alpha[: len(key or b"")] = np.frombuffer(key or b"", np.uint8)
        table: Gray = gray_of(over_white(colors, alpha))
        return table[samples]
    if header.color == _GRAY_ALPHA:
        # Pillow hands 16 bits on as red, green, blue and alpha
        return over_white(samples[..., :1], samples[..., -1])[..., 0].astype(np.uint8)
    if header.color == _RGB_ALPHA:
        return gray_of(over_white(samples[..., :3], samples[..., 3]))
    gray = gray_of(samples) if header.color == _RGB else samples.astype(np.uint8)
    if key is not None:
        wanted = np.array(
            [_to_byte(v, header.depth) for v in struct.unpack(f">{len(key) // 2}H", key)]
        )
        bands = samples.reshape(*gray.shape, -1)
        gray = np.where((bands == wanted).all(axis=-1), np.uint8(255), gray)
    return gray


def _to_byte(value: int, depth: int) -> int:
    """Return a sample of so many bits as Pillow hands it on, 0..255."""
    if depth == 16:
        return value >> 8
    largest = (1 << depth) - 1
    return (value & largest) * 255 // largest


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
