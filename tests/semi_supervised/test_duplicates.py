"""Copies planted among different pictures are found, and different pictures are not."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.duplicates import SAME_PHOTOGRAPH, alike, fingerprint, near_identical_groups
from tests.conftest import draw_character

CHARS74K = Path(__file__).resolve().parents[3] / "shared/data/chars74k"


def crop(seed: int, symbol: str = "R", size: int = 40) -> Image.Image:
    """A character on a lit, grainy wall, as a photograph has it: no two seeds give the same."""
    rng = np.random.default_rng(seed)
    ink = np.asarray(draw_character(symbol, size, shift=int(rng.integers(-3, 4)))) / 255
    grain = rng.normal(0, 40, (ink.shape[0] // 3 + 1, ink.shape[1] // 3 + 1)).astype(np.float32)
    wall = np.asarray(Image.fromarray(grain).resize(ink.shape[::-1], Image.Resampling.BICUBIC))
    slope = np.linspace(-1, 1, ink.shape[1]) * rng.uniform(-40, 40)
    level = 70 + 110 * ink + wall + slope
    image = Image.fromarray(np.clip(level, 0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.7)).convert("RGB")


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def save(folder: Path, name: str, image: Image.Image, **fields: str) -> LabeledImage:
    path = folder / name
    image.save(path)
    return LabeledImage(path, fields.pop("label", "R"), fields.pop("source", "scene"), **fields)


COPIES = {
    "jpeg": lambda i: jpeg(i, 60),
    "wider": lambda i: i.resize((i.width + 3, i.height - 2), Image.Resampling.BICUBIC),
    "smaller": lambda i: i.resize((i.width - 3, i.height - 3), Image.Resampling.BILINEAR),
    "darker": lambda i: i.point(lambda v: int(0.7 * v)),
    "brighter": lambda i: i.point(lambda v: min(255, v + 25)),
    "all": lambda i: jpeg(i.resize((i.width + 2, i.height + 1)), 75).point(lambda v: int(0.9 * v)),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_a_changed_copy_is_found_among_other_crops_of_its_class(tmp_path, change):
    others = [save(tmp_path, f"{k}.png", crop(k)) for k in range(12)]
    copy = save(tmp_path, "copy.png", change(crop(3)))
    assert near_identical_groups([*others, copy]) == [[3, 12]]


def test_byte_identical_files_are_grouped_even_where_no_image_can_be_read(tmp_path):
    images = []
    for name, data in [("a.png", b"no image"), ("b.png", b"no image"), ("c.png", b"nor this")]:
        (tmp_path / name).write_bytes(data)
        images.append(LabeledImage(tmp_path / name, "A", "scene"))
    missing = [LabeledImage(tmp_path / f"missing{k}.png", "A", "scene") for k in range(2)]
    assert near_identical_groups([*images, *missing]) == [[0, 1]]


def test_clean_characters_drawn_alike_stay_apart(tmp_path):
    images = [
        save(tmp_path, f"{s}{k}.png", draw_character(s, 40 + k, shift=k), label=s)
        for s in "Il1OQ0"
        for k in range(3)
    ]
    assert near_identical_groups(images) == []


def test_a_reencoded_clean_character_is_found(tmp_path):
    clean = draw_character("g", 96)
    images = [save(tmp_path, "a.png", clean), save(tmp_path, "b.png", jpeg(clean, 80))]
    assert near_identical_groups(images) == [[0, 1]]


def test_copies_of_copies_are_one_group_and_flat_images_none(tmp_path):
    grown = [crop(1).resize((40 + k, 44 + k), Image.Resampling.BICUBIC) for k in range(4)]
    images = [save(tmp_path, f"{k}.png", image) for k, image in enumerate(grown)]
    flat = [save(tmp_path, f"f{k}.png", Image.new("L", (20, 20 + k), 90)) for k in range(2)]
    assert near_identical_groups([*flat, *images]) == [[2, 3, 4, 5]]


def test_drawn_images_are_compared_by_their_bytes_alone(tmp_path):
    first = save(tmp_path, "a.png", crop(1), source="drawn", sha256="1" * 64)
    copy = save(tmp_path, "b.png", jpeg(crop(1), 90), source="drawn", sha256="2" * 64)
    assert near_identical_groups([first, copy]) == []


def test_nothing_given_nothing_found():
    assert near_identical_groups([]) == []


@given(st.integers(0, 2**32), st.integers(2, 12), st.floats(0.5, 30))
def test_the_bounded_search_finds_what_comparing_all_pairs_finds(seed, count, noise):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (3, 8, 8)).repeat(4, axis=1).repeat(4, axis=2)
    prints = base[rng.integers(0, 3, count)] + rng.normal(0, noise, (count, 32, 32))
    prints = np.clip(prints, 0, 255).astype(np.uint8)
    correlations = np.corrcoef(prints.reshape(count, -1))
    sure = [(i, j) for i in range(count) for j in range(i + 1, count)]
    found = alike(prints)
    for i, j in sure:
        if abs(correlations[i, j] - SAME_PHOTOGRAPH) > 1e-4:
            assert ((i, j) in found) == (correlations[i, j] > SAME_PHOTOGRAPH)


def test_a_fingerprint_has_one_size_whatever_the_crop():
    for shape in [(1, 1), (3, 200), (300, 40)]:
        assert fingerprint(np.full(shape, 7, np.uint8)).shape == (32, 32)


@pytest.mark.skipif(not CHARS74K.is_dir(), reason="the Chars74K images are not on this machine")
def test_different_hands_and_signs_stay_apart():
    """Twenty writers of every character, and the scene crops of three classes."""
    images = [
        image
        for image in find_labeled_images(CHARS74K, ALPHABET_62)
        if (image.source == "hand" and int(image.path.stem[-3:]) <= 20)
        or (image.source == "scene" and image.label in "ISo")
    ]
    groups = near_identical_groups(images)
    assert [[images[i].path.stem for i in group] for group in groups] == [
        ["img019-00150", "img019-00175"],
        ["img051-00002", "img051-00003"],
    ]
