"""The training loop: batches in, checkpoints, metrics and pictures out.

One step is one `tf.function`. All randomness of a step comes from (seed, step), so that training
resumed from a checkpoint continues exactly as if it had not stopped.
"""

import contextlib
import itertools
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import EdgeGlyphError
from edge_runtime.files import sha256_of, write_json
from edge_runtime.preprocess import FIX_POINT
from semi_supervised.batches import Batch, drawn_per_batch, make_batches
from semi_supervised.checkpoints import (
    append_history,
    read_history,
    restore_checkpoint,
    save_best,
    save_checkpoint,
    set_aside_if_different,
)
from semi_supervised.data import read_alphabet
from semi_supervised.losses import loss_fake, loss_feature_matching, loss_labeled, loss_real
from semi_supervised.networks import LATENT, Discriminator, Generator
from semi_supervised.settings import Settings, TrainSettings
from semi_supervised.sheets import write_png
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.training_images import (
    Evaluation,
    TrainingImages,
    load_evaluation,
    load_training_images,
)

log = logging.getLogger(__name__)

_LOSSES = ("loss_labeled", "loss_gan", "loss_generator")


class Gan(tf.Module):
    """Both networks, the averaged discriminator, the optimizers and the step counter."""

    def __init__(self, classes: int, train: TrainSettings) -> None:
        super().__init__("gan")
        self._train = train
        self.discriminator = Discriminator(classes, train.dropout, train.seed)
        self.averaged = Discriminator(classes, 0.0, train.seed)
        self.generator = Generator(train.generator_width, train.seed)
        self.optimizer = keras.optimizers.Adam(train.learning_rate, beta_1=0.9)
        self.generator_optimizer = keras.optimizers.Adam(train.generator_learning_rate, beta_1=0.5)
        self.optimizer.build(list(self.discriminator.trainable_variables))
        self.generator_optimizer.build(list(self.generator.trainable_variables))
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.best_accuracy = tf.Variable(
            -1.0, dtype=tf.float64, trainable=False, name="best_accuracy"
        )

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """All state that training needs to go on, by stable names."""
        parts: dict[str, Any] = {
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "generator": self.generator,
        }
        state = {
            f"{part}/{i:02d}": variable
            for part, module in parts.items()
            for i, variable in enumerate(module.variables)
        }
        for part, optimizer in (
            ("optimizer", self.optimizer),
            ("generator_optimizer", self.generator_optimizer),
        ):
            state |= {f"{part}/{i:02d}": v for i, v in enumerate(optimizer.variables)}
        return state | {"step": self.step, "best_accuracy": self.best_accuracy}

    @tf.function(reduce_retracing=True)
    def train_step(
        self, labeled: tf.Tensor, labels: tf.Tensor, unlabeled: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Update both networks on one batch of int8 inputs; return the three losses."""
        train = self._train
        seed = tf.stack([tf.constant(train.seed, tf.int64), self.step])
        # One schedule for both: a generator that still learns fast while the discriminator no
        # longer does collapses, and takes accuracy with it.
        rate = schedule(train, self.step)
        self.optimizer.learning_rate.assign(train.learning_rate * rate)
        self.generator_optimizer.learning_rate.assign(train.generator_learning_rate * rate)
        real = tf.concat([_to_float(labeled), _to_float(unlabeled)], axis=0)
        z = tf.random.stateless_normal([train.batch_fake, LATENT], seed)
        fake = self.generator(z, training=True)
        n_labeled, n_real = tf.shape(labeled)[0], tf.shape(real)[0]
        with tf.GradientTape() as tape:
            # One pass over real and fake together: batch norm sees in training the mixture whose
            # moving statistics it uses afterwards.
            both = tf.concat([real, tf.stop_gradient(fake)], axis=0)
            both += train.input_noise * tf.random.stateless_normal(tf.shape(both), seed + 2)
            out = self.discriminator(both, training=True, dropout_seed=seed + 1)
            cross_entropy = loss_labeled(out.logits[:n_labeled], labels, train.label_smoothing)
            gan = 0.5 * (loss_real(out.logits[:n_real]) + loss_fake(out.logits[n_real:]))
            loss = cross_entropy + train.weight_gan * gan
        weights = self.discriminator.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        target = tf.stop_gradient(out.features[:n_real])
        with tf.GradientTape() as tape:
            drawn = self.discriminator(self.generator(z, training=True), training=False)
            matching = loss_feature_matching(target, drawn.features)
        weights = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(matching, weights), weights)
        self._average()
        self.step.assign_add(1)
        return cross_entropy, gan, matching

    def _average(self) -> None:
        # Early on the average follows faster: it should not remember the random start.
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self._train.averaging, (1 + step) / (10 + step))
        pairs = zip(self.averaged.variables, self.discriminator.variables, strict=True)
        for mean, value in pairs:
            mean.assign_add((1 - decay) * (value - mean))

    @tf.function(reduce_retracing=True)
    def evaluate_batch(self, inputs: tf.Tensor) -> tf.Tensor:
        """Logits of the averaged network in inference mode, for int8 inputs."""
        return self.averaged(_to_float(inputs), training=False).logits

    @tf.function(reduce_retracing=True)
    def draw(self, z: tf.Tensor) -> tf.Tensor:
        """Images of latent vectors, in inference mode."""
        return self.generator(z, training=False)


def schedule(train: TrainSettings, step: tf.Tensor) -> tf.Tensor:
    """Share of the peak learning rates: linear warm-up, then half a cosine down to zero."""
    at = tf.cast(step, tf.float32)
    warmup = tf.minimum(1.0, (at + 1) / train.warmup_steps)
    progress = tf.minimum(1.0, at / train.steps)
    return warmup * 0.5 * (1 + tf.cos(math.pi * progress))


def _to_float(inputs: tf.Tensor) -> tf.Tensor:
    return tf.cast(inputs, tf.float32) * 2.0**-FIX_POINT


@dataclass(frozen=True)
class TrainResult:
    """The end of a training: best validation accuracy and where the weights are."""

    best_accuracy: float
    best_epoch: int
    weights: Path


def train(
    manifest: Path, output: Path, settings: Settings, workers: int | None = None
) -> TrainResult:
    """Train, or go on training, until the preset's last epoch.

    ``workers`` processes prepare the batches, by default one a core; their number changes nothing
    in the result.

    Writes into ``output``: ``best.npz`` (averaged weights of the best epoch on validation),
    ``checkpoint.npz`` (everything, to resume), ``metrics.jsonl``, ``generated/epoch-NNN.png``,
    ``training.json`` (settings and hashes) and at the end ``result.json``. A finished training is
    left alone. If the settings or the data changed, the earlier folder is set aside as
    ``output.1``, ``output.2`` and so on.

    Raises
    ------
    InputError
        The manifest or an image of it is missing or changed; a checkpoint is damaged.
    EdgeGlyphError
        The losses became infinite.
    """
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.train.seed)
    alphabet = read_alphabet(manifest)
    synthesizer = _synthesizer(alphabet, settings)
    identity = {
        "schema": 1,
        "drawing": synthesizer.identity if synthesizer else None,
        "manifest_sha256": sha256_of(manifest),
        "alphabet": list(alphabet.symbols),
        "settings": {k: v for k, v in settings.as_dict().items() if k != "data"},
    }
    set_aside_if_different(output, identity)
    write_json(output / "training.json", identity)
    gan = Gan(len(alphabet), settings.train)
    restore_checkpoint(output / "checkpoint.npz", gan.variables_by_name())
    epoch = int(gan.step.numpy()) // settings.train.steps_per_epoch
    if epoch < settings.train.epochs:
        with tempfile.TemporaryDirectory() as folder:
            images = load_training_images(manifest, alphabet, Path(folder))
            validation = load_evaluation(manifest, alphabet, "validation")
            log.info("%s", _describe(images, synthesizer, validation, settings))
            start = epoch * settings.train.steps_per_epoch
            processes = (os.cpu_count() or 1) if workers is None else workers
            batches = make_batches(images, synthesizer, settings, start, processes)
            with contextlib.closing(batches):
                _train_epochs(batches, validation, alphabet, output, settings.train, gan)
    history = read_history(output / "metrics.jsonl")
    best = max(history, key=lambda row: (row["validation_accuracy"], -row["epoch"]))
    write_json(
        output / "result.json",
        identity
        | {
            "best": best,
            "weights_sha256": sha256_of(output / "best.npz"),
            "seconds": round(sum(row["seconds"] for row in history)),
        },
    )
    return TrainResult(best["validation_accuracy"], best["epoch"], output / "best.npz")


def _synthesizer(alphabet: Alphabet, settings: Settings) -> Synthesizer | None:
    """Draws for training, unless nothing is to be drawn or no font has the alphabet."""
    if settings.train.drawn_share == 0:
        return None
    try:
        return Synthesizer(alphabet, find_faces(alphabet), settings.train.seed)
    except EdgeGlyphError as error:
        log.warning("%s; going on with the given images alone", error)
        return None


def _describe(
    images: TrainingImages,
    synthesizer: Synthesizer | None,
    validation: Evaluation,
    settings: Settings,
) -> str:
    drawn = drawn_per_batch(images, synthesizer, settings)
    return (
        f"training on {len(images.labeled):,} labeled and {images.hidden_labels:,} unlabeled images"
        f"{f', {drawn} of {settings.train.batch_labeled} in a batch newly drawn' if drawn else ''}"
        f"; validating on {len(validation.labels):,}"
    )


def _train_epochs(
    batches: Iterator[Batch],
    validation: Evaluation,
    alphabet: Alphabet,
    output: Path,
    train: TrainSettings,
    gan: Gan,
) -> None:
    done = int(gan.step.numpy())
    if done:
        log.info("resuming after epoch %d", done // train.steps_per_epoch)
    with tqdm(total=train.steps, initial=done, desc="train", unit="step", disable=None) as bar:
        for epoch in range(done // train.steps_per_epoch + 1, train.epochs + 1):
            started = time.perf_counter()
            losses = _run_epoch(gan, batches, train.steps_per_epoch, bar)
            row = {"epoch": epoch, **losses, **_validate(gan, validation)}
            row["seconds"] = round(time.perf_counter() - started, 2)
            better = row["validation_accuracy"] > float(gan.best_accuracy.numpy())
            if better:
                gan.best_accuracy.assign(row["validation_accuracy"])
                save_best(output / "best.npz", gan.averaged, alphabet, epoch)
            # The history first: a checkpoint never claims an epoch that has no line.
            append_history(output / "metrics.jsonl", row)
            save_checkpoint(output / "checkpoint.npz", gan.variables_by_name())
            write_png(output / "generated" / f"epoch-{epoch:03d}.png", _sheet(gan))
            bar.write(_line(row, train.epochs, better), file=sys.stderr)


def _run_epoch(gan: Gan, batches: Iterator[Batch], steps: int, bar: Any) -> dict[str, float]:
    total = np.zeros(len(_LOSSES))
    for batch in itertools.islice(batches, steps):
        losses = gan.train_step(
            tf.constant(batch.labeled), tf.constant(batch.labels), tf.constant(batch.unlabeled)
        )
        total += [float(loss.numpy()) for loss in losses]
        bar.update()
    if not np.isfinite(total).all():
        raise EdgeGlyphError(
            f"training diverged at step {int(gan.step.numpy())}: a loss is not finite; "
            "lower it with --set train.learning_rate=…"
        )
    return dict(zip(_LOSSES, (total / steps).round(6).tolist(), strict=True))


def _validate(gan: Gan, validation: Evaluation, batch: int = 256) -> dict[str, float]:
    """Accuracy and negative log-likelihood over every validation image, the last batch too."""
    correct, nll = 0, 0.0
    for k in range(0, len(validation.labels), batch):
        logits = gan.evaluate_batch(tf.constant(validation.inputs[k : k + batch])).numpy()
        labels = validation.labels[k : k + batch]
        correct += int((logits.argmax(axis=1) == labels).sum())
        log_total = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))
        own = logits[np.arange(len(labels)), labels] - logits.max(axis=1)
        nll += float((log_total - own).sum())
    n = len(validation.labels)
    return {
        "validation_accuracy": correct / n,
        "validation_nll": round(nll / n, 6),
        "validation_n": n,
    }


def _line(row: dict[str, Any], epochs: int, better: bool) -> str:
    return (
        f"epoch {row['epoch']:3d}/{epochs}  labeled {row['loss_labeled']:.3f}  "
        f"gan {row['loss_gan']:.3f}  generator {row['loss_generator']:.4f}  "
        f"validation {100 * row['validation_accuracy']:.2f} %  {row['seconds']:.0f} s"
        f"{'  best' if better else ''}"
    )


def _sheet(gan: Gan, rows: int = 6, columns: int = 16) -> np.ndarray:
    """Characters that the generator draws from fixed latent vectors, as one gray picture."""
    z = tf.random.stateless_normal([rows * columns, LATENT], [0, 0])
    images = gan.draw(z).numpy().reshape(rows, columns, 32, 32)
    levels = np.clip(images * 128 + 128, 0, 255).astype(np.uint8)
    return levels.transpose(0, 2, 1, 3).reshape(rows * 32, columns * 32)
