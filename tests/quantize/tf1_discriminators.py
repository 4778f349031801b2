"""Discriminators of semi-supervised GANs as TensorFlow 1.12 froze them, in their many spellings.

tf.layers of that time is gone, so the nodes that it left are made one by one, under its names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
LOGITS = "discriminator/dense/BiasAdd"


@dataclass(frozen=True)
class Style:
    """How a discriminator was written.

    activation : relu, relu6, leaky (0.1, as Mul and Maximum), LeakyRelu (26 / 256)
    norm : none, FusedBatchNorm, V3, cond (a branch on is_training), decomposed
    norm_last : batch normalization behind the activation
    dropout : none, keep_prob (a placeholder), cond (a branch on is_training), constant
    pool : keep_dims, mean, squeeze, avg_pool, none (the map itself is flattened)
    flatten : -1 (a constant shape) or shape (Shape, StridedSlice and Pack)
    dense : MatMul, or conv (1×1) with a Squeeze behind it
    ends : what follows the logits
    """

    size: tuple[int, int, int] = (32, 32, 1)
    classes: int = 5
    activation: str = "relu"
    norm: str = "none"
    norm_last: bool = False
    dropout: str = "none"
    pool: str = "keep_dims"
    flatten: str = "-1"
    dense: str = "MatMul"
    ends: tuple[str, ...] = ("Softmax",)
    default: bool = False  # of is_training


class _Builder:
    def __init__(self, tf: Any, style: Style, seed: int) -> None:
        self.tf, self.raw, self.style = tf, tf.raw_ops, style
        self.rng = np.random.default_rng(seed)
        self.feeds: dict[str, Array] = {}
        if "cond" in (style.norm, style.dropout):
            self.training = tf.compat.v1.placeholder_with_default(
                style.default, [], name="is_training"
            )
        if style.dropout == "keep_prob":
            self.keep = tf.compat.v1.placeholder(tf.float32, [], name="keep_prob")
            self.feeds["keep_prob:0"] = 1.0

    def variable(self, name: str, value: Array) -> Any:
        """A frozen variable: a Const, and the Identity that read it."""
        frozen = self.tf.constant(np.asarray(value, np.float32), name=name)
        return self.tf.identity(frozen, name=f"{name}/read")

    def conv(self, x: Any, i: int, width: int, stride: int, padding: str) -> Any:
        tail = f"_{i}" if i else ""
        folder = f"discriminator/conv2d{tail}"
        fan_in = 9 * int(x.shape[3])
        kernel = self.rng.normal(0, (2 / fan_in) ** 0.5, (3, 3, int(x.shape[3]), width))
        x = self.tf.nn.conv2d(
            x, self.variable(f"{folder}/kernel", kernel), stride, padding, name=f"{folder}/Conv2D"
        )
        bias = self.rng.normal(0, 0.1, width)
        x = self.tf.nn.bias_add(x, self.variable(f"{folder}/bias", bias), name=f"{folder}/BiasAdd")
        if self.style.norm_last:
            return self.norm(self.activation(x, tail), tail)
        return self.activation(self.norm(x, tail), tail)

    def norm(self, x: Any, tail: str) -> Any:
        if self.style.norm == "none":
            return x
        folder, width = f"discriminator/batch_normalization{tail}", int(x.shape[3])
        gamma = self.variable(f"{folder}/gamma", self.rng.uniform(0.6, 1.4, width))
        beta = self.variable(f"{folder}/beta", self.rng.normal(0, 0.2, width))
        mean = self.variable(f"{folder}/moving_mean", self.rng.normal(0, 0.2, width))
        variance = self.variable(f"{folder}/moving_variance", self.rng.uniform(0.4, 1.6, width))
        if self.style.norm == "decomposed":
            return self.tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)
        fused = self.raw.FusedBatchNormV3 if self.style.norm == "V3" else self.raw.FusedBatchNorm
        same: dict[str, Any] = {"epsilon": 1e-3, "is_training": False}
        if self.style.norm != "cond":
            return fused(
                x=x, scale=gamma, offset=beta, mean=mean, variance=variance, **same,
                name=f"{folder}/{fused.__name__}",
            ).y  # fmt: skip
        sides = [
            self.raw.Switch(data=each, pred=self.training, name=f"{folder}/cond/Switch_{k}")
            for k, each in enumerate((x, gamma, beta, mean, variance))
        ]
        # Output 0 of a Switch is taken where the predicate is false: the moving statistics.
        still, moving = (0, 1) if not self.style.default else (1, 0)
        x, gamma, beta, mean, variance = (each[still] for each in sides)
        known = fused(x=x, scale=gamma, offset=beta, mean=mean, variance=variance, **same)
        x, gamma, beta, *_ = (each[moving] for each in sides)
        empty = self.tf.zeros([0])
        batch = fused(
            x=x, scale=gamma, offset=beta, mean=empty, variance=empty, epsilon=1e-3,
            is_training=True,
        )  # fmt: skip
        return self.raw.Merge(inputs=[known.y, batch.y], name=f"{folder}/cond/Merge").output

    def activation(self, x: Any, tail: str) -> Any:
        tf, kind, name = self.tf, self.style.activation, self.style.activation.capitalize()
        if kind == "leaky":
            scaled = tf.multiply(tf.constant(0.1), x, name=f"discriminator/mul{tail}")
            return tf.maximum(scaled, x, name=f"discriminator/Maximum{tail}")
        if kind == "LeakyRelu":
            return tf.nn.leaky_relu(x, 26 / 256, name=f"discriminator/LeakyRelu{tail}")
        return getattr(tf.nn, kind)(x, name=f"discriminator/{name}{tail}")

    def dropped(self, x: Any, keep: Any, folder: str) -> Any:
        """tf.nn.dropout of 1.12: x / keep_prob · floor(keep_prob + uniform)."""
        tf = self.tf
        uniform = self.raw.RandomUniform(
            shape=tf.shape(x), dtype=tf.float32, name=f"{folder}/random_uniform/RandomUniform"
        )
        low, high = tf.constant(0.0), tf.constant(1.0)
        drawn = tf.add(tf.multiply(uniform, tf.subtract(high, low)), low)
        mask = tf.floor(tf.add(keep, drawn, name=f"{folder}/add"), name=f"{folder}/Floor")
        return tf.multiply(tf.math.divide(x, keep, name=f"{folder}/div"), mask)

    def dropout(self, x: Any, folder: str) -> Any:
        if self.style.dropout == "keep_prob":
            return self.dropped(x, self.keep, folder)
        if self.style.dropout == "constant":
            return self.dropped(x, self.tf.constant(1.0), folder)
        if self.style.dropout == "cond":
            off, on = self.raw.Switch(data=x, pred=self.training, name=f"{folder}/cond/Switch")
            if self.style.default:
                off, on = on, off
            noisy = self.dropped(on, self.tf.constant(0.5), f"{folder}/cond/dropout")
            still = self.tf.identity(off, name=f"{folder}/cond/Identity")
            return self.raw.Merge(inputs=[noisy, still], name=f"{folder}/cond/Merge").output
        return x

    def pooled(self, x: Any) -> Any:
        tf, how = self.tf, self.style.pool
        if how == "avg_pool":
            size = [int(n) for n in x.shape[1:3]]
            return tf.nn.avg_pool2d(x, size, 1, "VALID", name="discriminator/AvgPool")
        if how == "none":
            return x
        keep = how != "mean"
        x = tf.reduce_mean(x, [1, 2], keepdims=keep, name="discriminator/Mean")
        return tf.squeeze(x, [1, 2], name="discriminator/Squeeze") if how == "squeeze" else x

    def flattened(self, x: Any) -> Any:
        tf = self.tf
        if x.shape.rank == 2:
            return x
        size = int(np.prod([int(n) for n in x.shape[1:]]))
        if self.style.flatten == "-1":
            return tf.reshape(x, [-1, size], name="discriminator/flatten/Reshape")
        batch = tf.strided_slice(tf.shape(x), [0], [1], [1], shrink_axis_mask=1)
        shape = tf.stack([batch, -1], name="discriminator/flatten/Reshape/shape")
        return tf.ensure_shape(tf.reshape(x, shape), [None, size])

    def dense(self, x: Any) -> Any:
        tf, classes = self.tf, self.style.classes
        bias = self.variable("discriminator/dense/bias", self.rng.normal(0, 0.2, classes))
        if self.style.dense == "conv":
            kernel = self.rng.normal(0, 0.3, (1, 1, int(x.shape[3]), classes))
            read = self.variable("discriminator/dense/kernel", kernel)
            y = tf.nn.conv2d(x, read, 1, "VALID", name="discriminator/dense/Conv2D")
            y = tf.nn.bias_add(y, bias, name="discriminator/dense/Add")
            return tf.squeeze(y, [1, 2], name=LOGITS)
        x = self.flattened(x)
        kernel = self.rng.normal(0, 0.3, (int(x.shape[1]), classes))
        read = self.variable("discriminator/dense/kernel", kernel)
        return tf.nn.bias_add(
            tf.matmul(x, read, name="discriminator/dense/MatMul"), bias, name=LOGITS
        )


def write(path: Path, style: Style, seed: int = 0) -> Callable[[Array], Array]:
    """Write a frozen graph and return TensorFlow's own logits of inputs, in inference mode."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        build = _Builder(tf, style, seed)
        x = tf.compat.v1.placeholder(tf.float32, [None, *style.size], name="input_real")
        layers = [(6, 2, "SAME"), (8, 2, "SAME"), (8, 1, "SAME"), (10, 2, "SAME"), (10, 1, "VALID")]
        for i, (width, stride, padding) in enumerate(layers):
            x = build.conv(x, i, width, stride, padding)
            if i in (1, 3):
                x = build.dropout(x, f"discriminator/dropout{f'_{i}' if i > 1 else ''}")
        logits = build.dense(build.dropout(build.pooled(x), "discriminator/dropout_9"))
        for end in style.ends:
            made = {"Softmax": tf.nn.softmax, "ArgMax": lambda z: tf.argmax(z, 1)}[end](logits)
            tf.identity(made, name=f"discriminator/{end.lower()}")
    path.write_bytes(graph.as_graph_def().SerializeToString())

    def run(inputs: Array) -> Array:
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(f"{LOGITS}:0", {"input_real:0": inputs} | build.feeds)

    return run
