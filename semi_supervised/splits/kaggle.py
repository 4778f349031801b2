"""The public halves of Chars74K's natural-scene characters: 6,283 for training, 6,220 for test."""

import re
from functools import cache
from importlib import resources
from pathlib import Path

HALVES = (6283, 6220)  # images of the training half, of the test half
_NAMES = "kaggle_training_half.txt"
_FOLDERS = ("GoodImg", "BadImag")
_STEM = re.compile(r"img\d{3}-\d{5}")


@cache
def training_half() -> frozenset[str]:
    """Official names of the training half, as ``GoodImg/img001-00004``."""
    text = (resources.files(__package__) / _NAMES).read_text("utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def official_name(path: Path) -> str | None:
    """Name an image of English/Img as the list does; None for any other.

    Many file names occur in both GoodImg and BadImag, so one of these folders must be above.
    """
    above = reversed(path.absolute().parts[:-1])
    folder = next((part for part in above if part in _FOLDERS), None)
    return f"{folder}/{path.stem}" if folder and _STEM.fullmatch(path.stem) else None
