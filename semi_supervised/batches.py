"""Training images in memory, and the batch of every step, a function of seed and step alone."""

import hashlib
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.errors import InputError
from edge_runtime.images import Gray, decode_gray, read_image_bytes
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from edge_runtime.preprocess import preprocess
from semi_supervised.augment import Augmenter, to_canvas
from semi_supervised.data import DRAWN
from semi_supervised.settings import Settings

_AHEAD = 8  # batches prepared in advance


@dataclass(frozen=True)
class Batch:
    """One step's images as network inputs.

    labeled : int8 [L, 32, 32, 1];  labels : int32 [L];  unlabeled : int8 [U, 32, 32, 1]
    """

    labeled: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]
    unlabeled: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Evaluation:
    """A split for measuring: int8 inputs [N, 32, 32, 1] and classes int32 [N]."""

    inputs: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int32]


class TrainingImages:
    """The training split: labeled, unlabeled and drawn images, as 64×64 canvases."""

    def __init__(self, manifest: Path, alphabet: Alphabet, settings: Settings) -> None:
        images = find_labeled_images(manifest, alphabet, "train")
        self._settings = settings
        self._canvases = np.stack([to_canvas(gray) for gray in _read(images)])
        self._classes = np.array(classes_of([i.label for i in images], alphabet), np.int32)
        given = [k for k, image in enumerate(images) if image.source != DRAWN]
        added = [k for k, image in enumerate(images) if image.source == DRAWN]
        if not given:  # nothing but drawn characters: they are the data, not an addition
            given, added = added, []
        kept = self._with_labels(given)
        self.labeled = np.array(kept)
        self.drawn = np.array(added, int)
        hidden = sorted(set(given) - set(kept))
        # With all labels given there is nothing unlabeled: then the same images serve as real ones.
        self.unlabeled = np.array(hidden or kept)
        self.hidden_labels = len(hidden)

    def _with_labels(self, given: Sequence[int]) -> list[int]:
        per_class = self._settings.train.labels_per_class
        if per_class == "all":
            return list(given)
        members: dict[int, list[int]] = defaultdict(list)
        rng = np.random.default_rng([self._settings.train.seed, 1])
        for k in rng.permutation(np.array(given)):
            members[int(self._classes[k])].append(int(k))
        return sorted(k for group in members.values() for k in group[:per_class])

    def batches(self, start: int) -> Iterator[Batch]:
        """Batches of steps ``start``, ``start + 1``, … prepared ahead by a thread."""
        ready: queue.Queue[Batch | BaseException] = queue.Queue(_AHEAD)
        stop = threading.Event()

        def prepare() -> None:
            augmenter = Augmenter(self._settings.augment)
            step = start
            try:
                while not stop.is_set():
                    _put(ready, self._batch(step, augmenter), stop)
                    step += 1
            except BaseException as error:  # raised again where the batch is wanted
                _put(ready, error, stop)

        thread = threading.Thread(target=prepare, name="augment", daemon=True)
        thread.start()
        try:
            while True:
                batch = ready.get()
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
        finally:
            stop.set()
            thread.join()

    def _batch(self, step: int, augmenter: Augmenter) -> Batch:
        train = self._settings.train
        drawn = round(train.drawn_share * train.batch_labeled) if len(self.drawn) else 0
        labeled = np.concatenate(
            [
                self._pick(self.labeled, step, train.batch_labeled - drawn, stream=1),
                self._pick(self.drawn, step, drawn, stream=2),
            ]
        )
        unlabeled = self._pick(self.unlabeled, step, train.batch_unlabeled, stream=3)
        chosen = np.concatenate([labeled, unlabeled])
        seed = int(np.random.default_rng([train.seed, 4, step]).integers(2**31))
        inputs = augmenter.batch(self._canvases[chosen], seed)
        n = len(labeled)
        return Batch(inputs[:n], self._classes[labeled], inputs[n:])

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


def load_evaluation(manifest: Path, alphabet: Alphabet, split: str) -> Evaluation:
    """All images of a split, preprocessed exactly as on the board."""
    images = find_labeled_images(manifest, alphabet, split)
    inputs = np.stack([preprocess(gray) for gray in _read(images)])
    return Evaluation(inputs, np.array(classes_of([i.label for i in images], alphabet), np.int32))


def _read(images: Sequence[LabeledImage]) -> Iterator[Gray]:
    """Decode images, refusing one whose bytes are no longer those of the manifest."""
    for image in tqdm(images, desc="read", unit="image", disable=None, leave=False):
        data = read_image_bytes(image.path)
        if image.sha256 and hashlib.sha256(data).hexdigest() != image.sha256:
            raise InputError(f"{image.path}: changed since `make data`; run it again")
        yield decode_gray(data, str(image.path))


def _put(
    ready: "queue.Queue[Batch | BaseException]", item: Batch | BaseException, stop: threading.Event
) -> None:
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.2)
            return
        except queue.Full:
            continue
