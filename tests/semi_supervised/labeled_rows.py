"""Images of a split's tests: a label, a source and what stands for the content."""

from collections import Counter
from pathlib import Path

from edge_runtime.alphabet import parse_alphabet
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings
from semi_supervised.splits import split_images

ABC = parse_alphabet("abc")


def images(*rows):
    """(label, source, content) → images; the content stands for the hash."""
    return [
        LabeledImage(Path(f"{i}.png"), label, source, sha256=content)
        for i, (label, source, content) in enumerate(rows)
    ]


def plain(symbols="abc", count=30, source="scene"):
    return [(c, source, f"{source} {c}{i}") for c in symbols for i in range(count)]


def split(rows, near=(), alphabet=ABC, **data):
    return split_images(images(*rows), alphabet, DataSettings(**data), near)


def of_split(found, *names):
    return {i.sha256 for i in found.images if i.split in names}


def sizes(found):
    """Number of images per (label, split)."""
    return Counter((i.label, i.split) for i in found.images)
