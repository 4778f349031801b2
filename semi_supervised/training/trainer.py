"""The training loop: batches in, checkpoints, metrics and pictures out.

All randomness of a step comes from (seed, step), so that training resumed from a checkpoint
continues exactly as if it had not stopped.
"""

import contextlib
import itertools
import logging
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tqdm import tqdm

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import EdgeGlyphError, InputError
from edge_runtime.files import sha256_of, write_json
from edge_runtime.look_alikes import numbers_of_sets
from semi_supervised.data import chooses_epoch, read_alphabet
from semi_supervised.frequencies import expected_frequencies
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.settings import (
    WITHOUT_GENERATOR,
    Settings,
    TeacherSettings,
    TrainSettings,
)
from semi_supervised.sheets import write_png
from semi_supervised.sources import find_weights
from semi_supervised.synthesis import Synthesizer
from semi_supervised.training.batches import Batch, batch_counts, make_batches, uses_unlabeled
from semi_supervised.training.checkpoints import (
    append_history,
    load_best,
    read_history,
    restore_checkpoint,
    save_best,
    save_checkpoint,
    set_aside_if_different,
)
from semi_supervised.training.fake_quantization import FakeQuantizer
from semi_supervised.training.identity import find_synthesizer, training_identity
from semi_supervised.training.images import (
    Evaluation,
    TrainingImages,
    load_evaluation,
    load_training_images,
)
from semi_supervised.training.networks import LATENT, Discriminator, widened
from semi_supervised.training.replicas import Replicas, check_shares
from semi_supervised.training.start import Start, read_start
from semi_supervised.training.step import Learner
from semi_supervised.training.tensorboard import Events

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """The end of a training: best validation accuracy and where the weights are."""

    best_accuracy: float
    best_epoch: int
    weights: Path


def train(
    manifest: Path,
    output: Path,
    settings: Settings,
    workers: int | None = None,
    start: Path | None = None,
    quantization: Path | None = None,
    teacher: Path | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    devices: int = 1,
) -> TrainResult:
    """Train, or go on training, until the preset's last epoch; before it the teacher, if any.

    ``workers`` processes prepare the batches, by default one a core; their number changes nothing
    in the result. ``start`` is a model's folder or ``best.npz``, of this alphabet or another, whose
    weights are the first ones. ``quantization`` is a ``quantization.json`` of the start: the
    network is rounded at its fix points in training and validation, as the DPU does. ``teacher`` is
    a model like ``start``, of this alphabet, whose answers are learned; none is trained then.
    ``watch`` is called with each epoch's figures once these are on disk; what it raises ends the
    training. Of several ``devices`` each learns from its share of every batch, to the same result
    but for rounding.

    Writes into ``output``: ``best.npz`` (averaged weights of the best epoch on validation; of
    the last epoch where held-out images are to measure, not to choose: protocols few and budget),
    ``checkpoint.npz`` (everything, to resume), ``metrics.jsonl``, ``tensorboard/``,
    ``generated/epoch-NNN.png``, ``training.json`` (settings and hashes) and at the end
    ``result.json``. A teacher has a folder like it, ``output-teacher``. A finished training is left
    alone. If the settings or the data changed, the earlier folder is set aside as ``output.1``,
    ``output.2`` and so on.

    Raises
    ------
    InputError
        The manifest or an image of it is missing or changed; a checkpoint is damaged; a start
        or teacher that is missing, damaged, of other channels or symbols; a quantization without
        a start.
    EdgeGlyphError
        The losses became infinite.
    """
    if quantization and not start:
        raise InputError("training for a quantization goes on from its network: name that as start")
    given: dict[str, Any] = {"start": start, "quantization": quantization, "watch": watch}
    given["devices"] = devices
    if teacher:
        teacher = find_weights(teacher)
    elif settings.teacher.epochs:
        folder = output.with_name(f"{output.name}-teacher")
        trained = _train(manifest, folder, _settings_of_teacher(settings), workers, devices=devices)
        log.info("teacher: %.2f %% on validation", 100 * trained.best_accuracy)
        teacher = trained.weights
    return _train(manifest, output, settings, workers, teacher=teacher, **given)


def _settings_of_teacher(settings: Settings) -> Settings:
    """The classifier's own, but wider and without a generator, which serves the gate alone."""
    train = replace(
        settings.train,
        method=WITHOUT_GENERATOR[settings.train.method],
        epochs=settings.teacher.epochs,
        width=settings.train.width * settings.teacher.width,
        channels=widened(settings.teacher.width, settings.train.channels),
        pretrain_epochs=min(settings.train.pretrain_epochs, settings.teacher.epochs - 1),
    )
    return replace(settings, train=train, teacher=TeacherSettings())


