"""One training step, the same for every method: what differs is which losses take part.

| method | learns from |
| --- | --- |
| supervised | labeled characters; non-characters, for the gate |
| sgan | also generated images: the semi-supervised GAN (Salimans et al. 2016) |
| consistency | also unlabeled images, by the guesses of its own average (Sohn et al. 2020) |
| sgan-consistency | both |
"""

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edge_runtime.preprocess import FIX_POINT
from semi_supervised.settings import Settings, TrainSettings
from semi_supervised.training.batches import Batch
from semi_supervised.training.fake_quantization import FakeQuantizer
from semi_supervised.training.losses import (
    align,
    loss_consistency,
    loss_distillation,
    loss_fake,
    loss_feature_matching,
    loss_labeled,
    loss_real,
    merge,
    sharpen,
)
from semi_supervised.training.networks import LATENT, Discriminator, Generator, widened
from semi_supervised.training.replicas import Replicas

_ANSWERS_DECAY = 0.99  # of the mean of answers for unlabeled images: some 100 steps

Losses = dict[str, tf.Tensor]


class Learner(tf.Module):
    """The networks, their optimizers and all other state that one training step changes.

    Parameters
    ----------
    expected : float64 [classes], how often each class is seen; for distribution alignment
    sets : float32 [classes, sets], the classes that unlabeled images are not to tell apart, with 1
        where a class belongs to a set; without, each class is one
    teacher : whose answers are learned too
    fake : rounds the network in training and validation as the DPU does
    replicas : devices that share every batch; the learner is to be made in their scope
    restarts : whether the learning rate takes two courses, parted where unlabeled images join
    """

    def __init__(
        self,
        settings: Settings,
        expected: npt.NDArray[np.float64],
        sets: npt.NDArray[np.float32] | None = None,
        teacher: Discriminator | None = None,
        fake: FakeQuantizer | None = None,
        replicas: Replicas | None = None,
        restarts: bool = False,
    ) -> None:
        super().__init__("learner")
        train = settings.train
        classes = len(expected)
        self._train = train
        self._distillation = settings.teacher
        self._teacher = teacher
        self._fake = fake
        self._replicas = replicas or Replicas()
        self._restarts = restarts
        self._sets = sets
        self._expected = tf.constant(expected if sets is None else expected @ sets, tf.float32)
        channels = train.channels or widened(train.width)
        self.discriminator = Discriminator(classes, train.dropout, train.seed, channels)
        self.averaged = Discriminator(classes, 0.0, train.seed, channels)
        self.optimizer = keras.optimizers.AdamW(
            train.learning_rate, weight_decay=train.weight_decay, beta_1=0.9
        )
        self.optimizer.build(list(self.discriminator.trainable_variables))
        if train.has_generator:
            self.generator = Generator(train.generator_width, train.seed)
            rate = train.generator_learning_rate
            self.generator_optimizer = keras.optimizers.Adam(rate, beta_1=0.5)
            self.generator_optimizer.build(list(self.generator.trainable_variables))
        self.answered = tf.Variable(
            self._expected,
            trainable=False,
            name="answered",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # all have the same
        )
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.best_accuracy = tf.Variable(
            -1.0, dtype=tf.float64, trainable=False, name="best_accuracy"
        )

    def variables_by_name(self) -> dict[str, tf.Variable]:
        """All state that training needs to go on, by stable names."""
        parts: dict[str, Any] = {
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "optimizer": self.optimizer,
        }
        if self._train.has_generator:
            parts |= {"generator": self.generator, "generator_optimizer": self.generator_optimizer}
        state = {
            f"{part}/{i:02d}": variable
            for part, module in parts.items()
            for i, variable in enumerate(module.variables)
        }
        alone = ("answered", "step", "best_accuracy")
        return state | {name: getattr(self, name) for name in alone}

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step; return its losses by name."""
        losses = self._step(*(tf.constant(array) for array in vars(batch).values()))
        return {name: float(loss.numpy()) for name, loss in losses.items()}

    @tf.function(reduce_retracing=False)
    def _step(self, *batch: tf.Tensor) -> Losses:
        train = self._train
        # One schedule for both: a generator that still learns fast while the discriminator no
        # longer does collapses, and takes accuracy with it.
        rate = schedule(train, self.step, self._restarts)
        self.optimizer.learning_rate.assign(train.learning_rate * rate)
        if train.has_generator:
            self.generator_optimizer.learning_rate.assign(train.generator_learning_rate * rate)
        losses = self._replicas.run(self._learn_share, batch)
        self._average()
        self.step.assign_add(1)
        return losses

    def _learn_share(
        self,
        given: tf.Tensor,
        given_classes: tf.Tensor,
        drawn: tf.Tensor,
        drawn_classes: tf.Tensor,
        weak: tf.Tensor,
        strong: tf.Tensor,
        negatives: tf.Tensor,
    ) -> Losses:
        """Learn from this device's share of a batch, which is all of it where there is one."""
        train, share = self._train, self._replicas.share
        seed = tf.stack([tf.constant(train.seed, tf.int64), self.step])
        counts = [part.shape[0] for part in (given, drawn, strong, negatives)]
        counts += [train.batch_fake] if train.has_generator else []
        characters = _to_float(tf.concat([share(given), share(drawn), share(strong)], axis=0))
        others = [_to_float(share(negatives))]
        if train.has_generator:
            z = share(tf.random.stateless_normal([train.batch_fake, LATENT], seed))
            others.append(self.generator(z, training=True))
        # One pass over characters and others together: batch norm sees in training the mixture
        # whose moving statistics it uses afterwards.
        inputs = tf.stop_gradient(tf.concat([characters, *others], axis=0))
        shape = [sum(counts), *inputs.shape[1:]]  # of the whole batch: shares differ
        noise = train.input_noise * tf.random.stateless_normal(shape, seed + 2)
        noise = self._replicas.share_of_parts(noise, counts)
        kept = self.discriminator.dropout_mask(sum(counts), seed + 1)
        kept = None if kept is None else self._replicas.share_of_parts(kept, counts)
        counts = [count // self._replicas.count for count in counts]
        labels = (share(given_classes), share(drawn_classes))
        guesses = self._guess(share(weak)) if weak.shape[0] else None
        with tf.GradientTape() as tape:
            out = self.discriminator(inputs + noise, True, kept, self._fake)
            parts = tf.split(out.logits, counts)
            losses = {"labeled": self._labeled(parts[0], parts[1], labels)}
            losses |= self._gate(parts)
            if guesses is not None:
                loss, sure = loss_consistency(self._merge(parts[2]), guesses, train.threshold)
                losses["consistency"] = loss
            if self._teacher is not None:
                losses["distillation"] = self._distill(inputs, out.logits, sum(counts[:3]))
            total = tf.add_n([self._weight(name) * loss for name, loss in losses.items()])
            total /= self._replicas.count  # gradients are summed over the devices
        self._apply(self.optimizer, tape, total, self.discriminator)
        if guesses is not None:
            losses["sure"] = sure
        if train.has_generator:
            real = tf.stop_gradient(out.features[: sum(counts[:3])])
            losses["generator"] = self._train_generator(z, real)
        return losses

    def _weight(self, loss: str) -> float:
        return {
            "labeled": 1.0,
            "gate": self._train.weight_gate,
            "consistency": self._train.weight_consistency,
            "distillation": self._distillation.weight,
        }[loss]

    def _labeled(
        self, given: tf.Tensor, drawn: tf.Tensor, labels: tuple[tf.Tensor, tf.Tensor]
    ) -> tf.Tensor:
        """Cross-entropy over given and drawn characters, weighted."""
        parts = (given, drawn)
        weights = [given.shape[0] * 1.0, drawn.shape[0] * self._train.weight_drawn]
        smoothing = self._train.label_smoothing
        sums = [
            weight * loss_labeled(part, classes, smoothing)
            for part, classes, weight in zip(parts, labels, weights, strict=True)
            if weight
        ]
        return tf.add_n(sums) / max(1.0, sum(weights))

    def _gate(self, parts: list[tf.Tensor]) -> Losses:
        """Real against not real, half each; the latter generated images and non-characters."""
        weights = [self._train.weight_negatives, 1.0]
        others = [
            (weight, loss_fake(part))
            for part, weight in zip(parts[3:], weights, strict=False)
            if part.shape[0] and weight
        ]
        if not others:
            return {}
        fake = tf.add_n([w * loss for w, loss in others]) / sum(w for w, _ in others)
        return {"gate": 0.5 * (loss_real(tf.concat(parts[:3], axis=0)) + fake)}

    def _guess(self, weak: tf.Tensor) -> tf.Tensor:
        """Probabilities [N, sets] of unlabeled images by the averaged network."""
        logits = self.averaged(_to_float(weak), training=False).logits
        guesses = tf.nn.softmax(self._merge(logits))
        if self._train.alignment:
            mean = self._replicas.mean(guesses)[0]
            guesses = align(guesses, self.answered, self._expected)
            self.answered.assign_add((1 - _ANSWERS_DECAY) * (mean - self.answered))
        return sharpen(guesses, self._train.sharpening)

    def _merge(self, logits: tf.Tensor) -> tf.Tensor:
        return logits if self._sets is None else merge(logits, self._sets)

    def _distill(self, inputs: tf.Tensor, logits: tf.Tensor, count: int) -> tf.Tensor:
        assert self._teacher is not None
        answers = self._teacher(inputs[:count], training=False).logits
        return loss_distillation(
            logits[:count], tf.stop_gradient(answers), self._distillation.temperature
        )

    def _train_generator(self, z: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        mean = self._replicas.mean
        with tf.GradientTape() as tape:
            drawn = self.discriminator(self.generator(z, training=True), training=False)
            matching = loss_feature_matching(mean(real), mean(drawn.features))
            share = matching / self._replicas.count
        self._apply(self.generator_optimizer, tape, share, self.generator)
        return matching

    @staticmethod
    def _apply(optimizer: Any, tape: tf.GradientTape, loss: tf.Tensor, network: Any) -> None:
        weights = network.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)

    def _average(self) -> None:
        # Early on the average follows faster: it should not remember the random start.
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self._train.averaging, (1 + step) / (10 + step))
        pairs = zip(self.averaged.variables, self.discriminator.variables, strict=True)
        for mean, value in pairs:
            mean.assign_add((1 - decay) * (value - mean))

    @tf.function(reduce_retracing=True)
    def answer(self, inputs: tf.Tensor) -> tf.Tensor:
        """Logits of the averaged network in inference mode, for int8 inputs."""
        return self.averaged(_to_float(inputs), fake=self._fake).logits

    @tf.function(reduce_retracing=True)
    def draw(self, z: tf.Tensor) -> tf.Tensor:
        """Images of latent vectors, in inference mode."""
        return self.generator(z, training=False)


def schedule(train: TrainSettings, step: tf.Tensor, restarts: bool = False) -> tf.Tensor:
    """Share of the peak learning rates: linear warm-up, then half a cosine down to zero.

    Where it ``restarts``, twice: in the steps before unlabeled images join and in those after,
    there from the share `restart` (warm restarts: Loshchilov & Hutter 2017).
    """
    at, peak, length = tf.cast(step, tf.float32), 1.0, float(train.steps)
    if restarts:
        again = at >= train.joins
        peak = tf.where(again, train.restart, 1.0)
        length = tf.where(again, float(train.steps - train.joins), float(train.joins))
        at = tf.where(again, at - train.joins, at)
    warmup = tf.minimum(1.0, (at + 1) / train.warmup_steps)
    progress = tf.minimum(1.0, at / length)
    return peak * warmup * 0.5 * (1 + tf.cos(math.pi * progress))


def _to_float(inputs: tf.Tensor) -> tf.Tensor:
    return tf.cast(inputs, tf.float32) * 2.0**-FIX_POINT
