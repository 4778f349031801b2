"""The audit of sets with planted copies, conflicts, leaks and wrong labels."""

import importlib.util
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.__main__ import main
from semi_supervised.audit.command import audit
from semi_supervised.audit.folds import deal_folds
from semi_supervised.audit.suspects import find_suspects
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


# --- Wrong labels ------------------------------------------------------------------------------


def predictions(true, alphabet, seed, sharpness=6.0):
    """Predictions of a network that is mostly right: softmax of noise, the true class lifted."""
    logits = np.random.default_rng(seed).normal(0, 1, (len(true), len(alphabet)))
    logits[np.arange(len(true)), true] += sharpness
    p = np.exp(logits)
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def test_planted_wrong_labels_are_flagged_first():
    rng = np.random.default_rng(0)
    alphabet = parse_alphabet("2345678ABDEFGHQRT")  # no look-alikes
    true = rng.integers(0, len(alphabet), 3000)
    given_labels = true.copy()
    flipped = rng.choice(3000, 90, replace=False)
    given_labels[flipped] = (true[flipped] + rng.integers(1, len(alphabet), 90)) % len(alphabet)
    labels = [alphabet.symbols[k] for k in given_labels]
    places = [7 * k for k in range(3000)]  # positions in some longer list
    suspects = find_suspects(predictions(true, alphabet, 1), labels, places, alphabet)
    flagged = [s.image // 7 for s in suspects.wrong]
    hits = set(flagged) & set(flipped.tolist())
    assert len(hits) >= 0.9 * 90
    assert len(hits) >= 0.8 * len(flagged)
    assert suspects.ambiguous == []
    assert [s.odds for s in suspects.wrong] == sorted(s.odds for s in suspects.wrong)
    first = suspects.wrong[0]
    assert first.suggested == alphabet.symbols[true[first.image // 7]]
    assert first.label == labels[first.image // 7]


def test_right_labels_are_not_flagged():
    true = np.repeat(np.arange(62), 20)
    labels = [ALPHABET_62.symbols[k] for k in true]
    suspects = find_suspects(
        predictions(true, ALPHABET_62, 2, 12.0), labels, range(len(true)), ALPHABET_62
    )
    assert (suspects.wrong, suspects.ambiguous) == ([], [])
    assert suspects.accuracy == suspects.accuracy_alike == 1


def test_look_alikes_are_ambiguous_not_wrong():
    """Rows: an o read as 0, an o read as O with little more, an I read as l, an A read as B."""
    alphabet = parse_alphabet("0OoIlAB")
    sure = np.eye(7) * 0.94 + 0.01
    rows = [*sure, *sure]
    labels = list("0OoIlAB") * 2
    unsure = np.full(7, 0.01)
    unsure[[1, 2]] = 0.5, 0.45
    rows += [sure[0], unsure, sure[4], sure[6]]
    labels += list("ooIA")
    p = np.array(rows, np.float32)
    suspects = find_suspects(p / p.sum(axis=1, keepdims=True), labels, range(18), alphabet)
    assert [(s.image, s.label, s.suggested) for s in suspects.wrong] == [(17, "A", "B")]
    doubtful = {(s.image, s.label, s.suggested) for s in suspects.ambiguous}
    assert doubtful == {(14, "o", "0"), (16, "I", "l")}
    assert suspects.accuracy == pytest.approx(14 / 18)
    assert suspects.accuracy_alike == pytest.approx(17 / 18)


def test_the_number_flagged_is_that_of_the_confident_joint():
    """By hand: 20 images labeled A of which 3 are surely B, 10 labeled B of which 1 is unsure."""
    alphabet = parse_alphabet("AB")
    p = np.array([[0.9, 0.1]] * 17 + [[0.1, 0.9]] * 3 + [[0.2, 0.8]] * 9 + [[0.6, 0.4]], np.float32)
    labels = ["A"] * 20 + ["B"] * 10
    suspects = find_suspects(p, labels, range(30), alphabet)
    # Mean of p(A) over A is 0.78, of p(B) over B 0.76; the last row reaches neither.
    assert sorted(s.image for s in suspects.wrong) == [17, 18, 19]


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


# --- Folds -------------------------------------------------------------------------------------


@st.composite
def grouped_images(draw):
    labels = draw(st.lists(st.sampled_from("abc"), min_size=2, max_size=60))
    images = [LabeledImage(Path(f"{k}.png"), c, "scene", "", f"{k}") for k, c in enumerate(labels)]
    pairs = st.tuples(*[st.integers(0, len(labels) - 1)] * 2).map(list)
    return images, draw(st.lists(pairs, max_size=8))


@settings(deadline=None)
@given(grouped_images(), st.integers(2, 5), st.randoms(use_true_random=False))
def test_groups_share_a_fold_and_order_has_no_say(grouped, count, random):
    images, groups = grouped
    folds = deal_folds(images, groups, count, 1)
    assert set(folds.tolist()) <= set(range(count))
    for a, b in groups:
        assert folds[a] == folds[b]
    if not groups:
        for label in "abc":
            sizes = Counter(f for f, i in zip(folds, images, strict=True) if i.label == label)
            full = [sizes[k] for k in range(count)]
            assert max(full) - min(full) <= 1
    order = list(range(len(images)))
    random.shuffle(order)
    moved = deal_folds(
        [images[k] for k in order], [[order.index(i) for i in g] for g in groups], count, 1
    )
    assert moved.tolist() == [folds[k] for k in order]


def test_no_network_learns_what_it_predicts(class_folders, monkeypatch):
    """Two steps of training each: the numbers mean nothing, but they are those of every run."""
    from semi_supervised.audit import out_of_fold
    from semi_supervised.sources import find_images

    images = find_images([str(class_folders)], DIGITS)[::2]
    groups = [[0, 1], [4, 9]]
    folds = deal_folds(images, groups, 2, 1)
    learned = []
    learn = out_of_fold._Learner.learn

    def watched(self, pool, steps, part):
        learned.append(set(pool.tolist()))
        learn(self, pool, steps, part)

    monkeypatch.setattr(out_of_fold._Learner, "learn", watched)
    small = out_of_fold.FoldSettings(
        folds=2, batch=8, steps=2, least_steps=1, drawn_per_class=1, drawn_steps=1
    )
    first = out_of_fold.predict_out_of_fold(images, groups, DIGITS, small, workers=0)
    drawn = set(range(len(images), len(images) + 10))
    assert learned[0] == drawn
    for k in range(2):
        assert learned[k + 1] == {i for i, fold in enumerate(folds) if fold != k} | drawn
    assert first.shape == (len(images), 10)
    assert np.allclose(first.sum(axis=1), 1, atol=1e-5)
    again = out_of_fold.predict_out_of_fold(images, groups, DIGITS, small, workers=0)
    assert np.array_equal(first, again)


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
        return predictions(np.array([alphabet.index(c) for c in read]), alphabet, 3, 9.0)

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
