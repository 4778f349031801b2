"""Decoding, judged by pixel values that the tests themselves put into the files."""

import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from edge_runtime.errors import ImageError
from edge_runtime.images import decode_gray, read_gray

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), np.uint8)
GRAY = RNG.integers(0, 256, (5, 7), np.uint8)
GRAY16 = RNG.integers(0, 65536, (5, 7), np.uint16)


def gray_of(rgb):
    """round(0.299 R + 0.587 G + 0.114 B) by the specified weights, with exact fractions."""
    weights = [Fraction(w, 2**14) for w in (4899, 9617, 1868)]
    flat = [sum(w * int(c) for w, c in zip(weights, p, strict=True)) for p in rgb.reshape(-1, 3)]
    return np.array([int(v + Fraction(1, 2)) for v in flat], np.uint8).reshape(rgb.shape[:2])


def over_white(rgb, alpha):
    out = np.empty_like(rgb)
    for position in np.ndindex(rgb.shape):
        a = int(alpha[position[:2]])
        out[position] = int(
            Fraction(int(rgb[position]) * a + 255 * (255 - a), 255) + Fraction(1, 2)
        )
    return out


def save(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return read_gray(path)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.ppm"])
def test_color(tmp_path, name):
    assert np.array_equal(save(tmp_path, Image.fromarray(RGB), name), gray_of(RGB))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.pgm"])
def test_gray_is_kept(tmp_path, name):
    assert np.array_equal(save(tmp_path, Image.fromarray(GRAY), name), GRAY)


def test_alpha_is_laid_over_white(tmp_path):
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    assert np.array_equal(save(tmp_path, image, "a.png"), gray_of(over_white(RGB, ALPHA)))


def test_gray_with_alpha(tmp_path):
    image = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)])
    expected = over_white(GRAY[..., None], ALPHA)[..., 0]
    assert np.array_equal(save(tmp_path, image, "a.png"), expected)


@pytest.mark.parametrize("name", ["a.png", "a.pgm"])
def test_16_bits_lose_their_low_byte(tmp_path, name):
    assert np.array_equal(save(tmp_path, Image.fromarray(GRAY16), name), GRAY16 >> 8)


def test_16_bit_color():
    wide = RNG.integers(0, 65536, (4, 6, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    expected = gray_of((wide >> 8).astype(np.uint8))
    assert np.array_equal(decode_gray(png, "a.png"), expected)


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    expected = gray_of(np.asarray(image.convert("RGB")))
    assert np.array_equal(save(tmp_path, image, "a.png"), expected)
    index = int(np.asarray(image)[0, 0])
    found = save(tmp_path, image, "b.png", transparency=index)
    assert found[0, 0] == 255
    kept = np.asarray(image) != index
    assert np.array_equal(found[kept], expected[kept])


def test_black_and_white(tmp_path):
    image = Image.fromarray(GRAY > 128)
    assert set(np.unique(save(tmp_path, image, "a.png"))) == {0, 255}


def test_jpeg_is_near(tmp_path):
    smooth = np.tile(np.arange(0, 256, 4, np.uint8), (64, 1))
    found = save(tmp_path, Image.fromarray(smooth), "a.jpg", quality=95)
    assert np.abs(found.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("shape", [(1, 1), (3, 600), (600, 3)])
def test_odd_shapes(tmp_path, shape):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    assert np.array_equal(save(tmp_path, Image.fromarray(pixels), "a.png"), pixels)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.jpg", "a.pgm"])
def test_truncated_files_are_refused(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(RNG.integers(0, 256, (40, 40), np.uint8)).save(path)
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match=r"a\.\w+: (damaged|not a)"):
            read_gray(path)


def test_missing_empty_and_foreign_files(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ImageError, match="no such file"):
        read_gray(path)
    path.write_bytes(b"")
    with pytest.raises(ImageError, match="0 bytes"):
        read_gray(path)
    path.write_text("<html>not found</html>")
    with pytest.raises(ImageError, match="not a PNG"):
        read_gray(path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_gray(tmp_path)


@pytest.mark.parametrize("size", [(100_000, 100_000), (9000, 9000), (20_000, 10)])
def test_huge_pictures_are_refused_before_they_are_decoded(size):
    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    png += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    png += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(ImageError, match=r"limit|more than"):
        decode_gray(png, "bomb.png")
