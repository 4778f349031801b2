"""ICDAR 2003's two layouts, written by the tests, and XML files that mean harm."""

import csv
import json
import logging

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.errors import SourceError
from edge_runtime.icdar2003 import (
    Box,
    Word,
    find_photographs,
    find_xml,
    keep_alphabet,
    read_characters,
    read_words,
)
from edge_runtime.icdar2003_crops import cut_photographs, read_cut_characters
from edge_runtime.images import read_gray
from edge_runtime.safe_xml import parse_xml
from tests.conftest import draw_character

HEAD = '<?xml version="1.0" encoding="iso-8859-1"?>\n'


def write_characters(root, tags, head=HEAD, encoding="iso-8859-1"):
    """``char.xml`` with one image for each of ``tags``, as they are written in XML."""
    (root / "char/1").mkdir(parents=True)
    lines = []
    for i, tag in enumerate(tags, start=1):
        draw_character("A", 20 + i).save(root / f"char/1/{i}.jpg")
        lines.append(f'  <image file="char/1/{i}.jpg" tag="{tag}" />')
    text = "\n".join([head + "<imagelist>", *lines, "</imagelist>"])
    (root / "char.xml").write_bytes(text.encode(encoding))
    return root / "char.xml"


def test_characters_and_what_is_outside_the_alphabet(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    xml = write_characters(tmp_path, ["s", "&quot;", "&amp;", "é", "A", "&amp;", "two", ""])
    tagged = read_characters(xml)
    assert [tag for _, tag in tagged] == ["s", '"', "&", "é", "A", "&", "two", ""]
    kept = keep_alphabet(xml, tagged, ALPHABET_62)
    assert [(i.path.name, i.label, i.source) for i in kept] == [
        ("1.jpg", "s", "icdar2003"),
        ("5.jpg", "A", "icdar2003"),
    ]
    assert "6 of 8 characters are outside the alphabet: '&'×2" in caplog.text
    assert "'é'×1" in caplog.text


@pytest.mark.parametrize("head", ['<?xml version="1.0" encoding="UTF-8"?>\n', ""])
def test_latin_1_that_says_utf_8(tmp_path, head, caplog):
    xml = write_characters(tmp_path, ["é", "s"], head)
    assert [tag for _, tag in read_characters(xml)] == ["é", "s"]
    assert "is not UTF-8 as it says; read as ISO-8859-1" in caplog.text


def test_utf_8_and_utf_16_are_read_as_they_say(tmp_path):
    for name, encoding in (("a", "utf-8"), ("b", "utf-16")):
        head = f'<?xml version="1.0" encoding="{encoding}"?>\n'
        xml = write_characters(tmp_path / name, ["é", "ß"], head, encoding)
        assert [tag for _, tag in read_characters(xml)] == ["é", "ß"]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n<x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<x>&a;</x>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD.encode() + BOMB.encode(), "has a DOCTYPE, which we do not trust"),
        (OUTSIDE.encode(), "has a DOCTYPE"),
        (f'<?xml version="1.0" encoding="utf-16"?>{BOMB}'.encode("utf-16"), "has a DOCTYPE"),
        (b"<x>&undefined;</x>", r"x\.xml:1: not well-formed .*undefined entity"),
        (b"<x>\n<y>\n</x>", r"x\.xml:3: not well-formed .*mismatched tag"),
        (b'<?xml version="1.0" encoding="klingon"?><x/>', "unknown encoding: klingon"),
        (b'<?xml version="1.0" encoding="shift_jis"?><x/>', "multi-byte encodings are not"),
        (b'<?xml version="1.0" encoding="us-ascii"?><x>\xe9</x>', "not in the encoding"),
        (b'<?xml version="1.0" encoding="utf-16"?><x/>', "not in the encoding that it says"),
        (b"\x89PNG\r\n", r"x\.xml:1: not well-formed"),
        (b"", "no element found"),
    ],
)
def test_bad_xml_is_one_line(tmp_path, data, message):
    (tmp_path / "x.xml").write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        parse_xml(tmp_path / "x.xml")
    assert "\n" not in str(caught.value)


