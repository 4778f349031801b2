"""Images that show the same picture: byte for byte, or encoded, sized or lit a little differently.

An image's fingerprint is itself at 32×32 gray pixels, and two images are near-identical where the
correlation of their fingerprints is almost 1. Hashes of 64 bits were no help: clean characters of
one class are as close in them as copies of one photograph are. The search is exact: a bound on
the correlation from 65 numbers an image leaves few pairs to be compared in full.
"""

import concurrent.futures
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from edge_runtime.errors import ImageError
from edge_runtime.images import Gray, decode_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.splits import DRAWN
from semi_supervised.splits.units import group_images

SIDE = 32  # of a fingerprint
_CELL = 4  # pixels of a side of the cells whose means bound a correlation
_BLOCK = 16 * 2**20  # bounds computed at once, 64 MB

# Measured on scene crops (docs/data.md): 98 % of the copies that were encoded at JPEG quality 50,
# enlarged by 3 pixels or darkened correlate above 0.98, the most alike of different crops at 0.978.
# Strokes on flat paper correlate up to 0.993 from different hands, copies of them above 0.999.
SAME_PHOTOGRAPH = 0.98
SAME_DRAWING = 0.9995
_FLAT_SHARE = 0.62  # of a drawing's pixels lie about its commonest gray level
_FLAT_LEVELS = 7

Fingerprint = npt.NDArray[np.uint8]  # [32, 32]


def near_identical_groups(images: Sequence[LabeledImage]) -> list[list[int]]:
    """Group images of the same picture, byte-identical ones included.

    Drawn images (source "drawn") and those that cannot be read are compared by their bytes alone:
    no two drawn ones are the same photograph.

    Returns
    -------
    groups of two or more positions in ``images``, ascending, sorted by their first; no position is
    in two groups
    """
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = tqdm(
            pool.map(_look_at, images),
            desc="compare",
            total=len(images),
            unit="image",
            disable=None,
            leave=False,
        )
        hashes, prints = zip(*results, strict=True) if images else ((), ())
    return group_same(images, hashes, prints)


def group_same(
    images: Sequence[LabeledImage],
    hashes: Sequence[str],
    prints: Sequence[Fingerprint | None],
) -> list[list[int]]:
    """Group images as `near_identical_groups` by what was read of them.

    Parameters
    ----------
    hashes : SHA-256 of each; "" where it could not be read
    prints : `fingerprint` of each; None for those to be compared by hash alone
    """
    first = {digest: i for i, digest in reversed(list(enumerate(hashes)))}
    which = [i for i in sorted(first.values()) if prints[i] is not None]
    pairs = alike(np.array([prints[i] for i in which], np.uint8).reshape(-1, SIDE, SIDE))
    near = [[which[a], which[b]] for a, b in pairs]
    hashed = [replace(image, sha256=h) for image, h in zip(images, hashes, strict=True)]
    return [sorted(group) for group in group_images(hashed, near) if len(group) > 1]


def fingerprint(gray: Gray) -> Fingerprint:
    """Reduce gray pixels of any size to uint8 [32, 32], smoothly.

    Not the network's area resize: that enlarges a crop of 12 pixels into squares, whose edges
    move when the crop is one pixel larger.
    """
    small = Image.fromarray(gray).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)


def alike(prints: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Pairs i < j of near-identical fingerprints, uint8 [N, 32, 32]; none for flat ones."""
    pixels = prints.reshape(len(prints), SIDE * SIDE)
    mean = pixels.mean(axis=1, dtype=np.float32)
    scale = SIDE * pixels.std(axis=1, dtype=np.float32)  # the norm of the centered vector
    coarse = _coarse(prints, mean, scale)
    limit = np.where(_is_drawing(pixels), SAME_DRAWING, SAME_PHOTOGRAPH).astype(np.float32)
    found: list[tuple[int, int]] = []
    rows = max(1, _BLOCK // max(1, len(prints)))
    for start in range(0, len(prints), rows):
        bound = coarse[start : start + rows] @ coarse[start:].T
        first, second = np.nonzero(np.triu(bound, 1) >= SAME_PHOTOGRAPH - 1e-5)
        needed = np.maximum(limit[first + start], limit[second + start])
        close = bound[first, second] >= needed - 1e-5  # rounding
        first, second, needed = first[close] + start, second[close] + start, needed[close]
        for k in range(0, len(first), 2**14):
            i, j = first[k : k + 2**14], second[k : k + 2**14]
            product = np.einsum(
                "ij,ij->i", pixels[i] - mean[i, np.newaxis], pixels[j] - mean[j, np.newaxis]
            )
            same = product >= needed[k : k + 2**14] * scale[i] * scale[j]
            found += zip(i[same].tolist(), j[same].tolist(), strict=True)
    return found


def _coarse(
    prints: npt.NDArray[np.uint8], mean: npt.NDArray[np.float32], scale: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Vectors [N, 65] whose products are upper bounds of the correlations.

    The centered, normed image is its 64 cell means plus a rest; the product of two rests is at
    most the product of their lengths (Cauchy-Schwarz), which are the last column.
    """
    cells = SIDE // _CELL
    means = prints.reshape(-1, cells, _CELL, cells, _CELL).mean(axis=(2, 4), dtype=np.float32)
    flat = scale == 0
    normed = (means.reshape(-1, cells * cells) - mean[:, np.newaxis]) * _CELL
    normed /= np.where(flat, 1, scale)[:, np.newaxis]
    rest = np.sqrt(np.maximum(0, 1 - np.square(normed).sum(axis=1)))
    rest[flat] = 0
    return np.column_stack([normed, rest])


def _is_drawing(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether most pixels of each row of ``pixels`` are of one gray level, as flat paper is."""
    flat = np.empty(len(pixels), bool)
    for i, row in enumerate(pixels):
        near = np.convolve(np.bincount(row, minlength=256), np.ones(_FLAT_LEVELS), "same")
        flat[i] = near.max() > _FLAT_SHARE * len(row)
    return flat


def _look_at(image: LabeledImage) -> tuple[str, Fingerprint | None]:
    if image.source == DRAWN and image.sha256:
        return image.sha256, None
    try:
        data = read_image_bytes(image.path)
    except ImageError:
        return image.sha256 or str(image.path), None
    digest = image.sha256 or hashlib.sha256(data).hexdigest()
    try:
        return digest, None if image.source == DRAWN else fingerprint(decode_gray(data, ""))
    except ImageError:
        return digest, None
