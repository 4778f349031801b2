"""What is kept of every image: a few numbers of each network, never its logits.

Memory and disk so stay at some 30 bytes for an image and network, whatever the alphabet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.images import Gray
from edge_runtime.metrics import rank
from edge_runtime.runners import Logits
from edge_runtime.scores import float_probabilities

Ints = npt.NDArray[np.int32]
_RANKED = 3


@dataclass(frozen=True)
class Record:
    """One network's answers on N images; probabilities in millionths.

    ranked : classes from likeliest on [N, 3 or fewer];  shares : their probabilities, likewise
    own : probability of the image's label, 0 where the network has no such class
    p_real : [N];  ties : 1 where another class has the largest logit, too
    """

    ranked: Ints
    shares: Ints
    own: Ints
    p_real: Ints
    ties: Ints

    @property
    def best(self) -> Ints:
        """The class that is answered [N]."""
        best: Ints = self.ranked[:, 0]
        return best

    @property
    def confidence(self) -> Ints:
        """Its probability in millionths [N]."""
        share: Ints = self.shares[:, 0]
        return share


@dataclass(frozen=True)
class Pictures:
    """What the images are themselves.

    index : in the list of images;  contrast : 98th minus 2nd percentile of the gray values
    """

    index: Ints
    height: Ints
    width: Ints
    contrast: Ints


def record(bundle: Bundle, logits: Logits, integer: bool, labels: Ints) -> Record:
    """Keep what is needed of logits [N, classes]; ``labels`` [N], -1 where there is none."""
    if integer:
        probabilities, p_real = bundle.scores.probabilities(logits)
    else:
        probabilities, p_real = float_probabilities(logits.astype(np.float32), bundle.temperature)
    ranked = rank(logits, _RANKED)
    rows = np.arange(len(logits))
    known = (labels >= 0) & (labels < logits.shape[1])
    own = np.where(known, probabilities[rows, np.where(known, labels, 0)], 0)
    top = np.sort(logits, axis=1)[:, -2:]
    kept = (
        ranked,
        np.take_along_axis(probabilities, ranked.astype(np.int64), axis=1),
        own,
        p_real,
        top[:, -1] == top[:, 0],
    )
    return Record(*(np.asarray(part).astype(np.int32) for part in kept))


def picture_row(gray: Gray) -> tuple[int, int, int]:
    """Height, width and contrast of one image."""
    low, high = np.percentile(gray, (2, 98), method="inverted_cdf")
    return gray.shape[0], gray.shape[1], int(high) - int(low)


def pack(prefix: str, values: Record | Pictures) -> dict[str, npt.NDArray[Any]]:
    """Arrays by name, for a file."""
    return {f"{prefix}/{f.name}": getattr(values, f.name) for f in fields(values)}


def join_records(prefix: str, files: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Record:
    """Put records of several files behind one another."""
    return Record(*_joined(prefix, files, Record))


def join_pictures(prefix: str, files: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Pictures:
    """Put pictures of several files behind one another."""
    return Pictures(*_joined(prefix, files, Pictures))


def _joined(
    prefix: str, files: Sequence[Mapping[str, npt.NDArray[Any]]], kind: type[Any]
) -> list[npt.NDArray[Any]]:
    return [np.concatenate([file[f"{prefix}/{f.name}"] for file in files]) for f in fields(kind)]
