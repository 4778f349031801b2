"""Sources of the data stage, alone and together, and background crops."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import LabelError, SettingsError, SourceError
from edge_runtime.icdar2003 import Box, Photograph
from edge_runtime.labeled_images import find_labeled_images
from semi_supervised.__main__ import main
from semi_supervised.background import BackgroundSettings, cut_background
from semi_supervised.sources import find_images, find_scenes, fingerprint, parse_sources
from tests.conftest import draw_character
from tests.edge_runtime.test_icdar2003 import rectangle, write_boxes, write_characters
from tests.semi_supervised.test_download import server  # noqa: F401

DIGITS = parse_alphabet("0123456789")


def test_several_sources_in_one_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_sources("a, b.tgz,http://h/c.zip") == ["a", "b.tgz", "http://h/c.zip"]
    assert parse_sources(["a,b", "c", "a"]) == ["a", "b", "c"]
    (tmp_path / "a,b").mkdir()
    assert parse_sources("a,b") == ["a,b"]
    long = [f"{i}.tgz" for i in range(200)]
    assert parse_sources(",".join(long)) == long
    for bad, message in [("a,,b", "empty source"), ("synthetic,a", "stands alone")]:
        with pytest.raises(SettingsError, match=message):
            parse_sources(bad)


def test_sources_are_joined_and_each_file_counts_once(tmp_path):
    for name in ("x/a/1.png", "x/b/1.png", "y/c/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        draw_character("a").save(tmp_path / name)
    sources = [str(tmp_path / name) for name in ("x", "y", "x/a")]
    found = find_images(sources, ALPHABET_62, [str(tmp_path / "y")])
    assert [(i.path.relative_to(tmp_path).as_posix(), i.label) for i in found] == [
        ("x/a/1.png", "a"),
        ("x/b/1.png", "b"),
        ("y/c/1.png", "c"),
    ]
    (tmp_path / "other.csv").write_text("file,label\nx/a/1.png,z\n")
    with pytest.raises(LabelError, match=r"is labeled 'z' in .*other\.csv and 'a' in another"):
        find_images([*sources, str(tmp_path / "other.csv")], ALPHABET_62)


def test_make_data_from_archive_icdar_address_and_unlabeled(
    class_folders,
    tmp_path,
    run_cli,
    server,  # noqa: F811
):
    archive = shutil.make_archive(str(tmp_path / "digits"), "zip", class_folders)
    with open(archive, "rb") as stream:  # noqa: PTH123
        server.data = stream.read()
    xml = write_characters(tmp_path / "icdar", ["7", "!"])
    crops = tmp_path / "crops"
    crops.mkdir()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(crops / "new é.png")
    for source in class_folders.glob("Sample001/*.png"):
        shutil.copy(source, crops)
    out = tmp_path / "out"
    code, _, err = run_cli(
        main,
        *("data", "--preset", "tiny", "--alphabet", "0123456789", "--output", out),
        *("--source", f"{server.url('digits.zip')},{xml}", "--unlabeled", crops),
        *("--cache", tmp_path / "cache"),
    )
    assert code == 0, err
    manifest = out / "manifest.csv"
    labeled = find_labeled_images(manifest, DIGITS)
    assert len(labeled) == 51
    assert {i.path.name for i in labeled if i.source == "icdar2003"} == {"1.jpg"}
    held_out = {i.sha256 for i in labeled if i.split in ("validation", "test")}
    unlabeled = find_labeled_images(manifest, DIGITS, "unlabeled")
    assert "new é.png" in {i.path.name for i in unlabeled}
    assert not held_out & {i.sha256 for i in unlabeled}
    excluded = find_labeled_images(manifest, DIGITS, "excluded")
    assert len(excluded) + len(unlabeled) == 6
    assert {i.sha256 for i in excluded} <= held_out
    assert len(excluded) >= 2
    told = json.loads((out / "data.json").read_text())
    assert (told["source"], told["unlabeled"]) == ("digits.zip, char.xml", "crops")


def test_the_fingerprint_of_archives_lists_and_folders_around_xml(tmp_path):
    xml = write_characters(tmp_path / "icdar", ["7"])
    archive = tmp_path / "x.tgz"
    archive.write_bytes(b"1")
    sources = [str(xml), str(archive), "https://host/x.tgz", str(tmp_path / "none")]
    seen = {fingerprint(sources)}
    assert fingerprint(sources) in seen
    archive.write_bytes(b"12")
    seen.add(fingerprint(sources))
    (xml.parent / "char/1/1.jpg").write_bytes(b"other")
    seen.add(fingerprint(sources))
    (xml.parent / "to nowhere").symlink_to(tmp_path / "none")
    seen.add(fingerprint(sources))
    assert len(seen) == 4


@pytest.fixture
def photographs(tmp_path):
    """Two pictures: noise in which text is marked black, and a flat wall with a noisy corner."""
    rng = np.random.default_rng(0)
    noise = rng.integers(50, 256, (300, 400), np.uint8)
    boxes = (Box(100, 50, 120, 40), Box(-10, 200, 90, 60), Box(350, 280, 90, 60))
    for box in boxes:
        top, left = max(0, int(box.y)), max(0, int(box.x))
        noise[top : int(box.y + box.height), left : int(box.x + box.width)] = 0
    wall = np.full((300, 400), 200, np.uint8)
    wall[:120, :120] = rng.integers(0, 256, (120, 120), np.uint8)
    for name, picture in (("noise", noise), ("wall", wall)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    return [Photograph(tmp_path / "noise.png", boxes), Photograph(tmp_path / "wall.png", ())]


def test_background_has_no_text_and_the_sizes_wanted(photographs):
    crops = list(cut_background(photographs[:1], 300, seed=1))
    assert all(crop.min() >= 50 for crop in crops)
    sides = [side for crop in crops for side in crop.shape]
    assert (min(sides), max(sides) > 150, max(sides) <= 200) == (16, True, True)


def test_the_margin_around_text_is_free(tmp_path):
    picture = np.random.default_rng(0).integers(50, 256, (300, 400), np.uint8)
    picture[80:160, 180:290] = 0  # the box and half its height around it
    Image.fromarray(picture).save(tmp_path / "a.png")
    photographs = [Photograph(tmp_path / "a.png", (Box(200, 100, 70, 40),))]
    margin = BackgroundSettings(margin=0.5)
    assert all(crop.min() >= 50 for crop in cut_background(photographs, 300, 1, margin))
    none = BackgroundSettings(margin=0)
    assert any(crop.min() == 0 for crop in cut_background(photographs, 300, 1, none))


def test_background_is_seldom_flat(photographs):
    def flat_share(share):
        settings = BackgroundSettings(flat_share=share)
        crops = cut_background(photographs[1:], 200, 2, settings)
        return np.mean([np.ptp(crop) == 0 for crop in crops])

    assert flat_share(0.0) == 0
    assert 0.02 < flat_share(0.1) < 0.2
    assert flat_share(1.0) > 0.4


def test_background_crop_i_depends_on_seed_and_i(photographs):
    straight = list(cut_background(photographs, 40, seed=3))
    later = list(cut_background(photographs, 5, seed=3, start=33))
    assert all(np.array_equal(a, b) for a, b in zip(straight[33:38], later, strict=True))
    other = list(cut_background(photographs, 40, seed=4))
    assert not all(np.array_equal(a, b) for a, b in zip(straight, other, strict=True))


def test_scenes_from_an_archive_and_from_the_folder(tmp_path):
    scene = tmp_path / "scene"
    scene.mkdir()
    draw_character("A").save(scene / "1.png")
    write_boxes(scene / "words.xml", rectangle(1, 2, 3, 4), photograph="1.png")
    archive = shutil.make_archive(str(tmp_path / "scene"), "gztar", scene)
    found = find_scenes([archive, str(scene), str(scene / "words.xml")], tmp_path / "cache")
    assert [p.boxes for p in found] == [(Box(1, 2, 3, 4),)] * 2
    assert found[1].path == scene / "1.png"


def test_photographs_full_of_text_are_refused(photographs):
    full = [Photograph(photographs[0].path, (Box(0, 0, 400, 300),))]
    with pytest.raises(SourceError, match=r"noise\.png: no background crop of 16 to 200 pixels"):
        next(cut_background(full, 1, seed=1))
    with pytest.raises(SourceError, match="at least one photograph"):
        next(cut_background([], 1, seed=1))
