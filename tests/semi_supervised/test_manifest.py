import csv
from dataclasses import replace
from pathlib import Path

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.settings import DataSettings
from semi_supervised.splits import images_digest, split_images, write_manifest

ABC = parse_alphabet("abc")


def test_the_manifest_is_a_source_again(tmp_path):
    rows = []
    for c in "abc":
        for i in range(4):
            path = tmp_path / f"{c}, {i}.png"
            path.write_bytes(b"x")
            rows.append(LabeledImage(path, c, "scene", sha256=f"{c}{i}"))
    found = split_images(rows, ABC, DataSettings(labels_per_class=1)).images
    write_manifest(tmp_path / "out/manifest.csv", found)
    write_manifest(tmp_path / "out/again.csv", reversed(found))
    assert (tmp_path / "out/manifest.csv").read_bytes() == (tmp_path / "out/again.csv").read_bytes()
    with (tmp_path / "out/manifest.csv").open() as stream:
        assert next(csv.reader(stream)) == ["file", "label", "split", "source", "sha256"]
    listed = [
        image
        for name in ("train", "unlabeled", "validation", "test")
        for image in find_labeled_images(tmp_path / "out/manifest.csv", ABC, name)
    ]
    assert {(f.path.resolve(), f.label, f.split, f.sha256) for f in listed} == {
        (s.path.resolve(), s.label, s.split, s.sha256) for s in found
    }
    assert sum(f.split == "unlabeled" for f in listed) == 3


def test_what_a_manifest_says_of_its_images_does_not_depend_on_where_they_are(tmp_path):
    images = [LabeledImage(Path(f"/one/{c}.png"), c, "scene", "train", c * 64) for c in "abc"]
    moved = [replace(i, path=Path("/two/deeper") / i.path.name) for i in images]
    others = {
        "label": [replace(images[0], label="b"), *images[1:]],
        "split": [replace(images[0], split="unlabeled"), *images[1:]],
        "image": [replace(images[0], sha256="d" * 64), *images[1:]],
        "one fewer": images[1:],
        "order": [replace(a, path=b.path) for a, b in zip(images, reversed(images), strict=True)],
    }

    def digest(rows):
        write_manifest(tmp_path / "manifest.csv", rows)
        return images_digest(tmp_path / "manifest.csv")

    assert digest(images) == digest(moved)
    found = {digest(images)} | {digest(rows) for rows in others.values()}
    assert len(found) == 1 + len(others)
    unknown = [replace(i, sha256="") for i in images]  # then only the name tells which image
    assert digest(unknown) != digest([replace(i, sha256="") for i in moved])
    (tmp_path / "manifest.csv").write_bytes(b"file,label\n\xff\x00,a,b,c\n")
    assert len(images_digest(tmp_path / "manifest.csv")) == 64
