"""The batch of every training step: a function of settings, images and step alone.

Real images are augmented, characters drawn anew for each step, both by worker processes, so that
training does not wait for them. How many processes there are changes nothing in the batches.
"""

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import EdgeGlyphError, InputError
from edge_runtime.preprocess import SIDE, preprocess
from semi_supervised.augment import Augmenter
from semi_supervised.frequencies import symbol_frequencies
from semi_supervised.settings import Settings
from semi_supervised.synthesis import FIRST_UNSEEN, Synthesizer
from semi_supervised.training_images import TrainingImages

_AHEAD = 4  # batches prepared in advance by each process


@dataclass(frozen=True)
class Batch:
    """One step's images as network inputs.

    labeled : int8 [L, 32, 32, 1];  labels : int32 [L];  unlabeled : int8 [U, 32, 32, 1]
    """

    labeled: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]
    unlabeled: npt.NDArray[np.int8]


class BatchMaker:
    """Makes the batch of any step.

    Parameters
    ----------
    synthesizer : draws characters for the labeled part; None where none are wanted
    """

    def __init__(
        self, images: TrainingImages, synthesizer: Synthesizer | None, settings: Settings
    ) -> None:
        self._images = images
        self._synthesizer = synthesizer
        self._settings = settings
        self._canvases = np.load(images.canvases, mmap_mode="r")
        self._augmenter = Augmenter(settings.augment)
        if synthesizer is not None:
            self._frequencies = symbol_frequencies(
                synthesizer.alphabet, settings.train.drawn_frequencies
            )

    def batch(self, step: int) -> Batch:
        """Batch of ``step``, counted from 0."""
        train, images = self._settings.train, self._images
        drawn = drawn_per_batch(images, self._synthesizer, self._settings)
        labeled = self._pick(images.labeled, step, train.batch_labeled - drawn, stream=1)
        unlabeled = self._pick(images.unlabeled, step, train.batch_unlabeled, stream=3)
        seed = int(np.random.default_rng([train.seed, 4, step]).integers(2**31))
        inputs = self._augmenter.batch(self._canvases[np.concatenate([labeled, unlabeled])], seed)
        new, classes = self._draw(step, drawn)
        n = len(labeled)
        return Batch(
            np.concatenate([inputs[:n], new]),
            np.concatenate([images.classes[labeled], classes]),
            inputs[n:],
        )

    def _draw(self, step: int, count: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]:
        out = np.empty((count, SIDE, SIDE, 1), np.int8)
        if count == 0 or self._synthesizer is None:
            return out, np.empty(0, np.int32)
        symbols = len(self._frequencies)
        rng = np.random.default_rng([self._settings.train.seed, 2, step])
        classes = rng.choice(symbols, count, p=self._frequencies).astype(np.int32)
        for k, label in enumerate(classes):
            turn = FIRST_UNSEEN + step * count + k
            out[k] = preprocess(self._synthesizer.draw(turn * symbols + int(label)))
        return out, classes

    def _pick(
        self, pool: npt.NDArray[np.int64], step: int, count: int, stream: int
    ) -> npt.NDArray[np.int64]:
        """Positions step·count … of an endless series of shuffled passes over ``pool``."""
        if count == 0:
            return np.empty(0, int)
        positions = np.arange(step * count, (step + 1) * count)
        passes, offsets = np.divmod(positions, len(pool))
        picked = np.empty(count, int)
        for number in np.unique(passes):
            rng = np.random.default_rng([self._settings.train.seed, stream, number])
            here = passes == number
            picked[here] = pool[rng.permutation(len(pool))[offsets[here]]]
        return picked


def drawn_per_batch(
    images: TrainingImages, synthesizer: Synthesizer | None, settings: Settings
) -> int:
    """Drawn characters in the labeled part of a batch: all of it where no label is given.

    Raises
    ------
    InputError
        There are neither labels nor fonts: nothing can teach the alphabet.
    """
    train = settings.train
    if len(images.labeled):
        return round(train.drawn_share * train.batch_labeled) if synthesizer else 0
    if synthesizer is None:
        raise InputError(
            "no labeled image to train on, and no characters are drawn: give labels, or install "
            "fonts that have the alphabet and leave train.drawn_share above 0"
        )
    return train.batch_labeled


def make_batches(
    images: TrainingImages,
    synthesizer: Synthesizer | None,
    settings: Settings,
    start: int,
    workers: int,
) -> Generator[Batch]:
    """Batches of steps ``start``, ``start + 1``, … without end.

    Parameters
    ----------
    workers : processes that prepare batches ahead; 0 makes each in this process when asked for it
    """
    steps = itertools.count(start)
    if workers == 0:
        maker = BatchMaker(images, synthesizer, settings)
        yield from map(maker.batch, steps)
    pool = ProcessPoolExecutor(
        workers,
        # Not forked: a fork of a process with threads (TensorFlow's, OpenCV's) may hang.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(images, synthesizer, settings),
    )
    try:
        ready: deque[Future[Batch]] = deque()
        while True:
            while len(ready) < _AHEAD * workers:
                ready.append(pool.submit(_make, next(steps)))
            yield ready.popleft().result()
    except BrokenProcessPool:
        raise EdgeGlyphError(
            "a process that prepares batches died, perhaps for want of memory; training goes on "
            "from the last epoch when started again, with --workers 1 if it was memory"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_maker: BatchMaker  # of a worker process


def _start_worker(
    images: TrainingImages, synthesizer: Synthesizer | None, settings: Settings
) -> None:
    global _maker  # a process pool gives its functions no other place to keep what they need
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training process's to handle
    cv2.setNumThreads(1)
    _maker = BatchMaker(images, synthesizer, settings)


def _make(step: int) -> Batch:
    return _maker.batch(step)
