"""Contact sheets: what training sees, on one picture each, to be looked at before training."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import Alphabet
from edge_runtime.files import replacing
from edge_runtime.images import Gray, read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.negatives import Negative
from edge_runtime.preprocess import SIDE, preprocess
from semi_supervised.settings import AugmentSettings
from semi_supervised.training.augment import Augmenter, to_canvas

_COLUMNS = 31  # two rows are the alphabet of 62
_PAPER = 255
_SYMBOLS = 124  # of a larger alphabet the first ones

Sheet = npt.NDArray[np.uint8]


def write_character_sheet(
    path: Path,
    images: Sequence[LabeledImage],
    drawn: Sequence[Gray | None],
    alphabet: Alphabet,
) -> None:
    """Write rows of one training image per class and source, as the network sees them.

    ``drawn`` holds one newly drawn character per class, None where no font has it; the last rows
    show them.
    """
    rows = []
    for source in sorted({i.source for i in images if i.label and i.split == "train"}):
        first: dict[str, LabeledImage] = {}
        for image in images:
            if image.source == source and image.split == "train":
                first.setdefault(image.label, image)
        cells = [
            _levels(preprocess(read_gray(first[s].path))) if s in first else None
            for s in alphabet.symbols[:_SYMBOLS]
        ]
        rows.append(_grid(cells))
    if any(gray is not None for gray in drawn):
        shown = drawn[:_SYMBOLS]
        rows.append(_grid([None if g is None else _levels(preprocess(g)) for g in shown]))
    if rows:
        write_png(path, _stack(rows))


def write_augmentation_sheet(
    path: Path, images: Sequence[LabeledImage], settings: AugmentSettings, count: int = 12
) -> None:
    """Write a row per training image: as it is, then as thirty steps of training see it."""
    train = [image for image in images if image.split in ("train", "unlabeled")]
    if not train:
        return
    augmenter = Augmenter(settings)
    rows = []
    for image in train[:: max(1, len(train) // count)][:count]:
        gray = read_gray(image.path)
        changed = augmenter.batch(np.repeat(to_canvas(gray)[None], _COLUMNS - 1, axis=0), seed=0)
        rows.append(_grid([_levels(preprocess(gray)), *map(_levels, changed)]))
    write_png(path, _stack(rows))


def write_negative_sheet(path: Path, negatives: Iterable[Negative]) -> None:
    """Write two rows per kind of non-character, as the network sees them."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for negative in negatives:
        kinds[negative.kind].append(negative.path)
    rows = [
        _grid([_levels(preprocess(read_gray(p))) for p in paths[: 2 * _COLUMNS]])
        for paths in kinds.values()
    ]
    write_png(path, _stack(rows))


def write_png(path: Path, picture: Sheet) -> None:
    """Write a gray picture, uint8 [height, width], in one step."""
    with replacing(path) as temporary:
        _, encoded = cv2.imencode(".png", picture)
        temporary.write_bytes(encoded.tobytes())


def _levels(inputs: npt.NDArray[np.int8]) -> Sheet:
    levels: Sheet = (inputs[..., 0].astype(np.int16) + 128).astype(np.uint8)
    return levels


def _grid(cells: Sequence[Sheet | None]) -> Sheet:
    paper: Sheet = np.full((SIDE, SIDE), _PAPER, np.uint8)
    full = [paper if cell is None else cell for cell in cells]
    full += [paper] * (-len(full) % _COLUMNS)
    lines = [np.hstack(full[k : k + _COLUMNS]) for k in range(0, len(full), _COLUMNS)]
    return np.vstack(lines)


def _stack(grids: Sequence[Sheet], gap: int = 6) -> Sheet:
    """Lay grids below each other with a gap between them."""
    space = np.full((gap, grids[0].shape[1]), _PAPER, np.uint8)
    parts = [part for grid in grids for part in (grid, space)]
    return np.vstack(parts[:-1])
