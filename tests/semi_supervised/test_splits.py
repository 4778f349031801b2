import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.settings import DataSettings
from semi_supervised.splits import split_images, write_manifest

ABC = parse_alphabet("abc")


def images(*rows):
    """(label, source, content) → images; the content stands for the hash."""
    return [
        LabeledImage(Path(f"{i}.png"), label, source, sha256=content)
        for i, (label, source, content) in enumerate(rows)
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["scene", "hand"]), st.integers(0, 40)),
        max_size=120,
    ),
    st.integers(0, 5),
)
def test_identical_images_never_part_and_every_class_is_everywhere(rows, seed):
    enough = [(c, "scene", f"{c}{k}") for c in "abc" for k in range(3)]
    found = split_images(
        images(*enough, *((c, s, str(k)) for c, s, k in rows)), ABC, DataSettings(seed=seed)
    )
    of_content = defaultdict(set)
    labels = defaultdict(set)
    for image in found:
        of_content[image.sha256].add(image.split)
        labels[image.sha256].add(image.label)
    assert all(len(splits) == 1 for splits in of_content.values())
    for content, splits in of_content.items():
        assert (splits == {"excluded"}) == (len(labels[content]) > 1)
    held = {(i.label, i.split) for i in found}
    assert {(c, s) for c in "abc" for s in ("train", "validation", "test")} <= held


def test_shares_are_kept_per_class_and_source():
    rows = [(c, s, f"{c}{s}{i}") for c in "abc" for s in ("scene", "hand") for i in range(50)]
    counts = Counter(
        (i.label, i.source, i.split)
        for i in split_images(
            images(*rows), ABC, DataSettings(validation_share=0.2, test_share=0.1)
        )
    )
    for label in "abc":
        for source in ("scene", "hand"):
            assert [counts[label, source, s] for s in ("train", "validation", "test")] == [
                35,
                10,
                5,
            ]


def test_the_seed_decides_and_nothing_else():
    rows = [(c, "scene", f"{c}{i}") for c in "abc" for i in range(30)]
    first = split_images(images(*rows), ABC, DataSettings(seed=1))
    again = split_images(list(reversed(images(*rows))), ABC, DataSettings(seed=1))
    other = split_images(images(*rows), ABC, DataSettings(seed=2))
    assert {i.sha256: i.split for i in first} == {i.sha256: i.split for i in again}
    assert {i.sha256: i.split for i in first} != {i.sha256: i.split for i in other}


def test_adding_a_class_moves_no_image_of_the_others():
    rows = [(c, "scene", f"{c}{i}") for c in "abc" for i in range(30)]
    more = rows + [("d", "scene", f"d{i}") for i in range(30)]
    before = {i.sha256: i.split for i in split_images(images(*rows), ABC, DataSettings())}
    after = {
        i.sha256: i.split
        for i in split_images(images(*more), parse_alphabet("abcd"), DataSettings())
    }
    assert before.items() <= after.items()


def test_missing_and_scarce_classes():
    rows = [("a", "scene", f"a{i}") for i in range(9)]
    with pytest.raises(LabelError, match=r"no image of 2 of the 3 classes \(b c\)"):
        split_images(images(*rows), ABC, DataSettings())
    rows += [(c, "scene", c) for c in "bc"]
    with pytest.raises(LabelError, match="class 'b' has 1 different image"):
        split_images(images(*rows), ABC, DataSettings())


def test_the_manifest_is_a_source_again(tmp_path):
    rows = []
    for c in "abc":
        for i in range(4):
            path = tmp_path / f"{c}, {i}.png"
            path.write_bytes(b"x")
            rows.append(LabeledImage(path, c, "scene", sha256=f"{c}{i}"))
    split = split_images(rows, ABC, DataSettings())
    write_manifest(tmp_path / "out/manifest.csv", split)
    with (tmp_path / "out/manifest.csv").open() as stream:
        assert next(csv.reader(stream)) == ["file", "label", "split", "source", "sha256"]
    found = find_labeled_images(tmp_path / "out/manifest.csv", ABC)
    assert {(f.path.resolve(), f.label, f.split, f.sha256) for f in found} == {
        (s.path.resolve(), s.label, s.split, s.sha256) for s in split
    }