def test_xml_has_a_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_runtime.safe_xml.MAX_XML_BYTES", 10)
    (tmp_path / "x.xml").write_bytes(b"<x>        </x>")
    with pytest.raises(SourceError, match="15 bytes is over the limit of 10"):
        parse_xml(tmp_path / "x.xml")
    with pytest.raises(SourceError, match="No such file"):
        parse_xml(tmp_path / "none.xml")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no <image file"),
        ('<image file="char/1/9.jpg" tag="s"/>', r"1 of its 1 files are missing, .*char/1/9\.jpg"),
        ('<image file="../../etc/passwd" tag="s"/>', "leads out of its folder"),
        ('<image file="/etc/passwd" tag="s"/>', "leads out of its folder"),
        ('<image file="char/1/1.jpg"/>', "needs the attributes file and tag"),
        (
            '<image file="char/1/1.jpg" tag="s"/><image file="char/1/1.jpg" tag="t"/>',
            "has the tags 's' and 't'",
        ),
    ],
)
def test_bad_lists_of_characters(tmp_path, body, message):
    xml = write_characters(tmp_path, ["s"])
    xml.write_text(f"{HEAD}<imagelist>{body}</imagelist>")
    with pytest.raises(SourceError, match=message):
        read_characters(xml)


def test_no_character_of_the_alphabet(tmp_path):
    xml = write_characters(tmp_path, ["!", "word"])
    with pytest.raises(SourceError, match=r"none of its characters is in the alphabet .*'!'×1"):
        keep_alphabet(xml, read_characters(xml), ALPHABET_62)


def rectangle(x, y, width, height, tag="", cuts=(), offset=0.0, rotation=0.0):
    parts = "".join(f"<xOff>{cut}</xOff>" for cut in cuts)
    return (
        f'<taggedRectangle x="{x}" y="{y}" width="{width}" height="{height}" offset="{offset}" '
        f'rotation="{rotation}" userName="a"><tag>{tag}</tag>'
        f"<segmentation>{parts}</segmentation></taggedRectangle>"
    )


def write_boxes(path, *rectangles, photograph="apanar é/IMG 1.JPG"):
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<tagset><image>'
        f"<imageName>{photograph}</imageName><resolution x='100' y='60'/><taggedRectangles>"
        f"{''.join(rectangles)}</taggedRectangles></image></tagset>",
        "utf-8",
    )


@pytest.fixture
def scene(tmp_path):
    """One photograph of 100 by 60 pixels, whose gray value is its column, and its XML files."""
    root = tmp_path / "SceneTrialTest"
    (root / "apanar é").mkdir(parents=True)
    columns = np.tile(np.arange(100, dtype=np.uint8), (60, 1))
    Image.fromarray(columns).save(root / "apanar é/IMG 1.JPG", format="PNG")
    write_boxes(root / "locations.xml", rectangle(90, 50, 5, 5))
    write_boxes(root / "words.xml", rectangle(10, 5, 30, 20, "aB1"))
    write_boxes(
        root / "segmentation.xml",
        rectangle(10, 5, 30, 20, "aB1", (10, 18)),
        rectangle(-4, -3, 20, 10, "x&amp;", (12,)),  # begins outside, tag outside the alphabet
        rectangle(80, 40, 40, 30, "yz", (15,)),  # ends outside
        rectangle(50, 5, 20, 10, "abc", (5,)),  # too few cuts
        rectangle(50, 20, 20, 10, "ab", (25,)),  # a cut beyond the word
        rectangle(50, 30, 20, 10, "cd", (9,), rotation=10.0),
        rectangle(200, 5, 20, 10, "q"),  # not in the picture
    )
    return root


