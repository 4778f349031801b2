"""Protocols that split by where images are from: cross-source and Chars74K's public halves."""

import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.settings import DataSettings
from semi_supervised.splits import split_images
from semi_supervised.splits.kaggle import official_name, training_half
from tests.semi_supervised.labeled_rows import plain, split

IMG = Path(__file__).resolve().parents[3] / "shared/data/chars74k/English/Img"


# --- cross-source ---------------------------------------------------------------------------------


def by_source(found):
    splits = defaultdict(set)
    for image in found.images:
        splits[image.source].add(image.split)
    return splits


def test_cross_source_trains_on_some_and_tests_on_others():
    rows = plain(source="font") + plain(source="scene") + plain(source="hand")
    for data in ({"train_sources": ("font", "hand")}, {"test_sources": ("scene",)}):
        found = split(rows, protocol="cross-source", **data)
        assert by_source(found) == {
            "font": {"train", "validation"},
            "hand": {"train", "validation"},
            "scene": {"test"},
        }
        assert found.resolved["train_sources"] == ["font", "hand"]
        assert found.resolved["test_sources"] == ["scene"]
    found = split(rows, protocol="cross-source", train_sources=("font",), test_sources=("scene",))
    assert by_source(found)["hand"] == {"excluded"}


def test_cross_source_keeps_the_test_whole_and_takes_its_copies_out_of_training():
    rows = plain(source="font") + plain(source="scene")
    rows[0] = ("a", "font", rows[90][2])
    found = split(rows, [[1, 91]], protocol="cross-source", test_sources=("scene",))
    assert [found.images[i].split for i in (0, 1, 90, 91)] == ["excluded"] * 2 + ["test"] * 2
    assert any("left out 2 training images" in note for note in found.notes)


def test_cross_source_validates_on_drawn_images_where_it_trains_on_nothing_else():
    rows = plain(source="drawn") + plain(source="scene")
    found = split(rows, protocol="cross-source", train_sources=("drawn",))
    assert by_source(found) == {"drawn": {"train", "validation"}, "scene": {"test"}}
    rows += plain(source="font")
    found = split(rows, protocol="cross-source", test_sources=("scene",))
    assert by_source(found)["drawn"] == {"train"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"train_sources": ("fonts",)},
            "no labeled image of source 'fonts'; there are hand, scene",
        ),
        ({"train_sources": ("drawn",)}, "data.added_per_class"),
        ({"train_sources": ("hand", "scene")}, "needs sources for training and others for test"),
    ],
)
def test_cross_source_mistakes(data, words):
    with pytest.raises(LabelError, match=words):
        split(plain() + plain(source="hand"), protocol="cross-source", **data)
    with pytest.raises(LabelError, match="drawn characters are for training"):
        split(plain() + plain(source="drawn"), protocol="cross-source", test_sources=("drawn",))


# --- the public halves of Chars74K ----------------------------------------------------------------


def test_the_list_of_the_training_half():
    names = training_half()
    assert len(names) == 6283
    assert sum(name.startswith("GoodImg/") for name in names) == 3868
    numbers = Counter(int(name.split("/img")[1][:3]) for name in names)
    assert sorted(numbers) == list(range(1, 63))
    assert min(numbers.values()) == 20


def test_official_names_ignore_all_folders_but_one():
    for folder in (
        "English/Img/GoodImg/Bmp/Sample001",
        "GoodImg",
        "x/BadImag/../GoodImg y/GoodImg/",
    ):
        assert official_name(Path(folder) / "img001-00004.PNG") == "GoodImg/img001-00004"
    assert official_name(Path("BadImag/img001-00004.png")) == "BadImag/img001-00004"
    assert official_name(Path("Sample001/img001-00004.png")) is None
    assert official_name(Path("GoodImg/a.png")) is None


def kaggle_images():
    """The whole training half without its files, and as many invented others for its test half."""
    found = []
    for name in sorted(training_half()):
        folder, stem = name.split("/")
        label = ALPHABET_62.symbols[int(stem[3:6]) - 1]
        for stem_, content in ((stem, name), (f"{stem[:7]}9{stem[8:]}", f"test {name}")):
            path = Path(f"Img/{folder}/Bmp/{stem_}.png")
            found.append(LabeledImage(path, label, "scene", sha256=content))
    return found


def test_kaggle_trains_on_one_half_and_tests_on_the_other():
    given_images = kaggle_images()
    hand = LabeledImage(Path("Hnd/img001-001.png"), "0", "hand", sha256="hand")
    copy = replace(given_images[0], path=Path("GoodImg/img001-99999.png"))  # in the test half
    conflict = replace(given_images[1], path=Path("GoodImg/img002-99999.png"), label="1")
    every = [*given_images, hand, copy, conflict]
    random.Random(1).shuffle(every)
    found = split_images(every, ALPHABET_62, DataSettings(protocol="kaggle"))
    splits = {i.path: i.split for i in found.images}
    counts = Counter(splits.values())
    assert counts["test"] == 6283 + 2  # complete, contradictions too: the half is a published one
    assert splits[hand.path] == "train"
    assert splits[given_images[0].path] == "excluded"
    assert counts["train"] + counts["validation"] == 6283 - 1 + 1
    assert 0.09 < counts["validation"] / 6283 < 0.11
    assert all(
        name not in training_half() or splits[p] != "test"
        for p in splits
        if (name := official_name(p))
    )
    assert found.resolved["training_half"] == 6283


def test_kaggle_without_its_test_half_says_so():
    half = [i for i in kaggle_images() if not i.sha256.startswith("test")]
    found = split_images(half, ALPHABET_62, DataSettings(protocol="kaggle"))
    assert Counter(i.split in ("train", "validation") for i in found.images) == {True: 6283}
    assert any("there is no test split" in note for note in found.notes)
    with pytest.raises(LabelError, match="none of these images is of its training half"):
        split(plain(), protocol="kaggle")


@pytest.mark.skipif(not IMG.is_dir(), reason="Chars74K does not lie beside the project")
def test_the_list_is_that_of_the_images_here():
    found = split_images(
        [replace(i, sha256=i.path.as_posix()) for i in find_labeled_images(IMG, ALPHABET_62)],
        ALPHABET_62,
        DataSettings(protocol="kaggle"),
    )
    assert Counter(i.split in ("train", "validation") for i in found.images) == {True: 6283}
