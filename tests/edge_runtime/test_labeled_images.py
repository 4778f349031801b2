import pytest

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import find_labeled_images
from tests.conftest import draw_character


def put(path, symbol="A"):
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_character(symbol).save(path)
    return path


def labels(found, root):
    return {f.path.relative_to(root).as_posix(): (f.label, f.source) for f in found}


def test_the_official_chars74k_layout(tmp_path):
    english = tmp_path / "English"
    put(english / "Img/GoodImg/Bmp/Sample011/img011-00001.png")
    put(english / "Img/GoodImg/Msk/Sample011/img011-00001.png")  # a mask is no character
    put(english / "Img/BadImag/Bmp/Sample037/img037-00001.png")
    put(english / "Hnd/Img/Sample001/img001-001.png")
    put(english / "Fnt/Sample062/img062-00001.png")
    found = labels(find_labeled_images(tmp_path, ALPHABET_62), english)
    assert found == {
        "Img/GoodImg/Bmp/Sample011/img011-00001.png": ("A", "scene"),
        "Img/BadImag/Bmp/Sample037/img037-00001.png": ("a", "scene"),
        "Hnd/Img/Sample001/img001-001.png": ("0", "hand"),
        "Fnt/Sample062/img062-00001.png": ("z", "font"),
    }


def test_class_folders_by_character_and_by_name(tmp_path):
    for name in ("A", "lower_a", "digit_7", "upper_B"):
        put(tmp_path / name / "with space é.png")
    found = find_labeled_images(tmp_path, ALPHABET_62)
    assert sorted(f.label for f in found) == ["7", "A", "B", "a"]


def test_csv_and_list_files(tmp_path):
    put(tmp_path / "images/one two.png")
    put(tmp_path / "images/b.png")
    table = tmp_path / "labels.csv"
    table.write_text('file,label\n"images/one two.png",Q\nimages/b.png,b\n', "utf-8")
    listing = tmp_path / "labels.txt"
    listing.write_text("# comment\nimages/one two.png Q\n\nimages/b.png b\n", "utf-8")
    expected = {"images/one two.png": ("Q", "list"), "images/b.png": ("b", "list")}
    for source in (table, listing):
        assert labels(find_labeled_images(source, ALPHABET_62), tmp_path) == expected


def test_manifest_splits(tmp_path):
    for name in ("a", "b", "c"):
        put(tmp_path / f"{name}.png")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "file,label,split,source,sha256\na.png,A,train,scene,\n"
        "b.png,B,test,scene,\nc.png,C,excluded,scene,\n",
        "utf-8",
    )

    def names(split):
        return [f.path.name for f in find_labeled_images(manifest, ALPHABET_62, split)]

    assert names("train") == ["a.png"]
    assert names("test") == ["b.png"]
    assert names(None) == ["a.png", "b.png"]  # never what was excluded
    with pytest.raises(LabelError, match="no image of split 'validation'; it has"):
        names("validation")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,é\n", r"labels.csv:2: label 'é' is not among"),
        ("file,label\na.png,A\na.png,B\n", r"a.png is labeled 'B' here and 'A' before"),
        ("file,label\nnone.png,A\n", r"none.png: no such file"),
        ("name,class\na.png,A\n", r"must name the columns file,label"),
        ("file,label\na.png\n", r"labels.csv:2: a file and a label are needed"),
        ('file,label\n"a.png,A\n', r"not a CSV line"),
        ("", r"must name the columns"),
        ("file,label\n", r"no labeled images found"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    put(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(LabelError, match=message):
        find_labeled_images(tmp_path / "labels.csv", ALPHABET_62)


def test_bad_lists_and_encodings(tmp_path):
    listing = tmp_path / "labels.txt"
    listing.write_text("lonely\n")
    with pytest.raises(LabelError, match=r"labels.txt:1: expected 'path label'"):
        find_labeled_images(listing, ALPHABET_62)
    listing.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LabelError, match="not a UTF-8"):
        find_labeled_images(listing, ALPHABET_62)


def test_bad_folders(tmp_path):
    with pytest.raises(LabelError, match="no such file or folder"):
        find_labeled_images(tmp_path / "none", ALPHABET_62)
    (tmp_path / "x").mkdir()
    with pytest.raises(LabelError, match="x: this class folder is empty"):
        find_labeled_images(tmp_path, ALPHABET_62)
    put(tmp_path / "x/a.png")
    put(tmp_path / "cats/a.png")
    with pytest.raises(LabelError, match=r"cats: holds a\.png but its name is no class; name it"):
        find_labeled_images(tmp_path, ALPHABET_62)


def test_an_empty_folder_has_no_images(tmp_path):
    with pytest.raises(LabelError, match="no labeled images found; expected class folders"):
        find_labeled_images(tmp_path, ALPHABET_62)
