"""One training on several devices: each learns from its share of every batch.

All devices get the whole batch and take their rows of it, of every part as many; noise and dropout
are drawn for the whole batch, and shared out likewise. So the result is that of one device, but for
the order in which sums are added.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import tensorflow as tf

from edge_runtime.errors import SettingsError
from semi_supervised.settings import TrainSettings


class Replicas:
    """The devices of a training; with one of them, nothing is done at all.

    Parameters
    ----------
    count : devices: GPUs where there are any, else (virtual) CPUs

    Raises
    ------
    SettingsError
        There are not so many.
    """

    def __init__(self, count: int = 1) -> None:
        there = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if not 1 <= count <= len(there):
            kind = f"{there[0].device_type}{'s' if len(there) > 1 else ''}"
            raise SettingsError(f"--devices {count}: there are 1 to {len(there)} {kind} to use")
        self.count = count
        names = tuple(device.name for device in there[:count])
        self._strategy = _mirrored(names) if count > 1 else None

    def scope(self) -> AbstractContextManager:
        """Variables that are made herein are on every device."""
        return (self._strategy or tf.distribute.get_strategy()).scope()

    def run(self, step: Callable, batch: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Run a step on every device; return the means of its losses."""
        if self._strategy is None:
            return step(*batch)
        losses = self._strategy.run(step, args=tuple(batch))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: self._strategy.reduce(mean, loss, axis=None) for name, loss in losses.items()}

    def share(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows of this device, out of those of all: the k-th device has the k-th part."""
        if self.count == 1:
            return rows
        context = tf.distribute.get_replica_context()
        parts = tf.reshape(rows, [self.count, rows.shape[0] // self.count, *rows.shape[1:]])
        return tf.gather(parts, context.replica_id_in_sync_group)

    def share_of_parts(self, rows: tf.Tensor, counts: Sequence[int]) -> tf.Tensor:
        """Rows of this device, of each of the parts of ``counts`` rows that follow each other."""
        if self.count == 1:
            return rows
        return tf.concat([self.share(part) for part in tf.split(rows, counts)], axis=0)

    def mean(self, rows: tf.Tensor) -> tf.Tensor:
        """Mean of all devices' rows, [1, …]."""
        own = tf.reduce_mean(rows, axis=0, keepdims=True)
        if self.count == 1:
            return own
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own)


@functools.cache  # a second strategy of a process would number its sums as the first one did
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(names))


def check_shares(train: TrainSettings, count: int) -> None:
    """Raise `SettingsError` where a part of the batch has no equal share for every device."""
    for name in ("labeled", "drawn", "unlabeled", "negatives", "fake"):
        size = getattr(train, f"batch_{name}")
        if size % count:
            raise SettingsError(
                f"--devices {count}: batch_{name} must be a multiple of it, so that all have as "
                f"many; set train.batch_{name}={-(-size // count) * count}"
            )