def _train(
    manifest: Path,
    output: Path,
    settings: Settings,
    workers: int | None,
    teacher: Path | None = None,
    start: Path | None = None,
    quantization: Path | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    devices: int = 1,
) -> TrainResult:
    check_shares(settings.train, devices)
    replicas = Replicas(devices)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.train.seed)
    alphabet = read_alphabet(manifest)
    synthesizer = find_synthesizer(manifest, settings)
    negatives = manifest.with_name(NEGATIVES_FILE)
    first = read_start(start) if start else None
    chooses = chooses_epoch(manifest)
    others = {
        "teacher": teacher,
        "quantization": quantization,
        "start": first.path if first else None,
    }
    identity = training_identity(manifest, settings, synthesizer, others)
    if devices > 1:
        identity["devices"] = devices  # sums in another order: not the same to the last bit
    set_aside_if_different(output, identity)
    write_json(output / "training.json", identity)
    if not (output / "result.json").exists():
        with tempfile.TemporaryDirectory() as folder:
            images = load_training_images(
                manifest, alphabet, Path(folder), negatives if negatives.exists() else None
            )
            validation = load_evaluation(manifest, alphabet, "validation")
            kind = settings.train.drawn_frequencies
            expected = expected_frequencies(alphabet, kind, images.natural_labels)
            sets = membership(alphabet) if settings.train.merge_look_alikes else None
            network = _read_teacher(teacher, alphabet) if teacher else None
            fake = FakeQuantizer.read(quantization) if quantization else None
            if first:
                known = first.shared(alphabet)
                settings = _going_on(settings, knows_all=known == alphabet.symbols)
            restarts = settings.train.restart > 0 and uses_unlabeled(images, settings.train)
            with replicas.scope():
                learner = Learner(settings, expected, sets, network, fake, replicas, restarts)
            if first:
                _start(learner, first, alphabet)
            run = _Run(learner, alphabet, validation, output, chooses, watch)
            run.restore()
            processes = (os.cpu_count() or 1) if workers is None else workers
            batches = make_batches(images, synthesizer, settings, run.done, processes)
            log.info("%s", _describe(images, synthesizer, validation, settings))
            with contextlib.closing(batches):
                run.epochs(batches, settings.train)
    history = read_history(output / "metrics.jsonl")
    best = max(history, key=lambda row: (row["validation_accuracy"], -row["epoch"]))
    best = best if chooses else history[-1]
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


def _going_on(settings: Settings, knows_all: bool) -> Settings:
    """The same for a network that knows something already: a lower rate, so as not to wash it out.

    Where it knows all symbols, its guesses are good ones, and unlabeled images need not wait; in
    two courses they still have the second.
    """
    train = replace(
        settings.train, learning_rate=settings.train.learning_rate * settings.train.start_rate
    )
    if knows_all and not train.restart:
        train = replace(train, unlabeled_from=0.0)
    return replace(settings, train=train)


def _start(learner: Learner, start: Start, alphabet: Alphabet) -> None:
    for network in (learner.discriminator, learner.averaged):
        start.copy_to(network, alphabet)
    log.info(
        "starting from %s, which knows %d of the %d symbols",
        start.path,
        len(start.shared(alphabet)),
        len(alphabet),
    )


def _read_teacher(path: Path, alphabet: Alphabet) -> Discriminator:
    network, own, _ = load_best(path)
    if own != alphabet:
        raise InputError(f"{path}: cannot teach, for its symbols are not those to be learned")
    return network


def membership(alphabet: Alphabet) -> npt.NDArray[np.float32]:
    """Which classes look alike, float32 [classes, sets]: 1 where a class belongs to a set."""
    numbers = numbers_of_sets(alphabet)
    return np.eye(max(numbers) + 1, dtype=np.float32)[numbers]


def _describe(
    images: TrainingImages,
    synthesizer: Synthesizer | None,
    validation: Evaluation,
    settings: Settings,
) -> str:
    train = settings.train
    counts = batch_counts(images, synthesizer, settings, train.steps - 1)
    return (
        f"{train.method} on {len(images.labeled):,} labeled images, {len(images.unlabeled):,} "
        f"unlabeled ones and {len(images.negatives):,} non-characters; a batch: "
        f"{counts.given} labeled, {counts.drawn} newly drawn, {counts.unlabeled} unlabeled, "
        f"{counts.negatives} non-characters; validating on {len(validation.labels):,}"
    )


