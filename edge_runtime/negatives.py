"""Images that show no character, as `make data` lists them in ``negatives.csv``."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import InputError


@dataclass(frozen=True)
class Negative:
    """An image that shows no single character.

    kind : what it shows instead;  split : "train", "validation" or "test"
    source : "drawn" or "photograph"
    """

    path: Path
    kind: str
    split: str
    source: str
    sha256: str


def read_negatives(path: Path, split: str | None = None) -> list[Negative]:
    """List one split of a ``negatives.csv``, or all of it.

    Raises
    ------
    InputError
        The file is missing or not one of ours.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        return [
            Negative(path.parent / r["file"], r["kind"], r["split"], r["source"], r["sha256"])
            for r in rows
            if split is None or r["split"] == split
        ]
    except (OSError, csv.Error, KeyError, TypeError, UnicodeDecodeError):
        raise InputError(f"{path}: missing or damaged; `make data` writes it") from None


def kinds_never_trained(negatives: Sequence[Negative]) -> frozenset[str]:
    """Kinds of a whole list that are in no training split: the gate has to generalize to them."""
    every = {negative.kind for negative in negatives}
    return frozenset(every - {negative.kind for negative in negatives if negative.split == "train"})
