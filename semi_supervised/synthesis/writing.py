"""Fixed sets of drawn images as files, by as many processes as there are cores."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2

from edge_runtime.files import write_bytes
from edge_runtime.images import Gray

_CHUNK = 256


class Drawing(Protocol):
    """A seeded series of images, each with a place in a folder."""

    def draw(self, i: int) -> Gray:
        """Draw image ``i``: uint8 [height, width]."""
        ...

    def file_name(self, i: int) -> str:
        """Name of image ``i``'s file, relative to the set's folder."""
        ...


def write_images(drawing: Drawing, numbers: Sequence[int], folder: Path) -> Iterator[Path]:
    """Write images of these numbers below ``folder``; yield each path when its file is there.

    Images that exist already are kept, so that an interrupted run goes on where it was. The bytes
    do not depend on the number of processes.
    """
    paths = {i: folder / drawing.file_name(i) for i in numbers}
    missing = [i for i, path in paths.items() if not path.exists()]
    new = set(missing)
    yield from (path for i, path in paths.items() if i not in new)
    chunks = [missing[k : k + _CHUNK] for k in range(0, len(missing), _CHUNK)]
    workers = min(os.cpu_count() or 1, len(chunks) // 4)
    jobs = [(drawing, chunk, folder) for chunk in chunks]
    if workers < 2:  # starting processes takes longer than drawing a thousand characters
        for job in jobs:
            yield from _write_some(job)
        return
    # Not forked: a fork of a process with threads (TensorFlow's, OpenCV's) may hang.
    with multiprocessing.get_context("spawn").Pool(workers, cv2.setNumThreads, (1,)) as pool:
        for done in pool.imap(_write_some, jobs):
            yield from done


def _write_some(job: tuple[Drawing, Sequence[int], Path]) -> list[Path]:
    drawing, indices, folder = job
    written = []
    for i in indices:
        path = folder / drawing.file_name(i)
        _, encoded = cv2.imencode(".png", drawing.draw(i), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        write_bytes(path, encoded.tobytes())
        written.append(path)
    return written