def test_cut_characters_are_the_right_pixels(scene, tmp_path):
    folder = cut_photographs(scene / "segmentation.xml", tmp_path / "cache")
    crops = {}
    for path, tag in read_cut_characters(folder):
        pixels = read_gray(path)
        assert (pixels == pixels[0]).all()
        crops[tag] = (int(pixels[0, 0]), int(pixels[0, -1]), len(pixels))
    assert crops == {
        "a": (10, 19, 20),
        "B": (20, 27, 20),
        "1": (28, 39, 20),
        "x": (0, 7, 7),
        "&": (8, 15, 7),
        "y": (80, 94, 20),
        "z": (95, 99, 20),
    }
    with (folder / "words/words.csv").open(encoding="utf-8") as stream:
        words = {row["label"]: row for row in csv.DictReader(stream)}
    assert list(words) == ["aB1", "x&", "yz", "abc", "ab"]
    assert read_gray(folder / "words" / words["yz"]["file"]).shape == (20, 20)
    assert json.loads((folder / "cut.json").read_text())["left_out"] == {
        "words whose cuts do not fit the tag": 2,
        "words that are rotated": 1,
        "words below 3 pixels or outside the picture": 1,
        "characters below 3 pixels or outside the picture": 1,
    }


def test_crops_are_cut_once_and_anew_when_something_changes(scene, tmp_path):
    cache = tmp_path / "cache"
    first = cut_photographs(scene / "segmentation.xml", cache)
    inode = first.stat().st_ino
    assert cut_photographs(scene / "segmentation.xml", cache).stat().st_ino == inode
    write_boxes(scene / "segmentation.xml", rectangle(1, 1, 9, 9, "a"))
    second = cut_photographs(scene / "segmentation.xml", cache)
    assert second != first
    assert len(read_cut_characters(second)) == 1
    assert sorted(cache.iterdir()) == sorted([first, second])


def test_nothing_half_cut_stays(scene, tmp_path):
    (scene / "apanar é/IMG 1.JPG").write_bytes(b"no picture")
    with pytest.raises(Exception, match="not a PNG, JPEG"):
        cut_photographs(scene / "segmentation.xml", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_boxes_of_all_three_files_are_text(scene):
    for path in (scene, scene.parent, scene / "words.xml"):
        (photograph,) = find_photographs(path)
        assert photograph.path == scene / "apanar é/IMG 1.JPG"
        assert Box(90, 50, 5, 5) in photograph.boxes  # of locations.xml alone
        assert Box(10, 5, 30, 20) in photograph.boxes
        assert len(photograph.boxes) == 8


def test_a_leaning_or_rotated_word_takes_more_room():
    assert Word(Box(10, 10, 30, 40), offset=-6).area() == Box(4, 10, 42, 40)
    assert Word(Box(100, 100, 30, 40), rotation=0.3).area() == Box(50, 50, 130, 140)


def test_which_xml_counts(scene, tmp_path):
    assert find_xml(tmp_path) == [scene / "segmentation.xml"]
    assert find_xml(scene / "words.xml") == [scene / "segmentation.xml"]
    characters = write_characters(scene, ["s"])
    assert find_xml(tmp_path) == [characters]  # already cut
    deep = tmp_path / "1/2/3"
    deep.mkdir(parents=True)
    characters.rename(deep / "char.xml")
    assert find_xml(tmp_path) == [scene / "segmentation.xml"]


@pytest.mark.parametrize(
    ("rectangles", "photograph", "message"),
    [
        ([rectangle("wide", 1, 1, 1)], "apanar é/IMG 1.JPG", "not a number .*'wide'"),
        ([rectangle("1e9", 1, 1, 1)], "apanar é/IMG 1.JPG", "out of range"),
        ([rectangle("nan", 1, 1, 1)], "apanar é/IMG 1.JPG", "out of range"),
        ([rectangle(1, 1, 1, 1)], "none.jpg", "1 of its 1 photographs are missing"),
        ([rectangle(1, 1, 1, 1)], "../none.jpg", "leads out of its folder"),
        ([], "", "without <imageName>"),
    ],
)
def test_bad_boxes(scene, rectangles, photograph, message):
    write_boxes(scene / "words.xml", *rectangles, photograph=photograph)
    with pytest.raises(SourceError, match=message):
        read_words(scene / "words.xml")


def test_a_folder_without_photographs(tmp_path):
    with pytest.raises(SourceError, match=r"no photographs; expected segmentation\.xml, words"):
        find_photographs(tmp_path)
