"""Encoded images of every kind that the readers know, and damaged ones, made from a seed.

Own writers, so that kinds exist which no library writes (interlaced, 2 bits, odd bit masks), and so
that they share no code with what they judge.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

Rng = np.random.Generator
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
PASSES += ((1, 0, 2, 1),)
PNG_KINDS = [(0, d) for d in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)]
PNG_KINDS += [(c, d) for c in (2, 4, 6) for d in (8, 16)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def paeth(a: int, b: int, c: int) -> int:
    return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]


def filtered(rows: list[bytes], back: int, rng: Rng) -> bytes:
    """Rows with a random filter each."""
    out, above = bytearray(), bytes(len(rows[0]))
    for row in rows:
        kind = int(rng.integers(5))
        out.append(kind)
        for i, value in enumerate(row):
            a, b = row[i - back] if i >= back else 0, above[i]
            c = above[i - back] if i >= back else 0
            out.append((value - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255)
        above = row
    return bytes(out)


def png(rng: Rng, color: int, depth: int, interlaced: bool, transparent: bool) -> bytes:
    """A PNG of random size and noise; ``transparent`` adds tRNS where the color type allows."""
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    height, width = (int(n) for n in rng.integers(1, 24, 2))
    entries = int(rng.integers(1, 2**depth + 1)) if color == 3 else 2**depth
    values = rng.integers(0, min(entries, 2 ** min(depth, 16)), (height, width, bands))
    if color in (0, 2) and transparent:
        values = values % 3 * ((2**depth - 1) // 2)  # so that the key is met
    packed = b""
    for row, column, row_step, column_step in PASSES if interlaced else ((0, 0, 1, 1),):
        part = values[row::row_step, column::column_step]
        if part.size:
            rows = [packed_row(r.reshape(-1), depth) for r in part]
            packed += filtered(rows, max(1, bands * depth // 8), rng)
    body = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    body += chunk(b"tEXt", b"Comment\0" + rng.bytes(int(rng.integers(9))))
    if color == 3:
        body += chunk(b"PLTE", rng.bytes(3 * entries))
    if transparent and color == 3:
        body += chunk(b"tRNS", rng.bytes(int(rng.integers(1, entries + 1))))
    if transparent and color in (0, 2):
        body += chunk(b"tRNS", values[0, 0].astype(">u2").tobytes())
    data = zlib.compress(packed, int(rng.integers(10)))
    cut = int(rng.integers(len(data)))
    body += chunk(b"IDAT", data[:cut]) + chunk(b"IDAT", data[cut:])
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def packed_row(values: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return values.astype(">u2").tobytes()
    bits = np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - depth :]
    return np.packbits(bits.reshape(-1)).tobytes()


def bmp(rng: Rng, bits: int, header: int, masks: tuple[int, ...] = (), runs: bool = False) -> bytes:
    """A BMP of random size and noise: palette, 16, 24 or 32 bits, masks, or run-length coding."""
    height, width = (int(n) for n in rng.integers(1, 24, 2))
    entries = 2**bits if bits <= 8 else 0
    palette = rng.bytes(entries * (3 if header == 12 else 4))
    stride = (width * bits + 31) // 32 * 4
    data = run_codes(rng, width, height, bits) if runs else rng.bytes(stride * height)
    offset = 14 + header + len(palette) + (12 if masks and header == 40 else 0)
    flipped = bool(rng.integers(2)) and not runs and header != 12
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        compression = 3 if masks else (2 if bits == 4 else 1) if runs else 0
        info = struct.pack(
            "<IiiHHI", header, width, -height if flipped else height, 1, bits, compression
        )
        info += struct.pack("<IIIII", len(data), 2835, 2835, 0, 0)
        if masks:
            info += struct.pack(f"<{len(masks)}I", *masks)
        info += bytes(max(0, header - len(info)))
    head = b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return head + info + palette + data


def run_codes(rng: Rng, width: int, height: int, bits: int) -> bytes:
    out = bytearray()
    for _ in range(height):
        x = 0
        while x < width:
            run = int(rng.integers(1, width - x + 1))
            if run >= 3 and rng.integers(2):
                size = (run + 1) // 2 if bits == 4 else run
                out += bytes([0, run]) + rng.bytes(size) + bytes(size % 2)
            elif rng.integers(5) == 0:
                out += bytes([0, 2, run, 0])
            else:
                out += bytes([run]) + rng.bytes(1)
            x += run
        out += b"\0\0"
    return bytes(out + b"\0\1")


def pnm(rng: Rng, kind: int, largest: int) -> bytes:
    """A P1 to P6 file of random size and noise."""
    height, width = (int(n) for n in rng.integers(1, 24, 2))
    bands = 3 if kind in (3, 6) else 1
    values = rng.integers(0, 2 if kind in (1, 4) else largest + 1, (height, width * bands))
    head = f"P{kind}\n# drawn\n{width} {height}\n" + ("" if kind in (1, 4) else f"{largest}\n")
    if kind <= 3:
        gap = "" if kind == 1 else " "
        body = "# pixels\n".join(gap.join(map(str, row)) + "\n" for row in values).encode()
    elif kind == 4:
        body = b"".join(packed_row(row, 1) for row in values)
    else:
        body = values.astype(">u2" if largest > 255 else "u1").tobytes()
    return head.encode() + body


def jpeg(rng: Rng, mode: str, **options: object) -> bytes:
    """A JPEG by Pillow, of random size, half smooth and half noise."""
    height, width = (int(n) for n in rng.integers(1, 70, 2))
    bands = len(Image.new(mode, (1, 1)).getbands())
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
    values = np.asarray(small.convert("RGB"))[..., [0, 1, 2, 0][:bands]].astype(np.int64)
    noisy = np.clip(values + rng.integers(-60, 61, values.shape), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy[..., 0] if bands == 1 else noisy, mode).save(out, "JPEG", **options)
    return out.getvalue()


def lossless_files(seed: int) -> Iterator[tuple[str, bytes]]:
    """One file of each kind whose pixels are stated by docs/preprocessing.md."""
    rng = np.random.default_rng(seed)
    for color, depth in PNG_KINDS:
        for interlaced in (False, True):
            for transparent in (False, True):
                name = f"c{color}d{depth}i{interlaced:d}t{transparent:d}.png"
                yield name, png(rng, color, depth, interlaced, transparent)
    for bits in (1, 4, 8, 16, 24, 32):
        for header in (12, 40, 52, 56, 64, 108, 124):
            yield f"b{bits}h{header}.bmp", bmp(rng, bits, header)
    for bits in (4, 8):
        yield f"run{bits}.bmp", bmp(rng, bits, 40, runs=True)
    for i, masks in enumerate(
        [
            (0xF800, 0x7E0, 0x1F),
            (0x7C00, 0x3E0, 0x1F, 0x8000),
            (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
            (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
            (0x3FF00000, 0xFFC00, 0x3FF),
        ]
    ):
        wide = 16 if i < 2 else 32
        yield f"masks{i}.bmp", bmp(rng, wide, 40 if len(masks) == 3 else 124, masks)
    for kind in range(1, 7):
        for largest in (1, 7, 100, 255) + ((256, 1000, 65535) if kind not in (1, 4) else ()):
            yield f"p{kind}m{largest}.{'ppm' if kind in (3, 6) else 'pgm'}", pnm(rng, kind, largest)


def jpeg_files(seed: int) -> Iterator[tuple[str, bytes]]:
    """JPEG files of every kind that is read."""
    rng = np.random.default_rng(seed)
    for progressive in (False, True):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for quality in (20, 75, 98):
                name = f"{subsampling.replace(':', '')}q{quality}p{progressive:d}.jpg"
                options = {"quality": quality, "progressive": progressive}
                yield name, jpeg(rng, "RGB", subsampling=subsampling, **options)
        yield f"gray{progressive:d}.jpg", jpeg(rng, "L", progressive=progressive)
        yield f"cmyk{progressive:d}.jpg", jpeg(rng, "CMYK", progressive=progressive)
        yield f"keep{progressive:d}.jpg", jpeg(rng, "RGB", keep_rgb=True, progressive=progressive)
        yield (
            f"restart{progressive:d}.jpg",
            jpeg(rng, "RGB", restart_marker_blocks=3, progressive=progressive),
        )


def damaged(data: bytes, rng: Rng) -> bytes:
    """Cut off, a byte changed, a stretch removed, doubled or overwritten."""
    at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
    change = int(rng.integers(5))
    if change == 0:
        return data[:at]
    if change == 1:
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if change == 2:
        return data[:at] + data[at + length :]
    if change == 3:
        return data[: at + length] + data[at:]
    return data[:at] + rng.bytes(length) + data[at + length :]


def mended(data: bytes) -> bytes:
    """Return a damaged PNG with the checksums of its chunks put right, as far as they go."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        if at + 12 + length > len(out):
            break
        check = zlib.crc32(bytes(out[at + 4 : at + 8 + length]))
        struct.pack_into(">I", out, at + 8 + length, check)
        at += 12 + length
    return bytes(out)