class _Run:
    """One training: its state, its validation images and the folder that it writes into."""

    def __init__(
        self,
        learner: Learner,
        alphabet: Alphabet,
        validation: Evaluation,
        output: Path,
        chooses: bool,
        watch: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._learner = learner
        self._alphabet = alphabet
        self._validation = validation
        self._output = output
        self._chooses = chooses  # the best epoch on validation; else keeps the last
        self._watch = watch

    @property
    def done(self) -> int:
        """Steps taken."""
        return int(self._learner.step.numpy())

    def restore(self) -> None:
        """Go back to the last checkpoint, if there is one."""
        restore_checkpoint(self._output / "checkpoint.npz", self._learner.variables_by_name())

    def epochs(self, batches: Iterator[Batch], train: TrainSettings) -> None:
        """Train from the next epoch to the last."""
        done = self.done // train.steps_per_epoch
        if done:
            log.info("resuming after epoch %d", done)
        events = Events(self._output / "tensorboard")
        total = train.steps
        with tqdm(total=total, initial=self.done, desc="train", unit="step", disable=None) as bar:
            for epoch in range(done + 1, train.epochs + 1):
                started = time.perf_counter()
                row = {"epoch": epoch, **self._epoch(batches, train.steps_per_epoch, bar)}
                row |= _validate(self._learner, self._validation)
                row["seconds"] = round(time.perf_counter() - started, 2)
                better = self._keep(row, events)
                bar.write(_line(row, train.epochs, self._chooses and better), file=sys.stderr)
                if self._watch:
                    self._watch(row)

    def _epoch(self, batches: Iterator[Batch], steps: int, bar: Any) -> dict[str, float]:
        """Take an epoch's steps; return the mean of each loss over them."""
        total: dict[str, float] = defaultdict(float)
        for batch in itertools.islice(batches, steps):
            for name, loss in self._learner.learn(batch).items():
                total[name] += loss
            bar.update()
        if not np.isfinite(list(total.values())).all():
            raise EdgeGlyphError(
                f"training diverged at step {self.done}: a loss is not finite; "
                "lower it with --set train.learning_rate=…"
            )
        return {f"loss_{name}": round(value / steps, 6) for name, value in total.items()}

    def _keep(self, row: dict[str, Any], events: Events) -> bool:
        """Write what an epoch leaves; return whether its weights are the ones to use so far."""
        learner, output = self._learner, self._output
        better = row["validation_accuracy"] > float(learner.best_accuracy.numpy())
        if better or not self._chooses:
            learner.best_accuracy.assign(row["validation_accuracy"])
            save_best(output / "best.npz", learner.averaged, self._alphabet, row["epoch"])
        # The history first: a checkpoint never claims an epoch that has no line.
        append_history(output / "metrics.jsonl", row)
        sheet = _sheet(learner) if hasattr(learner, "generator") else None
        if sheet is not None:
            write_png(output / "generated" / f"epoch-{row['epoch']:03d}.png", sheet)
        events.write(row, sheet)
        save_checkpoint(output / "checkpoint.npz", learner.variables_by_name())
        return bool(better)


def _validate(learner: Learner, validation: Evaluation, batch: int = 256) -> dict[str, float]:
    """Accuracy and negative log-likelihood over every validation image, the last batch too."""
    correct, nll = 0, 0.0
    for k in range(0, len(validation.labels), batch):
        logits = learner.answer(tf.constant(validation.inputs[k : k + batch])).numpy()
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


def _line(row: dict[str, Any], epochs: int, best: bool) -> str:
    losses = (
        f"{name.removeprefix('loss_')} {value:.3f}"
        for name, value in row.items()
        if name.startswith("loss_")
    )
    left = (epochs - row["epoch"]) * row["seconds"] / 60
    return (
        f"epoch {row['epoch']:3d}/{epochs}  {'  '.join(losses)}  "
        f"validation {100 * row['validation_accuracy']:.2f} %  {row['seconds']:.0f} s, "
        f"{left:.0f} min left{'  best' if best else ''}"
    )


def _sheet(learner: Learner, rows: int = 6, columns: int = 16) -> npt.NDArray[np.uint8]:
    """Characters that the generator draws from fixed latent vectors, as one gray picture."""
    z = tf.random.stateless_normal([rows * columns, LATENT], [0, 0])
    images = learner.draw(z).numpy().reshape(rows, columns, 32, 32)
    levels = np.clip(images * 128 + 128, 0, 255).astype(np.uint8)
    sheet: npt.NDArray[np.uint8] = levels.transpose(0, 2, 1, 3)
    return sheet.reshape(rows * 32, columns * 32)
