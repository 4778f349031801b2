"""What a network says about images that it was not trained on, for every image of a set.

The images are dealt to folds; for each fold the standard network learns the other folds and
predicts this one. All folds start from one network that has seen drawn characters only, so that
a short training suffices; no label of an image has a part in its own prediction.
"""

import contextlib
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet, classes_of
from edge_runtime.errors import EdgeGlyphError
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.preprocess import normalize_contrast, to_float
from semi_supervised.audit.folds import deal_folds
from semi_supervised.settings import Settings, TrainSettings
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.training.augment import CANVAS, halve, to_canvas
from semi_supervised.training.batches import make_batches
from semi_supervised.training.images import TrainingImages
from semi_supervised.training.losses import loss_labeled
from semi_supervised.training.networks import Discriminator

log = logging.getLogger(__name__)

_ROWS = 512  # images predicted at once
_WARMUP = 100  # steps


@dataclass(frozen=True)
class FoldSettings:
    """Out-of-fold training; the defaults were measured on 8,763 images (docs/data.md).

    steps : of each fold; as many as its images fill ``passes`` times, with ``least_steps``, where
        that is less
    drawn_per_class : drawn characters that the common start learns and that join every fold
    drawn_steps : of the common start
    real_share : of the pool of a fold, at the least: few images are repeated among the drawn ones
    """

    folds: int = 4
    seed: int = 1
    batch: int = 128
    steps: int = 1200
    least_steps: int = 300
    passes: int = 24  # about half of them are of drawn characters
    drawn_per_class: int = 120
    drawn_steps: int = 1200
    real_share: float = 0.25
    learning_rate: float = 2e-3
    dropout: float = 0.2
    label_smoothing: float = 0.05


def predict_out_of_fold(
    images: Sequence[LabeledImage],
    groups: Sequence[Sequence[int]],
    alphabet: Alphabet,
    settings: FoldSettings,
    workers: int | None = None,
) -> npt.NDArray[np.float32]:
    """Probabilities [N, classes] of N labeled images, by networks that have not seen them.

    The same images, labels and settings give the same numbers, whatever ``workers`` is: the
    processes that prepare batches, by default one a core.
    """
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    count = min(settings.folds, len(images))
    folds = deal_folds(images, groups, count, settings.seed)
    synthesizer = _synthesizer(alphabet, settings)
    drawn = settings.drawn_per_class * len(alphabet) if synthesizer else 0
    every = np.arange(len(images))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "canvases.npy"
        canvases = _write_canvases(path, images, synthesizer, drawn)
        classes = classes_of([image.label for image in images], alphabet)
        classes += [i % len(alphabet) for i in range(drawn)]
        start = np.arange(len(images), len(images) + drawn)
        pools = [_pool(every[folds != k], start, settings) for k in range(count)]
        steps = [_steps(int((folds != k).sum()), settings) for k in range(count)]
        total = sum(steps) + (settings.drawn_steps if drawn else 0)
        with tqdm(total=total, desc="check labels", unit="step", disable=None) as bar:
            learner = _Learner(path, np.array(classes, np.int32), len(alphabet), settings, bar)
            learner.workers = (os.cpu_count() or 1) if workers is None else workers
            if drawn:
                learner.learn(start, settings.drawn_steps, 0)
            weights = learner.weights()
            probabilities = np.empty((len(images), len(alphabet)), np.float32)
            for k, pool in enumerate(pools):
                learner.reset(weights)
                learner.learn(pool, steps[k], k + 1)
                mine = every[folds == k]
                probabilities[mine] = learner.predict(canvases[mine])
        del canvases  # before its file goes
    return probabilities


def _synthesizer(alphabet: Alphabet, settings: FoldSettings) -> Synthesizer | None:
    if settings.drawn_per_class == 0:
        return None
    try:
        return Synthesizer(alphabet, find_faces(alphabet), settings.seed)
    except EdgeGlyphError as error:
        log.warning("%s; checking labels without drawn characters", error)
        return None


