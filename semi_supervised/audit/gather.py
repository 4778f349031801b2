"""Look into every image once; what cannot be read is told, not raised."""

import concurrent.futures
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from edge_runtime.errors import ImageError
from edge_runtime.images import decode_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.duplicates import Fingerprint, fingerprint, group_same
from semi_supervised.splits import DRAWN


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read, and why."""

    image: LabeledImage
    reason: str


@dataclass(frozen=True)
class Gathered:
    """A set of images as it is on disk.

    images : those that can be read, with their hashes
    sizes : (width, height) of each, in pixels
    groups : positions of those that show the same picture, as `near_identical_groups`
    changed : positions of those whose bytes are no longer those that a manifest names
    """

    images: list[LabeledImage]
    sizes: list[tuple[int, int]]
    groups: list[list[int]]
    changed: list[int]
    unreadable: list[Unreadable]


@dataclass(frozen=True)
class _Seen:
    """What was seen of one image; ``problem`` where it cannot be read."""

    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    print: Fingerprint | None = None
    problem: str = ""


def gather(images: Sequence[LabeledImage]) -> Gathered:
    """Read, hash and measure images and find those that show the same picture."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        every = list(
            tqdm(
                pool.map(_look_into, images),
                desc="look",
                total=len(images),
                unit="image",
                disable=None,
                leave=False,
            )
        )
    pairs = list(zip(images, every, strict=True))
    good = [(image, seen) for image, seen in pairs if not seen.problem]
    hashed = [replace(image, sha256=seen.sha256) for image, seen in good]
    return Gathered(
        hashed,
        [seen.size for _, seen in good],
        group_same(hashed, [seen.sha256 for _, seen in good], [seen.print for _, seen in good]),
        [k for k, (image, seen) in enumerate(good) if image.sha256 not in ("", seen.sha256)],
        [Unreadable(image, seen.problem) for image, seen in pairs if seen.problem],
    )


def _look_into(image: LabeledImage) -> _Seen:
    try:
        data = read_image_bytes(image.path)
        gray = decode_gray(data, str(image.path))
    except ImageError as error:
        return _Seen(problem=str(error).removeprefix(f"{image.path}: "))
    height, width = gray.shape
    digest = hashlib.sha256(data).hexdigest()
    return _Seen(digest, (width, height), None if image.source == DRAWN else fingerprint(gray))
