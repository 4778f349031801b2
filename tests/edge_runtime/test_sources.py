"""One entrance for all kinds of sources."""

import shutil

import pytest

from edge_runtime.__main__ import main
from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.bundle import write_bundle
from edge_runtime.errors import LabelError, SourceError
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.sources import find_source_images, find_unlabeled_images, is_url
from tests.conftest import draw_character, toy_bundle
from tests.edge_runtime.test_icdar2003 import write_characters

DIGITS = parse_alphabet("0123456789")


@pytest.fixture
def archive(tmp_path):
    """An archive of the official layout, with a mask that is no character."""
    for name in ("GoodImg/Bmp/Sample011/a b é.png", "GoodImg/Msk/Sample011/a b é.png"):
        path = tmp_path / "made/English/Img" / name
        path.parent.mkdir(parents=True)
        draw_character("A").save(path)
    made = shutil.make_archive(str(tmp_path / "EnglishImg"), "gztar", tmp_path / "made")
    return tmp_path.joinpath(made).rename(tmp_path / "EnglishImg.tgz")


def test_an_archive_is_read_like_its_folder(archive, tmp_path):
    (image,) = find_source_images(archive, ALPHABET_62, cache=tmp_path / "cache")
    assert (image.label, image.source, image.path.name) == ("A", "scene", "a b é.png")
    (crop,) = find_unlabeled_images(archive, tmp_path / "cache")
    assert crop == image.path
    with pytest.raises(LabelError, match="is an archive; only a manifest has the split 'test'"):
        find_source_images(archive, ALPHABET_62, "test", tmp_path / "cache")


@pytest.mark.parametrize("suffix", [".bin", ".csv"])
def test_an_archive_under_another_name(archive, tmp_path, suffix):
    other = archive.rename(tmp_path / f"other{suffix}")
    with pytest.raises(SourceError, match=r"content is a gzip archive; let its name end in \.tgz"):
        find_source_images(other, ALPHABET_62)


def test_an_archive_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match=r"never fetched by its name alone: .*docs/data"):
        find_source_images(tmp_path / "EnglishImg.tgz", ALPHABET_62)


def test_icdar_characters_by_folder_and_by_file(tmp_path):
    xml = write_characters(tmp_path / "data", ["s", "!"])
    for path in (xml, xml.parent, tmp_path):
        (image,) = find_source_images(path, ALPHABET_62)
        assert (image.label, image.path.name) == ("s", "1.jpg")
    assert len(find_unlabeled_images(xml)) == 2  # whatever their tags
    with pytest.raises(LabelError, match="is ICDAR 2003; only a manifest"):
        find_source_images(xml, ALPHABET_62, "train")


def test_unlabeled_crops_at_any_depth(tmp_path):
    for name in ("a.png", "x y/é.JPG", "1/2/3/b.png", ".hidden/c.png", "._d.png", "Msk/e.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_character("A").save(path)
    (tmp_path / "notes.txt").write_text("")
    found = [p.relative_to(tmp_path).as_posix() for p in find_unlabeled_images(tmp_path)]
    assert found == ["1/2/3/b.png", "a.png", "x y/é.JPG"]
    assert find_unlabeled_images(tmp_path / "a.png") == [tmp_path / "a.png"]
    for name, message in [
        ("none", "no such file or folder"),
        ("notes.txt", "unlabeled images are a folder or an archive"),
    ]:
        with pytest.raises(SourceError, match=message):
            find_unlabeled_images(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no image in it"):
        find_unlabeled_images(tmp_path / "empty")


def test_a_manifest_may_hold_images_without_labels(tmp_path):
    for name in "abcd":
        draw_character(name).save(tmp_path / f"{name}.png")
    manifest = tmp_path / "manifest.csv"
    rows = "a.png,a,train\nb.png,,unlabeled\nc.png,c,unlabeled\nd.png,,excluded\n"
    manifest.write_text(f"file,label,split\n{rows}")
    assert [i.path.name for i in find_labeled_images(manifest, ALPHABET_62)] == ["a.png"]
    hidden = find_labeled_images(manifest, ALPHABET_62, "unlabeled")
    assert [(i.path.name, i.label) for i in hidden] == [("b.png", ""), ("c.png", "c")]
    manifest.write_text("file,label,split\na.png,,train\n")
    with pytest.raises(LabelError, match=r"manifest\.csv:2: label '' is not among"):
        find_labeled_images(manifest, ALPHABET_62)


@pytest.mark.parametrize(("folder", "fits"), [("Sample010", True), ("Sample011", False)])
def test_class_folders_beyond_the_alphabet(tmp_path, folder, fits):
    (tmp_path / folder).mkdir()
    draw_character("9").save(tmp_path / folder / "a.png")
    if fits:
        assert find_source_images(tmp_path, DIGITS)[0].label == "9"
        return
    message = r"Sample011: .* is class 11, but the alphabet has 10 symbols; name more .*--alphabet"
    with pytest.raises(LabelError, match=message):
        find_source_images(tmp_path, DIGITS)


def test_addresses():
    assert is_url("https://host/x.tgz")
    assert is_url("HTTP:/host")
    assert not is_url("folder/http")
    assert not is_url("C:/data")


def test_evaluate_takes_archives_and_refuses_addresses(archive, tmp_path, run_cli):
    write_bundle(tmp_path / "toy.egb", toy_bundle())
    evaluate = ("evaluate", "--bundle", tmp_path / "toy.egb", "--cache", tmp_path / "c", "--images")
    code, out, _ = run_cli(main, *evaluate, archive)
    assert code == 0
    assert "n = 1 images" in out
    code, out, err = run_cli(main, *evaluate, "https://host/EnglishImg.tgz")
    assert (code, out) == (2, "")
    assert "nothing is downloaded here; `make data DATA=URL` does it" in err
