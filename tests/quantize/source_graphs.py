"""Float networks made with stock TensorFlow, under the names that the freeze stage uses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
LOGITS = "discriminator/dense/BiasAdd"


@dataclass(frozen=True)
class SourceNetwork:
    """A frozen graph and what TensorFlow computes with it."""

    graph_def: Any
    logits: Callable[[Array], Array]

    def write_pb(self, path: Path) -> Path:
        """Write the GraphDef."""
        path.write_bytes(self.graph_def.SerializeToString())
        return path

    def write_onnx(self, path: Path) -> Path:
        """Write what tf2onnx makes of it, with the names that the freeze stage restores."""
        import onnx
        import tf2onnx

        model, _ = tf2onnx.convert.from_graph_def(
            self.graph_def,
            input_names=["input_real:0"],
            output_names=[f"{LOGITS}:0", "discriminator/out:0"],
            opset=13,
        )
        renamed = {
            "input_real:0": "input_real",
            f"{LOGITS}:0": LOGITS,
            "discriminator/out:0": "discriminator/out",
        }
        for node in model.graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        for each in [*model.graph.input, *model.graph.output]:
            each.name = renamed[each.name]
            each.type.tensor_type.shape.dim[0].dim_param = "N"
        onnx.save(model, str(path))
        return path


def discriminator(
    seed: int = 0,
    channels: tuple[int, ...] = (6, 6, 6, 8, 8, 8),
    classes: int = 5,
    batch_norm: bool = True,
    keep_dims: bool = True,
    squeeze: bool = False,
) -> SourceNetwork:
    """Build the discriminator's graph with random weights and few channels."""
    import tensorflow as tf

    v1 = tf.compat.v1
    rng = np.random.default_rng(seed)
    graph = tf.Graph()

    def const(value: Array, name: str) -> Array:
        return v1.constant(np.asarray(value, np.float32), name=name)

    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 32, 32, 1], name="input_real")
        size = 1
        for i, width in enumerate(channels):
            tail = f"_{i}" if i else ""
            stride, padding = (2 if i < 3 else 1), ("VALID" if i == 5 else "SAME")
            kernel = const(
                rng.normal(0, (2 / (9 * size)) ** 0.5, (3, 3, size, width)),
                f"discriminator/conv2d{tail}/kernel",
            )
            read = tf.identity(kernel, name=f"discriminator/conv2d{tail}/kernel/read")
            x = tf.nn.conv2d(x, read, stride, padding, name=f"discriminator/conv2d{tail}/Conv2D")
            if batch_norm:
                norm = f"discriminator/batch_normalization{tail}"
                x, *_ = v1.nn.fused_batch_norm(
                    x,
                    const(rng.uniform(0.5, 1.5, width), f"{norm}/gamma"),
                    const(rng.normal(0, 0.2, width), f"{norm}/beta"),
                    const(rng.normal(0, 0.2, width), f"{norm}/moving_mean"),
                    const(rng.uniform(0.3, 2, width), f"{norm}/moving_variance"),
                    epsilon=1e-3,
                    is_training=False,
                    name=f"{norm}/FusedBatchNormV3",
                )
            else:
                bias = const(rng.normal(0, 0.2, width), f"discriminator/conv2d{tail}/bias")
                x = tf.nn.bias_add(x, bias, name=f"discriminator/conv2d{tail}/BiasAdd")
            x = tf.nn.relu(x, name=f"discriminator/Relu{tail}")
            size = width
        x = tf.reduce_mean(x, [1, 2], keepdims=keep_dims, name="discriminator/Mean")
        if keep_dims and squeeze:
            x = tf.squeeze(x, [1, 2], name="discriminator/Squeeze")
        elif keep_dims:
            x = tf.reshape(x, [-1, size], name="discriminator/flatten/Reshape")
        dense = const(rng.normal(0, size**-0.5, (size, classes)), "discriminator/dense/kernel")
        x = tf.matmul(x, dense, name="discriminator/dense/MatMul")
        bias = const(rng.normal(0, 0.2, classes), "discriminator/dense/bias")
        x = tf.nn.bias_add(x, bias, name=LOGITS)
        tf.nn.softmax(x, name="discriminator/out")
    return SourceNetwork(graph.as_graph_def(), session_runner(graph, f"{LOGITS}:0"))


def session_runner(graph: Any, output: str) -> Callable[[Array], Array]:
    """Return a function that runs a graph's output on a batch in TensorFlow."""
    import tensorflow as tf

    def run(inputs: Array) -> Array:
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(output, {"input_real:0": inputs})

    return run
