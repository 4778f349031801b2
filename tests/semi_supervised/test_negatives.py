"""The set of non-characters: splits, held-out kinds, photographs that never part."""

import numpy as np
import pytest
from PIL import Image

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.errors import InputError
from edge_runtime.icdar2003 import Box, Photograph
from edge_runtime.negatives import kinds_never_trained, read_negatives
from semi_supervised.negatives import write_negatives
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.synthesis.negatives import HELD_OUT, KINDS

DIGITS = parse_alphabet("0123456789")


@pytest.fixture(scope="module")
def synthesizer():
    return Synthesizer(DIGITS, find_faces(DIGITS), 1)


@pytest.fixture
def photographs(tmp_path):
    """Ten photographs of different mean gray levels, with one box of text each."""
    made = []
    for k in range(10):
        rng = np.random.default_rng(k)
        pixels = (rng.integers(0, 20, (240, 320)) + 24 * k).astype(np.uint8)
        path = tmp_path / f"photograph {k}.png"
        Image.fromarray(pixels).save(path)
        made.append(Photograph(path, (Box(0, 0, 160, 240),)))
    return made


def test_kinds_and_splits(synthesizer, photographs, tmp_path):
    written = write_negatives(tmp_path / "out", synthesizer, photographs, per_kind=10)
    table = tmp_path / "out/negatives.csv"
    by_split = {s: read_negatives(table, s) for s in ("train", "validation", "test")}
    assert sum(map(len, by_split.values())) == len(written) == 10 * len(KINDS) + 40
    assert not {n.kind for n in by_split["train"]} & set(HELD_OUT)
    assert {n.kind for n in by_split["test"]} == {*KINDS, "background"}
    assert kinds_never_trained(read_negatives(table)) == set(HELD_OUT)
    assert all(n.path.exists() for negatives in by_split.values() for n in negatives)
    # Each photograph has its own gray level, so crops tell where they are from.
    origin = {
        split: {
            round(float(np.asarray(Image.open(n.path)).mean()) - 9.5) // 24
            for n in negatives
            if n.kind == "background"
        }
        for split, negatives in by_split.items()
    }
    assert not origin["train"] & origin["test"]
    assert not origin["train"] & origin["validation"]
    assert not origin["validation"] & origin["test"]


def test_the_table_is_the_same_each_time(synthesizer, photographs, tmp_path):
    write_negatives(tmp_path / "out", synthesizer, photographs, per_kind=3)
    first = (tmp_path / "out/negatives.csv").read_bytes()
    write_negatives(tmp_path / "out", synthesizer, photographs, per_kind=3)
    assert (tmp_path / "out/negatives.csv").read_bytes() == first


def test_too_few_photographs_and_damaged_tables(synthesizer, photographs, tmp_path):
    with pytest.raises(InputError, match="at least 3"):
        write_negatives(tmp_path, synthesizer, photographs[:2], per_kind=1)
    with pytest.raises(InputError, match="missing or damaged"):
        read_negatives(tmp_path / "none.csv", "train")
    (tmp_path / "bad.csv").write_text("file,split\na.png,train\n")
    with pytest.raises(InputError, match="missing or damaged"):
        read_negatives(tmp_path / "bad.csv", "train")
