"""The data stage: find or draw the images, look into each, split them, write the manifest."""

import concurrent.futures
import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import ImageError, InputError
from edge_runtime.files import sha256_of, write_json
from edge_runtime.images import decode_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.negatives import Negative
from semi_supervised.duplicates import near_identical_groups
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.negatives import negatives_table, write_negatives
from semi_supervised.settings import KEEPING_THE_LAST_EPOCH, DataSettings
from semi_supervised.sheets import (
    write_character_sheet,
    write_negative_sheet,
)
from semi_supervised.sources import SYNTHETIC, find_images, find_scenes, parse_sources, short_name
from semi_supervised.splits import DRAWN, SPLITS, split_images, write_manifest
from semi_supervised.synthesis import FIRST_UNSEEN, Synthesizer, synthesizer_if_possible
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.synthesis.writing import write_images

log = logging.getLogger(__name__)

_SHOWN = 10  # unreadable files that are named on the screen


@dataclass(frozen=True)
class DataReport:
    """What the data stage found: the images with their splits, and what it left out."""

    images: list[LabeledImage]
    negatives: list[Negative]
    skipped: list[str]
    near: list[list[int]]  # positions of near-identical images

    def table(self) -> str:
        """Counts per source and split, to be printed."""
        counts = Counter((image.source, image.split) for image in self.images)
        sources = sorted({source for source, _ in counts})
        rows = [[s, *(counts[s, split] for split in SPLITS)] for s in sources]
        total = [sum(counts[s, split] for s in sources) for split in SPLITS]
        if len(rows) > 1:
            rows.append(["all", *total])
        table = tabulate(rows, headers=["source", *SPLITS], tablefmt="simple", intfmt=",")
        return f"{table}\n\n{negatives_table(self.negatives)}" if self.negatives else table


def make_data(
    source: str | Sequence[str],
    output: Path,
    alphabet: Alphabet,
    settings: DataSettings,
    skip_unreadable: bool = False,
    unlabeled: Sequence[str] = (),
    photographs: Sequence[str] = (),
    cache: Path | None = None,
) -> DataReport:
    """Write ``output/manifest.csv``, ``negatives.csv``, ``data.json`` and contact sheets.

    The sheets: ``characters.png`` (rows of given and of drawn ones) and ``negatives.png``.

    Parameters
    ----------
    source : "synthetic" to draw the characters, or one or more sources of labeled images
    skip_unreadable : list and leave out images that cannot be read, instead of stopping
    unlabeled : sources of images whose labels are not known
    photographs : sources of photographs whose text boxes are known, to cut background from
    cache : where archives are unpacked, by default the user's cache folder

    Raises
    ------
    InputError
        No images, an unreadable one, a class without images, contradicting labels.
    """
    sources = parse_sources(source)
    given = [] if sources == [SYNTHETIC] else sources
    images = find_images(given, alphabet, parse_sources(unlabeled), cache)
    images = [image for image in images if image.source != DRAWN]
    wanted = _number_to_draw(images, settings)
    # Few labels are better than none: drawn characters only help there.
    needed = wanted > 0 and not (settings.protocol == "few" and any(i.label for i in images))
    synthesizer = _find_synthesizer(alphabet, settings.seed, needed)
    read, skipped = _look_into(images, skip_unreadable)
    if synthesizer:
        drawn, _ = _look_into(_draw(output, synthesizer, wanted), skip_unreadable=False)
        read += drawn
    near = near_identical_groups(read)
    splits = split_images(read, alphabet, settings, near)
    for note in splits.notes:
        log.warning("%s", note)
    split = splits.images
    negatives: list[Negative] = []
    if synthesizer and settings.negatives_per_kind:
        scenes = find_scenes(parse_sources(photographs), cache)
        negatives = write_negatives(output, synthesizer, scenes, settings.negatives_per_kind)
        write_negative_sheet(output / "negatives.png", negatives)
    first = FIRST_UNSEEN * len(alphabet)
    drawable = set(synthesizer.drawable) if synthesizer else set()
    new = [
        synthesizer.draw(first + i) if synthesizer and symbol in drawable else None
        for i, symbol in enumerate(alphabet.symbols)
    ]
    write_character_sheet(output / "characters.png", split, new, alphabet)
    report = DataReport(split, negatives, skipped, near)
    write_manifest(output / "manifest.csv", split)
    write_json(
        output / "data.json",
        {
            "schema": 1,
            "source": ", ".join(map(short_name, sources)),
            "unlabeled": ", ".join(map(short_name, parse_sources(unlabeled))),
            "alphabet": list(alphabet.symbols),
            "settings": vars(settings),
            "splits": splits.resolved,
            "manifest_sha256": sha256_of(output / "manifest.csv"),
            "drawing": synthesizer.identity if synthesizer else None,
            "negatives_sha256": sha256_of(output / NEGATIVES_FILE) if negatives else None,
            "counts": {s: sum(i.split == s for i in split) for s in SPLITS},
            "near_identical_groups": len(near),
            "skipped": skipped,
        },
    )
    return report


