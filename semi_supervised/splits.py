"""Seeded, stratified splits, in which byte-identical images never part, and the manifest file."""

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import LabelError
from edge_runtime.files import write_text
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings

SPLITS = ("train", "validation", "test", "excluded")
_COLUMNS = ("file", "label", "split", "source", "sha256")


def split_images(
    images: Iterable[LabeledImage], alphabet: Alphabet, settings: DataSettings
) -> list[LabeledImage]:
    """Give every image a split; the order of the result is that of the input.

    The unit is the group of byte-identical files. Each (source, label) stratum is shuffled by its
    own seed, so that adding one class leaves the others' splits as they were. Groups whose files
    carry different labels teach nothing true: they become ``excluded``.

    Raises
    ------
    LabelError
        A class of the alphabet without images, or with fewer than three different ones.
    """
    images = list(images)
    groups: dict[str, list[LabeledImage]] = defaultdict(list)
    for image in images:
        groups[image.sha256].append(image)
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    split_of: dict[str, str] = {}
    for digest, members in groups.items():
        if len({image.label for image in members}) > 1:
            split_of[digest] = "excluded"
        else:
            strata[members[0].source, members[0].label].append(digest)
    _check_classes(strata, alphabet)
    for (source, label), digests in strata.items():
        split_of |= _split_stratum(source, label, sorted(digests), settings)
    _give_to_empty(strata, split_of, alphabet)
    return [LabeledImage(i.path, i.label, i.source, split_of[i.sha256], i.sha256) for i in images]


def _check_classes(strata: dict[tuple[str, str], list[str]], alphabet: Alphabet) -> None:
    different: Counter[str] = Counter()
    for (_, label), digests in strata.items():
        different[label] += len(digests)
    absent = [symbol for symbol in alphabet.symbols if different[symbol] == 0]
    if absent:
        raise LabelError(
            f"no image of {len(absent)} of the {len(alphabet)} classes ({' '.join(absent[:20])}); "
            "add some, or name the symbols you have with --alphabet"
        )
    few = [symbol for symbol in alphabet.symbols if different[symbol] < 3]
    if few:
        raise LabelError(
            f"class {few[0]!r} has {different[few[0]]} different image(s); "
            "each needs 3, one for training, validation and test"
        )


def _split_stratum(
    source: str, label: str, digests: list[str], settings: DataSettings
) -> dict[str, str]:
    key = [settings.seed, *source.encode(), 0, *label.encode()]
    order = np.random.default_rng(key).permutation(len(digests))
    # At least one each for validation and test where that leaves one for training.
    few = len(digests) < 3
    test = 0 if few else max(1, round(settings.test_share * len(digests)))
    validation = 0 if few else max(1, round(settings.validation_share * len(digests)))
    result = {}
    for rank, i in enumerate(order):
        held_out = "test" if rank < test else "validation" if rank < test + validation else "train"
        result[digests[i]] = held_out
    return result


def _give_to_empty(
    strata: dict[tuple[str, str], list[str]], split_of: dict[str, str], alphabet: Alphabet
) -> None:
    """Where a class has one or two images in each of several sources, fill its empty splits."""
    for symbol in alphabet.symbols:
        digests = sorted(d for (_, label), ds in strata.items() if label == symbol for d in ds)
        for needed in ("test", "validation"):
            if not any(split_of[d] == needed for d in digests):
                split_of[next(d for d in digests if split_of[d] == "train")] = needed


def write_manifest(path: Path, images: Iterable[LabeledImage]) -> None:
    """Write the manifest: a CSV of file, label, split, source, sha256, sorted by file.

    File names count from the manifest's folder, so that project and data may move together.
    """
    base = path.parent.resolve()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    rows = [
        (
            Path(os.path.relpath(i.path.resolve(), base)).as_posix(),
            i.label,
            i.split,
            i.source,
            i.sha256,
        )
        for i in images
    ]
    writer.writerows(sorted(rows))
    write_text(path, text.getvalue())
