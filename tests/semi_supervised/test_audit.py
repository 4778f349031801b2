"""The audit of sets with planted copies, conflicts, leaks and wrong labels."""

import importlib.util
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.__main__ import main
from semi_supervised.audit.command import audit
from semi_supervised.data import make_data
from semi_supervised.settings import load_settings
from semi_supervised.splits import write_manifest

ROOT = Path(__file__).resolve().parents[2]
ABC = parse_alphabet("abc")
DIGITS = parse_alphabet("0123456789")


def photograph(seed):
    """Smooth random texture, 40×30."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    return Image.fromarray(cells).resize((40, 30), Image.Resampling.BICUBIC)


@pytest.fixture
def planted(tmp_path):
    """A manifest with one of everything that the audit looks for."""
    rows = [
        ("plain 1.png", 1, "a", "train"),
        ("plain 2.png", 2, "b", "test"),
        ("plain 3.png", 3, "b", "excluded"),
        ("same 1.png", 4, "a", "train"),
        ("same 2.png", 4, "a", "train"),
        ("same 3.png", 4, "b", "validation"),
        ("near 1.png", 5, "a", "unlabeled"),
        ("near 2.jpg", 5, "a", "test"),
        ("near 3.png", 6, "b", "train"),
        ("near 4.png", 6, "b", "train"),
        ("<b>&\"'.png", 7, "a", "train"),
        ("ключ ß.png", 8, "b", "test"),
    ]
    images = []
    for name, seed, label, split in rows:
        picture = photograph(seed)
        if name == "near 4.png":
            picture = picture.resize((43, 28), Image.Resampling.BICUBIC)
        picture.save(tmp_path / name)
        images.append(LabeledImage(tmp_path / name, label, "<i>scene</i>", split))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("broken.png", "empty.png"):
        images.append(LabeledImage(tmp_path / name, "a", "folder", "train"))
    images[0] = replace(images[0], sha256="0" * 64)
    manifest = tmp_path / "manifest.csv"
    write_manifest(manifest, images)
    with manifest.open("a", encoding="utf-8") as file:
        file.write("gone.png,a,train,folder,\nplain 1.png,?,train,folder,\n")
    return manifest


def found(record, kind):
    """The names in each group."""
    return sorted(sorted(Path(i["file"]).name for i in g["images"]) for g in record[kind])


def test_everything_planted_is_found_and_nothing_stops_it(planted):
    record = audit([str(planted)], ABC, check_labels=False)
    assert record["readable"] == 12
    reasons = {Path(i["file"]).name: i["reason"] for i in record["unreadable"]}
    assert set(reasons) == {"broken.png", "empty.png"}
    assert all(reasons.values())
    assert len(record["label_problems"]) == 2
    assert "gone.png" in record["label_problems"][0]
    assert "'?'" in record["label_problems"][1]
    assert [Path(i["file"]).name for i in record["changed"]] == ["plain 1.png"]
    same = ["same 1.png", "same 2.png", "same 3.png"]
    assert found(record, "identical") == [same]
    assert found(record, "near_identical") == [
        ["near 1.png", "near 2.jpg"],
        ["near 3.png", "near 4.png"],
    ]
    assert found(record, "conflicts") == [same]
    assert record["conflicts"][0]["labels"] == ["a", "b"]
    assert found(record, "across_splits") == [["near 1.png", "near 2.jpg"], same]
    counts = {(c["label"], c["source"], c["split"]): c["images"] for c in record["counts"]}
    assert counts["a", "<i>scene</i>", "train"] == 4
    assert sum(counts.values()) == 12
    assert record["sizes"][0] == {
        "source": "<i>scene</i>",
        "count": 12,
        "width": (40, 40, 40, 40, 43),
        "height": (28, 30, 30, 30, 30),
    }
    assert sum(s["images"] for s in record["shorter_sides"]) == 12
    assert record["imbalance"]["absent"] == ("c",)
    assert record["imbalance"]["few"] == ("a", "b")
    assert record["label_check"] is None


def test_calibration_images_that_are_held_out_elsewhere(planted, tmp_path):
    folder = tmp_path / "calibration" / "a"
    folder.mkdir(parents=True)
    photograph(8).save(folder / "copy of a test image.jpg")
    photograph(1).save(folder / "copy of a training image.png")
    photograph(20).save(folder / "new.png")
    record = audit([str(planted)], ABC, calibration=str(folder.parent), check_labels=False)
    assert found(record, "calibration_overlap") == [["copy of a test image.jpg", "ключ ß.png"]]
    own = audit([str(planted)], ABC, calibration=str(planted), check_labels=False)
    assert found(own, "calibration_overlap") == [["same 1.png", "same 2.png", "same 3.png"]]


def test_a_clean_manifest_has_no_findings(class_folders, tmp_path, run_cli):
    """Its alphabet is the one that `make data` wrote."""
    make_data(str(class_folders), tmp_path, DIGITS, load_settings("tiny").data)
    manifest, output = tmp_path / "manifest.csv", tmp_path / "audit"
    given = ("audit", manifest, "--calibration", manifest, "--output", output, "--no-label-check")
    code, out, _ = run_cli(main, *given)
    record = json.loads((output / "audit.json").read_text("utf-8"))
    assert code == 0
    assert record["alphabet"] == list("0123456789")
    for kind in ("unreadable", "label_problems", "changed", "across_splits", "conflicts"):
        assert record[kind] == [], kind
    assert record["calibration_overlap"] == []
    assert re.search(r"same picture across splits\s+0\s", out)


def test_a_set_without_one_readable_image(tmp_path, run_cli):
    folder = tmp_path / "set" / "a"
    folder.mkdir(parents=True)
    (folder / "x.png").write_bytes(b"nothing")
    code, out, err = run_cli(main, "audit", folder.parent, "--output", tmp_path / "out")
    assert code == 0, err
    assert "x.png" in out
    assert "x.png" in (tmp_path / "out" / "audit.html").read_text("utf-8")


def test_mistakes_are_one_line(tmp_path, run_cli):
    (tmp_path / "a").mkdir()
    for arguments, words in [
        ((tmp_path / "none",), "no such file or folder"),
        ((tmp_path,), "empty"),
        (("synthetic",), "need no audit"),
        ((tmp_path, "--workers", "-1"), "--workers"),
        ((tmp_path, "--alphabet", "aa"), "'a'"),
    ]:
        code, out, err = run_cli(main, "audit", *arguments, "--output", tmp_path / "out")
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err
    assert not (tmp_path / "out").exists()


def test_the_measurement_counts_what_it_planted(class_folders, tmp_path, run_cli, monkeypatch):
    """With an audit that names four of the five planted labels and one that is right."""
    path = ROOT / "scripts/measure_audit.py"
    spec = importlib.util.spec_from_file_location("measure_audit", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def find(paths, alphabet):
        images = find_labeled_images(Path(paths[0]), alphabet)
        odd = [i for i in images if i.label != alphabet.symbol_of_folder(i.path.parent.name)]
        right = next(i for i in images if i not in odd)
        check = {"images": len(images), "accuracy": 0.9, "accuracy_alike": 0.9, "settings": {}}
        return {"label_check": check | {"wrong": [{"file": i.path} for i in [*odd[1:], right]]}}

    monkeypatch.setattr(script, "audit", find)
    given = (class_folders, "--alphabet", "0123456789", "--output", tmp_path, "--share", 0.1)
    code, _, err = run_cli(script.main, *given)
    assert code == 0, err
    measured = json.loads((tmp_path / "measured.json").read_text())
    expected = {"images": 50, "planted": 5, "named": 5, "recall": 0.8, "precision": 0.8}
    assert {key: measured[key] for key in expected} == expected
    assert run_cli(script.main, class_folders, "--share", 2)[0] == 2


# --- The page ----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects tags and text and checks that tags close in order."""

    VOID = frozenset({"meta", "img", "link", "br", "wbr", "hr", "input"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def having(self, attribute):
        return [(tag, a[attribute]) for tag, a in self.tags if attribute in a]


@pytest.fixture
def page(planted, tmp_path, run_cli, monkeypatch):
    """The page of the planted set; of two of its images are not read as they are labeled."""
    from semi_supervised.audit import out_of_fold

    def predict(images, groups, alphabet, settings, workers):
        assert groups, "copies must not be apart"
        other = {"a": "b", "b": "a"}
        odd = [i.path.name[0] in "<к" for i in images]
        read = [other[i.label] if o else i.label for i, o in zip(images, odd, strict=True)]
        return np.float32(np.eye(3)[[alphabet.index(c) for c in read]] * 0.97 + 0.01)

    monkeypatch.setattr(out_of_fold, "predict_out_of_fold", predict)
    output = tmp_path / "out"
    code, out, err = run_cli(main, "audit", planted, "--alphabet", "abc", "--output", output)
    assert code == 0, err
    return (
        (output / "audit.html").read_text("utf-8"),
        out,
        json.loads((output / "audit.json").read_text("utf-8")),
    )


def test_the_page_is_well_formed_and_needs_nothing_else(page):
    text, _, _ = page
    parsed = Page(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "base"}
    for _, address in [*parsed.having("src"), *parsed.having("href")]:
        assert address.startswith(("data:image/", "#")), address[:80]
    assert not re.search(r"url\(|@import|https?://", text)
    ids = [value for _, value in parsed.having("id")]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for tag, value in parsed.having("href") if value.startswith("#")}
    assert targets <= set(ids)
    assert len(targets) > 5
    pictures = [a for tag, a in parsed.tags if tag == "img"]
    assert len(pictures) > 10
    assert all(a.get("alt") for a in pictures)
    assert ("html", "en") in parsed.having("lang")
    assert "width=device-width" in text
    assert "color-scheme" in text


def test_names_are_text_on_the_page_never_tags(page):
    text, _, _ = page
    parsed = Page(text)
    words = " ".join(parsed.words)
    assert "<b>&\"'.png" in words
    assert "ключ ß.png" in words
    assert "<i>scene</i>" in words
    assert "<b>&" not in text
    assert "<i>scene" not in text


def test_doubtful_labels_are_in_record_table_and_page(page):
    text, out, record = page
    check = record["label_check"]
    assert {Path(s["file"]).name for s in check["wrong"]} == {"<b>&\"'.png", "ключ ß.png"}
    assert {(s["label"], s["suggested"]) for s in check["wrong"]} == {("a", "b"), ("b", "a")}
    assert check["images"] == 12
    assert re.search(r"probably wrong labels\s+2\s", out)
    assert "probably wrong labels, the 2 most doubtful" in out
    assert "ключ ß.png" in out
    assert record["schema"] == 1
    assert "Probably wrong labels" in " ".join(Page(text).words)


def test_an_audit_of_paths_that_hold_nothing(tmp_path):
    empty = tmp_path / "list.csv"
    empty.write_text("file,label\nnone.png,a\n")
    with pytest.raises(InputError, match=r"no labeled image to audit.*none\.png"):
        audit([str(empty)], ABC)
