"""The gate's curves: characters of a source against each kind of a ``negatives.csv``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge_runtime.errors import ImageError, InputError
from edge_runtime.evaluation.roc import curves
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.ladder.rungs import Rung
from edge_runtime.negatives import read_negatives
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import Millionths

_BATCH = 64


def measure_rejection(
    rungs: Sequence[Rung], images: Sequence[LabeledImage], negatives: Path, split: str
) -> dict[str, Any]:
    """Curves by network and kind of non-character.

    Raises
    ------
    InputError
        A ``negatives.csv`` without images of that split; an image that cannot be read.
    """
    listed = read_negatives(negatives, split)
    if not listed:
        raise InputError(f"{negatives}: lists no image of split {split!r}")
    kinds = np.array([one.kind for one in listed])
    found = {}
    for rung in rungs:
        recognizer = Recognizer.open(rung.bundle, rung.name, rung.model)
        characters = _p_real(recognizer, [image.path for image in images], rung.name)
        others = _p_real(recognizer, [one.path for one in listed], f"{rung.name}, others")
        of_kind = {kind: others[kinds == kind] for kind in dict.fromkeys(kinds.tolist())}
        found[rung.name] = curves(characters, of_kind)
    return found


def _p_real(recognizer: Recognizer, paths: Sequence[Path], name: str) -> Millionths:
    values = []
    starts = range(0, len(paths), _BATCH)
    for k in tqdm(starts, desc=name, unit="batch", disable=None, leave=False):
        inputs = np.stack([preprocess(read_gray(path)) for path in paths[k : k + _BATCH]])
        values.append(recognizer.scores(inputs)[2])
    if not values:
        raise ImageError("no image to measure the gate on")
    return np.concatenate(values)
