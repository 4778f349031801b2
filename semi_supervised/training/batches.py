"""The batch of every training step: a function of settings, images and step alone.

Real images are augmented, characters drawn anew for each step, both by worker processes, so that
training does not wait for them. How many processes there are changes nothing in the batches.
"""

import itertools
import multiprocessing
import os
import signal
import threading
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
from semi_supervised.frequencies import expected_frequencies
from semi_supervised.settings import Settings, TrainSettings
from semi_supervised.synthesis import FIRST_UNSEEN, Synthesizer
from semi_supervised.training.augment import Augmenter, weak_batch
from semi_supervised.training.images import TrainingImages

_AHEAD = 4  # batches prepared in advance by each process
_MOST_DRAWN = 1 << 16  # characters of one step's batch

Inputs = npt.NDArray[np.int8]
Classes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Batch:
    """One step's images as network inputs, int8 [n, 32, 32, 1] each; any n may be 0.

    given : with their classes, int32 [n];  drawn : likewise
    weak, strong : two views of the same unlabeled images; weak ones for consistency alone
    negatives : non-characters
    """

    given: Inputs
    given_classes: Classes
    drawn: Inputs
    drawn_classes: Classes
    weak: Inputs
    strong: Inputs
    negatives: Inputs


@dataclass(frozen=True)
class Counts:
    """How many images of each kind a batch holds."""

    given: int
    drawn: int
    unlabeled: int
    negatives: int


class BatchMaker:
    """Makes the batch of any step.

    Parameters
    ----------
    synthesizer : draws characters; None where none are wanted
    """

    def __init__(
        self, images: TrainingImages, synthesizer: Synthesizer | None, settings: Settings
    ) -> None:
        self._images = images
        self._synthesizer = synthesizer
        self._settings = settings
        self._canvases = np.load(images.canvases, mmap_mode="r")
        self._augmenter = Augmenter(settings.augment)
        self._shares = _balanced(images.classes[images.labeled], settings.train.class_balance)
        if synthesizer is not None:
            frequencies = expected_frequencies(
                synthesizer.alphabet, settings.train.drawn_frequencies, images.natural_labels
            )
            if len(synthesizer.drawable) < len(frequencies):  # a font for each symbol is not there
                symbols = synthesizer.alphabet.symbols
                frequencies *= np.array([s in synthesizer.drawable for s in symbols])
                frequencies /= frequencies.sum()
            self._frequencies = frequencies

    def batch(self, step: int) -> Batch:
        """Batch of ``step``, counted from 0."""
        images, seed = self._images, self._settings.train.seed
        counts = batch_counts(images, self._synthesizer, self._settings, step)
        given = self._pick_labeled(step, counts.given)
        unlabeled = self._pick(images.unlabeled, step, counts.unlabeled, stream=3)
        negatives = self._pick(images.negatives, step, counts.negatives, stream=5)
        changed = np.concatenate([given, unlabeled, negatives])
        strong_seed, weak_seed = np.random.default_rng([seed, 4, step]).integers(2**31, size=2)
        inputs = self._augmenter.batch(self._canvases[changed], int(strong_seed))
        parts = np.split(inputs, [len(given), len(given) + len(unlabeled)])
        drawn, drawn_classes = self._draw(step, counts.drawn)
        self._augmenter.turn(drawn, int(weak_seed))
        guessed = unlabeled if self._settings.train.has_consistency else unlabeled[:0]
        return Batch(
            parts[0],
            images.classes[given],
            drawn,
            drawn_classes,
            weak_batch(self._canvases[guessed], int(weak_seed)),
            parts[1],
            parts[2],
        )

    def _draw(self, step: int, count: int) -> tuple[Inputs, Classes]:
        out = np.empty((count, SIDE, SIDE, 1), np.int8)
        if count == 0 or self._synthesizer is None:
            return out, np.empty(0, np.int32)
        symbols = len(self._frequencies)
        rng = np.random.default_rng([self._settings.train.seed, 2, step])
        classes = rng.choice(symbols, count, p=self._frequencies).astype(np.int32)
        for k, label in enumerate(classes):
            turn = FIRST_UNSEEN + step * _MOST_DRAWN + k
            out[k] = preprocess(self._synthesizer.draw(turn * symbols + int(label)))
        return out, classes

    def _pick_labeled(self, step: int, count: int) -> npt.NDArray[np.int64]:
        labeled = self._images.labeled
        if self._shares is None:
            return self._pick(labeled, step, count, stream=1)
        rng = np.random.default_rng([self._settings.train.seed, 1, step])
        return labeled[rng.choice(len(labeled), count, p=self._shares)]

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


def _balanced(classes: Classes, balance: float) -> npt.NDArray[np.float64] | None:
    """Share of each image when a class is drawn in proportion to its number to 1 - ``balance``.

    None where that is as often as any other.
    """
    if balance == 0 or len(classes) == 0:
        return None
    numbers = np.bincount(classes)[classes]
    weights = numbers ** -float(balance)
    return np.asarray(weights / weights.sum())


def batch_counts(
    images: TrainingImages, synthesizer: Synthesizer | None, settings: Settings, step: int
) -> Counts:
    """Tell the parts of a step's batch.

    Drawn characters take the place of given ones where no label is given, during pre-training and
    beyond `most_passes` over few given ones; given ones that of drawn ones where nothing can draw.
    Nothing unlabeled is used in pre-training and before the share `unlabeled_from` of the steps.

    Raises
    ------
    InputError
        There are neither labels nor fonts: nothing can teach the alphabet.
    """
    train = settings.train
    if synthesizer is None and len(images.labeled) == 0:
        raise InputError(
            "no labeled image to train on, and no characters are drawn: give labels, or install "
            "fonts that have the alphabet and leave train.batch_drawn above 0"
        )
    both = train.batch_labeled + train.batch_drawn
    pretraining = step < train.pretrain_steps and synthesizer is not None
    joined = uses_unlabeled(images, train) and not pretraining and step >= train.joins
    if synthesizer is None:
        drawn = 0
    elif pretraining or len(images.labeled) == 0:
        drawn = both
    else:
        drawn = both - min(train.batch_labeled, _most_given(images, train))
    return Counts(
        both - drawn,
        drawn,
        train.batch_unlabeled if joined else 0,
        train.batch_negatives if len(images.negatives) else 0,
    )


def uses_unlabeled(images: TrainingImages, train: TrainSettings) -> bool:
    """Whether images without labels take part in a training at all."""
    return train.method != "supervised" and len(images.unlabeled) > 0


def _most_given(images: TrainingImages, train: TrainSettings) -> int:
    """Most given images of a step by the limit on passes over them; one at least."""
    if train.most_passes == 0:
        return train.batch_labeled
    steps = train.steps - train.pretrain_steps
    return max(1, round(train.most_passes * len(images.labeled) / steps))


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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _maker = BatchMaker(images, synthesizer, settings)


def _end_with_parent() -> None:
    """End this process when the training process is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(step: int) -> Batch:
    return _maker.batch(step)
