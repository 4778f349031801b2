"""The C++ image readers against the Python ones, and both against Pillow and the specification."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from edge_runtime import native
from edge_runtime.errors import ImageError, InputError
from edge_runtime.images import decode_gray
from tests.image_files import damaged, jpeg_files, lossless_files, mended

pytestmark = pytest.mark.usefixtures("native_build")


def gray_or_refusal(decode, data, name):
    try:
        return decode(data, name)
    except (ImageError, InputError) as error:
        return str(error)


def assert_same(data, name):
    expected, found = (gray_or_refusal(d, data, name) for d in (decode_gray, native.decode_gray))
    assert type(expected) is type(found), (name, expected, found)
    if isinstance(expected, str):
        assert expected == found
    else:
        assert expected.shape == found.shape
        assert np.array_equal(expected, found), name


@pytest.mark.parametrize("seed", range(3))
def test_every_lossless_kind_gives_the_same_bytes(seed):
    for name, data in lossless_files(seed):
        assert isinstance(gray_or_refusal(decode_gray, data, name), np.ndarray), name
        assert_same(data, name)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_are_refused_alike_and_with_the_same_words(seed):
    rng = np.random.default_rng(seed)
    refused = 0
    for name, data in lossless_files(seed + 10):
        for _ in range(3):
            broken = damaged(data, rng)
            for variant in (broken, mended(broken) if name.endswith("png") else broken):
                assert_same(variant, name)
                refused += isinstance(gray_or_refusal(decode_gray, variant, name), str)
    assert refused > 300


@pytest.mark.parametrize("seed", range(4))
def test_jpeg_pixels_are_those_of_libjpeg_turbo(seed):
    for name, data in jpeg_files(seed):
        assert_same(data, name)


def test_damaged_jpegs_are_refused_or_decoded_but_never_worse():
    rng = np.random.default_rng(0)
    for name, data in jpeg_files(5):
        for _ in range(10):
            found = gray_or_refusal(native.decode_gray, damaged(data, rng), name)
            assert isinstance(found, np.ndarray) or f"{name}: " in found


def test_own_readers_agree_with_pillow_where_it_states_the_same_rules():
    """Opaque color and gray of 8 bits: Pillow's pixels, and the specification's gray."""
    compared = 0
    for name, data in lossless_files(20):
        unusual = name.startswith(("c", "masks", "run", "b16")) or "m1." in name
        scaled = name[0] == "p" and not name.startswith(("p1", "p4")) and "m255" not in name
        if unusual or scaled:
            continue
        image = Image.open(io.BytesIO(data))
        rgb = np.asarray(image.convert("RGB")).astype(np.int64)
        gray = (rgb @ [4899, 9617, 1868] + 8192) >> 14
        assert np.array_equal(decode_gray(data, name), gray), name
        compared += 1
    assert compared > 40


def test_a_small_file_cannot_ask_for_a_huge_picture():
    """12,000 × 5,000 pixels in a hundred bytes of run-length codes: refused, not laid out."""
    info = struct.pack("<IiiHHIIIIII", 40, 12000, 5000, 1, 8, 1, 0, 0, 0, 1, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 58) + info + bytes(4) + b"\0\1"
    assert "pixel data" in gray_or_refusal(decode_gray, data, "a")
    assert_same(data, "a")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"P7 5 5 255\n", "not a PNG"),
        (b"P5 70000 1 255\n", "over the limit"),
        (b"P5 0 1 255\n", "no pixels"),
        (b"P2 2 1 70000\n0 0", "header"),
        (b"P2 2 1 9\n3 10", "pixel data"),
        (b"P2 2 1 9\n3 4x", "pixel data"),
        (b"P1 9 9\n0101", "pixel data"),
        (b"BM" + bytes(60), "header"),
        (b"\x89PNG\r\n\x1a\n", "chunks"),
    ],
)
def test_refusals_say_why(data, words):
    assert words in gray_or_refusal(decode_gray, data, "a")
    assert_same(data, "a")
