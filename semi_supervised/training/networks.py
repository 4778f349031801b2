"""The two networks of the GAN, written with plain tf.nn operators.

Operators and names are explicit because the frozen graph is a contract (quantizers and board tools
look nodes up by name), and because every operator of the discriminator must fit one DPU kernel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from edge_runtime.errors import SettingsError
from semi_supervised.training.fake_quantization import FakeQuantizer, LayerNames

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.9  # short: the generator's step sees the discriminator through them
LATENT = 100

# (channels, stride, padding) of the 3×3 convolutions: 32 → 16 → 8 → 4 → 4 → 4 → 2 pixels a side.
CONVOLUTIONS = (
    (64, 2, "SAME"),
    (64, 2, "SAME"),
    (64, 2, "SAME"),
    (128, 1, "SAME"),
    (128, 1, "SAME"),
    (128, 1, "VALID"),
)
CHANNELS = tuple(channels for channels, _, _ in CONVOLUTIONS)


@dataclass(frozen=True)
class Outputs:
    """What the discriminator computes.

    logits : float32 [N, classes]
    features : float32 [N, channels of the last convolution], the pooled map before dropout
    """

    logits: tf.Tensor
    features: tf.Tensor


class BatchNorm(tf.Module):
    """Batch normalization with moving statistics (Ioffe & Szegedy 2015)."""

    def __init__(self, channels: int, name: str) -> None:
        super().__init__(name)
        self.gamma = tf.Variable(tf.ones([channels]), name="gamma")
        self.beta = tf.Variable(tf.zeros([channels]), name="beta")
        # Of several devices, all have the same statistics: any one's are right.
        kept = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        self.mean = tf.Variable(tf.zeros([channels]), name="moving_mean", **kept)
        self.variance = tf.Variable(tf.ones([channels]), name="moving_variance", **kept)

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """Normalize [N, H, W, C] by the batch's statistics in training, else by the moving ones."""
        with tf.name_scope(self.name):
            if not training:
                y, _, _ = tf.compat.v1.nn.fused_batch_norm(
                    x,
                    self.gamma,
                    self.beta,
                    self.mean,
                    self.variance,
                    epsilon=BATCH_NORM_EPSILON,
                    is_training=False,
                    name="FusedBatchNormV3",
                )
                return y
            context = tf.distribute.get_replica_context()
            if context is not None and context.num_replicas_in_sync > 1:
                y, mean, variance = self._synchronized(x, context)
            else:
                y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                    x, self.gamma, self.beta, epsilon=BATCH_NORM_EPSILON, is_training=True
                )
            self.mean.assign_add((1 - BATCH_NORM_MOMENTUM) * (mean - self.mean))
            self.variance.assign_add((1 - BATCH_NORM_MOMENTUM) * (variance - self.variance))
            return y

    def _synchronized(
        self, x: tf.Tensor, context: tf.distribute.ReplicaContext
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The same over the images of all devices, so that their number changes nothing."""
        over = tf.distribute.ReduceOp.MEAN
        mean = context.all_reduce(over, tf.reduce_mean(x, [0, 1, 2]))
        variance = context.all_reduce(over, tf.reduce_mean(tf.square(x - mean), [0, 1, 2]))
        y = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, BATCH_NORM_EPSILON)
        n = tf.cast(tf.size(x) // tf.size(mean) * context.num_replicas_in_sync, tf.float32)
        return y, mean, variance * n / (n - 1)  # unbiased, as the fused operator gives it


class Discriminator(tf.Module):
    """Classifier and discriminator in one: as many logits as classes, the class "fake" is implied.

    About 450,000 weights and 7.2 million multiply-adds for 62 classes with `CHANNELS`.
    """

    def __init__(
        self, classes: int, dropout: float, seed: int, channels: Sequence[int] = CHANNELS
    ) -> None:
        """Start with random weights; ``channels`` has the outputs of every convolution.

        Raises
        ------
        SettingsError
            Another number of convolutions, or one without outputs.
        """
        super().__init__("discriminator")
        if len(channels) != len(CONVOLUTIONS) or min(channels) < 1:
            raise SettingsError(
                f"channels {','.join(map(str, channels))}: the network has {len(CONVOLUTIONS)} "
                "convolutions, each with a channel or more"
            )
        self.dropout = dropout
        self.channels = tuple(channels)
        self.kernels: list[tf.Variable] = []
        self.norms: list[BatchNorm] = []
        inputs = 1
        for i, outputs in enumerate(self.channels):
            kernel = _he_normal([3, 3, inputs, outputs], [seed, i])
            self.kernels.append(tf.Variable(kernel, name=f"{_numbered('conv2d', i)}/kernel"))
            self.norms.append(BatchNorm(outputs, _numbered("batch_normalization", i)))
            inputs = outputs
        self.dense_kernel = tf.Variable(
            _he_normal([inputs, classes], [seed, 99]) * 0.5, name="dense/kernel"
        )
        self.dense_bias = tf.Variable(tf.zeros([classes]), name="dense/bias")

    def __call__(
        self,
        x: tf.Tensor,
        training: bool = False,
        kept: tf.Tensor | None = None,
        fake: FakeQuantizer | None = None,
    ) -> Outputs:
        """Logits and features of images, float32 [N, 32, 32, 1] in [-1, 1).

        ``kept`` is what `dropout_mask` draws. With ``fake``, rounded everywhere as the DPU rounds;
        batch norms then use their moving statistics in training, too, which stay as they are.
        """
        if fake is not None:
            return self._rounded(x, fake, kept)
        with tf.name_scope("discriminator"):
            for i, (_, stride, padding) in enumerate(CONVOLUTIONS):
                with tf.name_scope(_numbered("conv2d", i)):
                    x = tf.nn.conv2d(x, self.kernels[i], stride, padding, name="Conv2D")
                x = self.norms[i](x, training)
                x = tf.nn.relu(x, name=_numbered("Relu", i))
            x = tf.reduce_mean(x, [1, 2], keepdims=True, name="Mean")
            with tf.name_scope("flatten"):
                features = tf.reshape(x, [-1, x.shape[-1]], name="Reshape")
            dropped = features if kept is None else features * kept
            with tf.name_scope("dense"):
                product = tf.matmul(dropped, self.dense_kernel, name="MatMul")
                logits = tf.nn.bias_add(product, self.dense_bias, name="BiasAdd")
        return Outputs(logits, features)

    def dropout_mask(self, count: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor | None:
        """Factors of the features of ``count`` images, [count, 128]; None without dropout."""
        if self.dropout == 0:
            return None
        ones = tf.ones([count, self.dense_kernel.shape[0]])
        return tf.nn.experimental.stateless_dropout(ones, self.dropout, seed=seed)

    def _rounded(self, x: tf.Tensor, fake: FakeQuantizer, kept: tf.Tensor | None) -> Outputs:
        """The same network, its tensors rounded under the names that the frozen graph has."""
        x = fake.activation("input_real", x)
        for i, (_, stride, padding) in enumerate(CONVOLUTIONS):
            names = LayerNames(
                f"discriminator/{_numbered('conv2d', i)}/kernel",
                f"discriminator/{_numbered('batch_normalization', i)}/beta",
                f"discriminator/{_numbered('Relu', i)}",
            )
            x = fake.convolution(
                names, x, self.kernels[i], self.norms[i], stride, padding, BATCH_NORM_EPSILON
            )
        features = fake.activation("discriminator/Mean", tf.reduce_mean(x, [1, 2]))
        dense = LayerNames(*(f"discriminator/dense/{n}" for n in ("kernel", "bias", "BiasAdd")))
        dropped = features if kept is None else features * kept
        return Outputs(fake.dense(dense, dropped, self.dense_kernel, self.dense_bias), features)


class Generator(tf.Module):
    """DCGAN generator (Radford et al. 2016): a 100-vector to an image in (-1, 1), as inputs are.

    It enlarges by repeating pixels before a convolution, because transposed convolutions drew
    checkerboards, by which the discriminator told every fake at once (Odena et al. 2016).
    """

    def __init__(self, width: int, seed: int) -> None:
        super().__init__("generator")
        self.widths = (4 * width, 2 * width, width)
        first = _he_normal([LATENT, 4 * 4 * self.widths[0]], [seed, 200])
        self.dense_kernel = tf.Variable(first, name="dense/kernel")
        self.norms = [BatchNorm(w, f"batch_normalization_{i}") for i, w in enumerate(self.widths)]
        self.kernels: list[tf.Variable] = []
        outputs = (*self.widths[1:], 1)
        for i, (c_in, c_out) in enumerate(zip(self.widths, outputs, strict=True)):
            kernel = _he_normal([5, 5, c_in, c_out], [seed, 201 + i])
            self.kernels.append(tf.Variable(kernel, name=f"{_numbered('conv2d', i)}/kernel"))
        self.bias = tf.Variable(tf.zeros([1]), name="bias")

    def __call__(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images float32 [N, 32, 32, 1] of latent vectors float32 [N, 100]."""
        with tf.name_scope("generator"):
            x = tf.reshape(tf.matmul(z, self.dense_kernel), [-1, 4, 4, self.widths[0]])
            for norm, kernel in zip(self.norms, self.kernels, strict=True):
                x = tf.nn.relu(norm(x, training))
                x = tf.raw_ops.ResizeNearestNeighbor(
                    images=x, size=[2 * x.shape[1], 2 * x.shape[2]]
                )
                x = tf.nn.conv2d(x, kernel, 1, "SAME")
            return tf.tanh(x + self.bias)


def widened(width: float, channels: Sequence[int] = CHANNELS) -> tuple[int, ...]:
    """Channels of a network with ``width`` times as many in every convolution."""
    return tuple(round(width * count) for count in channels)


def _he_normal(shape: Sequence[int], seed: Sequence[int]) -> tf.Tensor:
    """Normal of variance 2 / fan_in (He et al. 2015)."""
    return tf.random.stateless_normal(shape, seed) * (2.0 / math.prod(shape[:-1])) ** 0.5


def _numbered(name: str, i: int) -> str:
    """Name the i-th of its kind as TensorFlow does: conv2d, conv2d_1, and so on."""
    return name if i == 0 else f"{name}_{i}"
