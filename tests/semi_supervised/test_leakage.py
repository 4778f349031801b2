"""A picture in training and among the held-out ones is found, and training refuses it."""

import csv

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.labeled_images import LabeledImage, read_manifest
from semi_supervised.__main__ import main
from semi_supervised.data import make_data
from semi_supervised.leakage import find_leakage, refuse_leakage
from semi_supervised.settings import load_settings
from semi_supervised.splits import write_manifest

DIGITS = parse_alphabet("0123456789")


def photograph(seed):
    """Smooth random texture, 40×30."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8), np.uint8)
    return Image.fromarray(cells).resize((40, 30), Image.Resampling.BICUBIC)


def images(folder, *rows):
    """(name, seed of the picture, split) → files and images; .jpg is not byte-identical."""
    found = []
    for name, seed, split in rows:
        photograph(seed).save(folder / name)
        found.append(LabeledImage(folder / name, str(seed % 10), "scene", split))
    return found


@pytest.mark.parametrize("seen", ["train", "unlabeled"])
@pytest.mark.parametrize("held_out", ["validation", "test"])
@pytest.mark.parametrize("copy", ["copy.png", "copy.jpg"])
def test_a_copy_on_the_other_side_is_a_leak(seen, held_out, copy, tmp_path):
    rows = images(
        tmp_path, ("a.png", 1, seen), (copy, 1, held_out), ("b.png", 2, seen), ("c.png", 3, "test")
    )
    (leak,) = find_leakage(rows)
    assert [i.path.name for i in leak.seen] == ["a.png"]
    assert [i.path.name for i in leak.held_out] == [copy]


def test_what_is_no_leak(tmp_path):
    rows = images(
        tmp_path,
        ("a.png", 1, "train"),
        ("a.jpg", 1, "unlabeled"),
        ("b.png", 2, "validation"),
        ("b.jpg", 2, "test"),
        ("c.png", 3, "excluded"),
        ("d.png", 3, "test"),
        ("e.png", 4, "train"),
        ("f.png", 4, ""),
    )
    assert find_leakage(rows) == []
    assert find_leakage(rows[:2]) == []
    assert find_leakage([]) == []


@pytest.fixture
def leaking(class_folders, tmp_path):
    """A manifest of `make data` whose first test row was made a training row's picture."""
    make_data(str(class_folders), tmp_path, DIGITS, load_settings("tiny").data)
    manifest = tmp_path / "manifest.csv"
    refuse_leakage(manifest, DIGITS)  # as it was made, it has none
    rows = read_manifest(manifest, DIGITS)
    train = next(image for image in rows if image.split == "train")
    copy = tmp_path / "encoded again.jpg"
    Image.open(train.path).save(copy, quality=95)
    write_manifest(manifest, [*rows, LabeledImage(copy, train.label, "folder", "test")])
    return manifest, train.path.name


def test_training_refuses_a_leak_before_it_starts(leaking, tmp_path, run_cli):
    manifest, original = leaking
    code, out, err = run_cli(main, "train", "--manifest", manifest, "--output", tmp_path / "out")
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    for words in ("1 picture", original, "encoded again.jpg", "--allow-leakage", "make data"):
        assert words in err
    assert not (tmp_path / "out").exists()


def test_training_goes_on_where_it_is_allowed(leaking, tmp_path, run_cli, monkeypatch):
    """The trainer is replaced: it is enough to see that it is reached, and only then."""
    from semi_supervised.training import trainer

    def train(*arguments, **options):
        raise InputError("reached")

    monkeypatch.setattr(trainer, "train", train)
    manifest, _ = leaking
    given = ("train", "--manifest", manifest, "--output", tmp_path / "out")
    assert "reached" not in run_cli(main, *given)[2]
    assert "reached" in run_cli(main, *given, "--allow-leakage")[2]


def test_a_manifest_that_somebody_else_wrote(tmp_path):
    """Without hashes, and with only the columns that are needed."""
    images(tmp_path, ("a.png", 1, ""), ("b.png", 1, ""))
    manifest = tmp_path / "mine.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "label", "split"), ("a.png", "1", "train"), ("b.png", "1", "test")]
        )
    with pytest.raises(InputError, match=r"1 picture.*a\.png \(train\).*b\.png \(test\)"):
        refuse_leakage(manifest, DIGITS)
