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

import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import ImageError, InputError
from edge_runtime.files import replacing, sha256_of, write_json
from edge_runtime.images import decode_gray, read_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from edge_runtime.preprocess import preprocess
from semi_supervised.fonts import find_faces
from semi_supervised.settings import DataSettings
from semi_supervised.splits import SPLITS, split_images, write_manifest
from semi_supervised.synthesis import Synthesizer, write_characters

log = logging.getLogger(__name__)

SYNTHETIC = "synthetic"
DRAWN = "drawn"  # the source of characters that we drew ourselves


@dataclass(frozen=True)
class DataReport:
    """What the data stage found: the images with their splits, and what it left out."""

    images: list[LabeledImage]
    skipped: list[str]

    def table(self) -> str:
        """Counts per source and split, to be printed."""
        counts = Counter((image.source, image.split) for image in self.images)
        sources = sorted({source for source, _ in counts})
        rows = [[s, *(counts[s, split] for split in SPLITS)] for s in sources]
        total = [sum(counts[s, split] for s in sources) for split in SPLITS]
        if len(rows) > 1:
            rows.append(["all", *total])
        return tabulate(rows, headers=["source", *SPLITS], tablefmt="simple", intfmt=",")


def make_data(
    source: str,
    output: Path,
    alphabet: Alphabet,
    settings: DataSettings,
    skip_unreadable: bool = False,
) -> DataReport:
    """Write ``output/manifest.csv``, ``data.json`` and the contact sheet ``characters.png``.

    Parameters
    ----------
    source : "synthetic" to draw the characters, or the path of labeled images
    skip_unreadable : list and leave out images that cannot be read, instead of stopping

    Raises
    ------
    InputError
        No images, an unreadable one, a class without images, contradicting labels.
    """
    if source == SYNTHETIC:
        images = _draw(output, alphabet, settings.synthetic_per_class, settings.seed)
        added: list[LabeledImage] = []
    else:
        images = find_labeled_images(Path(source), alphabet)
        log.info("found %s labeled images in %s", f"{len(images):,}", source)
        images = [image for image in images if image.source != DRAWN]
        added = _draw(output, alphabet, settings.added_per_class, settings.seed)
    read, skipped = _look_into(images, skip_unreadable)
    split = split_images(read, alphabet, settings)
    for image in split:
        if image.split == "excluded":
            log.warning("left out: %s: an identical file has another label", image.path)
    drawn, _ = _look_into(added, skip_unreadable=False)
    split += [replace(image, split="train") for image in drawn]
    report = DataReport(split, skipped)
    write_manifest(output / "manifest.csv", split)
    write_contact_sheet(output / "characters.png", split, alphabet)
    write_json(
        output / "data.json",
        {
            "schema": 1,
            "source": source if source == SYNTHETIC else Path(source).resolve().name,
            "alphabet": list(alphabet.symbols),
            "settings": vars(settings),
            "manifest_sha256": sha256_of(output / "manifest.csv"),
            "counts": {s: sum(i.split == s for i in split) for s in SPLITS},
            "skipped": skipped,
        },
    )
    return report


def fingerprint(source: str) -> str:
    """Hash of the names, sizes and times of a source's files: changes when images come or go."""
    root = Path(source)
    if source == SYNTHETIC or not root.exists():
        return ""
    digest = hashlib.sha256()
    for path in sorted([root, *root.rglob("*")]):
        status = path.stat()
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def read_alphabet(manifest: Path) -> Alphabet:
    """Read the alphabet that the data stage wrote beside the manifest."""
    path = manifest.with_name("data.json")
    try:
        return Alphabet(tuple(json.loads(path.read_text("utf-8"))["alphabet"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: missing or damaged; run `make data` again") from None


def _draw(output: Path, alphabet: Alphabet, per_class: int, seed: int) -> list[LabeledImage]:
    if per_class == 0:
        return []
    faces = tuple(find_faces(alphabet))
    count = per_class * len(alphabet)
    families = len({face.family for face in faces})
    log.info("drawing %s characters from %d font families", f"{count:,}", families)
    # The folder's name says what its images depend on, so that none of another kind is reused.
    what = repr((seed, alphabet.symbols, [(f.family, f.file.name, f.axes) for f in faces]))
    folder = output / f"drawn-{hashlib.sha256(what.encode()).hexdigest()[:8]}"
    synthesizer = Synthesizer(alphabet, faces, seed)
    workers = min(os.cpu_count() or 1, 1 + count // 2000)
    paths = list(
        tqdm(
            write_characters(synthesizer, count, folder, workers),
            desc="draw",
            total=count,
            unit="image",
            disable=None,
        )
    )
    index = {f"{i:06d}.png": synthesizer.label(i) for i in range(count)}
    return [LabeledImage(path, index[path.name], DRAWN) for path in sorted(paths)]


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
    for problem in bad:
        log.warning("skipped: %s" if skip_unreadable else "%s", problem)
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


def write_contact_sheet(path: Path, images: Sequence[LabeledImage], alphabet: Alphabet) -> None:
    """Draw one row per source of training images, as the network sees them, one of each class."""
    rows = []
    for source in sorted({image.source for image in images}):
        first: dict[str, LabeledImage] = {}
        for image in images:
            if image.source == source and image.split == "train":
                first.setdefault(image.label, image)
        cells = [
            preprocess(read_gray(first[s].path))[..., 0].astype(np.int16) + 128
            if s in first
            else np.full((32, 32), 255)
            for s in alphabet.symbols[:124]
        ]
        cells += [np.full((32, 32), 255)] * (-len(cells) % 31)
        rows += [np.hstack(cells[k : k + 31]) for k in range(0, len(cells), 31)]
    write_png(path, np.vstack(rows).astype(np.uint8))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a gray picture, uint8 [height, width], in one step."""
    with replacing(path) as temporary:
        _, encoded = cv2.imencode(".png", picture)
        temporary.write_bytes(encoded.tobytes())
