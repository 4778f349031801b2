"""The stage's set of non-characters: drawn kinds and, with photographs, real background.

They train the gate that tells characters from everything else, and measure it. Two kinds are for
tests only, and no photograph gives crops to two splits.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.errors import InputError
from edge_runtime.files import sha256_of, write_bytes
from edge_runtime.icdar2003 import Photograph
from edge_runtime.negatives import Negative
from semi_supervised.background import cut_background
from semi_supervised.splits.manifest import write_table
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.negatives import HELD_OUT, KINDS, NegativeSynthesizer
from semi_supervised.synthesis.writing import write_images

FILE_NAME: Final = "negatives.csv"
BACKGROUND: Final = "background"
_COLUMNS: Final = ("file", "kind", "split", "source", "sha256")
_IN_TEN: Final = ("test", "validation", *["train"] * 8)  # splits of ten images in a row


def write_negatives(
    output: Path,
    synthesizer: Synthesizer,
    photographs: Sequence[Photograph],
    per_kind: int,
) -> list[Negative]:
    """Write ``per_kind`` images of each kind and ``output/negatives.csv`` that lists them.

    With photographs, four times as many background crops: the kind that is met most.

    Raises
    ------
    InputError
        A photograph that cannot be read, or without any background.
    """
    negatives = list(_draw(output, synthesizer, per_kind))
    negatives += _cut(output, photographs, 4 * per_kind, synthesizer.seed)
    rows = [(n.path, n.kind, n.split, n.source, n.sha256) for n in negatives]
    write_table(output / FILE_NAME, _COLUMNS, rows)
    return negatives


def negatives_table(negatives: Sequence[Negative]) -> str:
    """Counts per kind and split, to be printed."""
    counts = Counter((n.kind, n.split) for n in negatives)
    splits = ("train", "validation", "test")
    rows = [
        [kind, *(counts[kind, split] for split in splits)]
        for kind in (*KINDS, BACKGROUND)
        if any(counts[kind, split] for split in splits)
    ]
    return tabulate(rows, headers=["not a character", *splits], tablefmt="simple", intfmt=",")


def _draw(output: Path, synthesizer: Synthesizer, per_kind: int) -> Iterator[Negative]:
    drawing = NegativeSynthesizer(synthesizer)
    folder = output / f"negatives-{synthesizer.identity[:8]}"
    count = per_kind * len(KINDS)
    bar = tqdm(
        write_images(drawing, range(count), folder),
        desc="draw negatives",
        total=count,
        unit="image",
        disable=None,
    )
    for path in sorted(bar):
        kind, turn = path.parent.name, int(path.stem) // len(KINDS)
        split = "test" if kind in HELD_OUT else _IN_TEN[turn % 10]
        yield Negative(path, kind, split, "drawn", sha256_of(path))


def _cut(
    output: Path, photographs: Sequence[Photograph], count: int, seed: int
) -> Iterator[Negative]:
    if not photographs:
        return
    if len(photographs) < 3:
        raise InputError(
            f"{photographs[0].path.parent}: {len(photographs)} photograph(s); background needs at "
            "least 3, so that training, validation and test have one of their own"
        )
    order = np.random.default_rng([seed, 2]).permutation(len(photographs))
    held_out = max(1, round(0.15 * len(photographs)))
    ranges = {
        "test": order[:held_out],
        "validation": order[held_out : 2 * held_out],
        "train": order[2 * held_out :],
    }
    for split, chosen in ranges.items():
        own = [photographs[k] for k in sorted(chosen)]
        number = max(1, round(count * len(own) / len(photographs)))
        crops = cut_background(own, number, seed)
        bar = tqdm(crops, desc=f"cut {split} background", total=number, unit="image", disable=None)
        for k, gray in enumerate(bar):
            _, encoded = cv2.imencode(".png", gray, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            data = encoded.tobytes()
            path = output / BACKGROUND / split / f"{k:06d}.png"
            write_bytes(path, data)
            yield Negative(path, BACKGROUND, split, "photograph", hashlib.sha256(data).hexdigest())