def _number_to_draw(images: Sequence[LabeledImage], settings: DataSettings) -> int:
    """Characters of each class to draw as files."""
    if not any(image.label for image in images):
        return settings.synthetic_per_class  # nothing else can teach the alphabet
    if settings.train_sources and DRAWN not in settings.train_sources:
        return 0
    if settings.labels_per_class == 0 and not settings.added_per_class:
        return settings.synthetic_per_class  # the only images with a label
    return settings.added_per_class


def _find_synthesizer(alphabet: Alphabet, seed: int, needed: bool) -> Synthesizer | None:
    if needed:
        synthesizer = Synthesizer(alphabet, find_faces(alphabet, partly=True), seed)
    elif (found := synthesizer_if_possible(alphabet, seed)) is None:
        return None
    else:
        synthesizer = found
    undrawn = [symbol for symbol in alphabet.symbols if symbol not in synthesizer.drawable]
    if undrawn:
        log.warning("no installed font has %s: learned from given images alone", " ".join(undrawn))
    return synthesizer


def read_alphabet(manifest: Path) -> Alphabet:
    """Read the alphabet that the data stage wrote beside the manifest."""
    try:
        return Alphabet(tuple(_record(manifest)["alphabet"]))
    except (ValueError, KeyError, TypeError):
        raise _damaged(manifest) from None


def chooses_epoch(manifest: Path) -> bool:
    """Whether validation images choose the epoch to keep: not of every protocol."""
    try:
        return _record(manifest)["settings"]["protocol"] not in KEEPING_THE_LAST_EPOCH
    except (ValueError, KeyError, TypeError):
        raise _damaged(manifest) from None


def _record(manifest: Path) -> Any:
    try:
        return json.loads(manifest.with_name("data.json").read_text("utf-8"))
    except OSError:
        raise _damaged(manifest) from None


def _damaged(manifest: Path) -> InputError:
    path = manifest.with_name("data.json")
    return InputError(f"{path}: missing or damaged; run `make data` again")


def _draw(output: Path, synthesizer: Synthesizer, per_class: int) -> list[LabeledImage]:
    """Draw the first ``per_class`` images of each class into files."""
    if per_class == 0:
        return []
    count = per_class * len(synthesizer.alphabet)
    numbers = [i for i in range(count) if synthesizer.label(i) in synthesizer.drawable]
    log.info(
        "drawing %s characters from %d font families", f"{len(numbers):,}", synthesizer.families
    )
    # The folder's name says what its images depend on, so that none of another kind is reused.
    folder = output / f"drawn-{synthesizer.identity[:8]}"
    bar = tqdm(
        write_images(synthesizer, numbers, folder),
        desc="draw",
        total=len(numbers),
        unit="image",
        disable=None,
    )
    return [LabeledImage(p, synthesizer.label(int(p.stem)), DRAWN) for p in sorted(bar)]


def _look_into(
    images: Sequence[LabeledImage], skip_unreadable: bool
) -> tuple[list[LabeledImage], list[str]]:
    """Decode every image once and hash it: what cannot be read is found now, not in training."""
    good: list[LabeledImage] = []
    bad: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        checks = tqdm(
            pool.map(_check, images, chunksize=64),
            desc="check",
            total=len(images),
            unit="image",
            disable=None,
        )
        for image, (digest, problem) in zip(images, checks, strict=True):
            if problem:
                bad.append(problem)
            else:
                good.append(replace(image, sha256=digest))
    for problem in bad[:_SHOWN]:
        log.warning("skipped: %s" if skip_unreadable else "%s", problem)
    if len(bad) > _SHOWN:
        where = "; data.json lists them all" if skip_unreadable else ""
        log.warning("and %s more%s", f"{len(bad) - _SHOWN:,}", where)
    if bad and not skip_unreadable:
        raise InputError(
            f"{len(bad)} of {len(images)} images cannot be read, the first is {bad[0]}; "
            "mend or remove them, or allow leaving them out with --skip-unreadable"
        )
    return good, bad


def _check(image: LabeledImage) -> tuple[str, str]:
    try:
        data = read_image_bytes(image.path)
        decode_gray(data, str(image.path))
    except ImageError as error:
        return "", str(error)
    return hashlib.sha256(data).hexdigest(), ""