def _write_canvases(
    path: Path, images: Sequence[LabeledImage], synthesizer: Synthesizer | None, drawn: int
) -> npt.NDArray[np.uint8]:
    """Canvases of the images and then of ``drawn`` drawn characters, uint8 [N, 64, 64] on disk."""
    shape = (len(images) + drawn, CANVAS, CANVAS)
    canvases = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    with tqdm(total=shape[0], desc="prepare", unit="image", disable=None, leave=False) as bar:
        for k, image in enumerate(images):
            canvases[k] = to_canvas(read_gray(image.path))
            bar.update()
        for i in range(drawn if synthesizer else 0):
            assert synthesizer is not None
            canvases[len(images) + i] = to_canvas(synthesizer.draw(i))
            bar.update()
    canvases.flush()
    return canvases


def _pool(
    real: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64], settings: FoldSettings
) -> npt.NDArray[np.int64]:
    """Positions to learn from, the real ones as often as gives them their share."""
    share = settings.real_share
    times = math.ceil(share / (1 - share) * len(drawn) / max(1, len(real)))
    return np.concatenate([np.tile(real, max(1, times)), drawn])


def _steps(real: int, settings: FoldSettings) -> int:
    enough = settings.passes * real // settings.batch
    return min(settings.steps, max(settings.least_steps, enough))


class _Learner:
    """The network, its optimizer and the canvases that it learns from."""

    workers = 0

    def __init__(
        self,
        canvases: Path,
        classes: npt.NDArray[np.int32],
        alphabet: int,
        settings: FoldSettings,
        bar: Any,
    ) -> None:
        self._images = (canvases, classes)
        self._settings = settings
        self._bar = bar
        self._network = Discriminator(alphabet, settings.dropout, settings.seed)
        self._optimizer = keras.optimizers.Adam(settings.learning_rate)
        self._optimizer.build(list(self._network.trainable_variables))
        self._fresh = [v.numpy() for v in self._optimizer.variables]

    def weights(self) -> list[npt.NDArray[np.float32]]:
        return [v.numpy() for v in self._network.variables]

    def reset(self, weights: Sequence[npt.NDArray[np.float32]]) -> None:
        """Go back to these weights, with an optimizer that remembers nothing."""
        for variable, value in zip(self._network.variables, weights, strict=True):
            variable.assign(value)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def learn(self, pool: npt.NDArray[np.int64], steps: int, part: int) -> None:
        """Train on the positions of ``pool``; ``part`` seeds the order and the changes."""
        s = self._settings
        train = TrainSettings(
            method="supervised",
            seed=s.seed * 1000 + part,
            batch_labeled=s.batch,
            batch_drawn=0,
        )
        images = TrainingImages(*self._images, pool, pool[:0], pool[:0])
        batches = make_batches(images, None, Settings(train=train), 0, self.workers)
        with contextlib.closing(batches):
            for step, batch in zip(range(steps), batches, strict=False):
                warm = min(1.0, (step + 1) / min(_WARMUP, steps))
                rate = s.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
                self._step(
                    tf.constant(batch.given),
                    tf.constant(batch.given_classes),
                    tf.constant(rate, tf.float32),
                    tf.constant([train.seed, step]),
                )
                self._bar.update()

    def predict(self, canvases: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities [N, classes] of canvases, uint8 [N, 64, 64], as inference sees them."""
        found = []
        for k in range(0, len(canvases), _ROWS):
            inputs = np.stack([normalize_contrast(halve(c)) for c in canvases[k : k + _ROWS]])
            found.append(self._softmax(tf.constant(to_float(inputs)[..., np.newaxis])).numpy())
        return np.concatenate(found)

    @tf.function(reduce_retracing=True)
    def _softmax(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self._network(inputs, training=False).logits)

    @tf.function(reduce_retracing=True)
    def _step(self, inputs: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> None:
        self._optimizer.learning_rate.assign(rate)
        x = tf.cast(inputs, tf.float32) * (2.0**-7)
        kept = self._network.dropout_mask(tf.shape(x)[0], seed)
        with tf.GradientTape() as tape:
            logits = self._network(x, training=True, kept=kept).logits
            loss = loss_labeled(logits, labels, self._settings.label_smoothing)
        weights = self._network.trainable_variables
        self._optimizer.apply(tape.gradient(loss, weights), weights)
