"""Take the least worthy channels out of a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError, SettingsError
from edge_runtime.files import sha256_of, write_json
from semi_supervised.pruning.importance import Worth, importance
from semi_supervised.pruning.shapes import Channels, checked, multiply_adds, shape_within
from semi_supervised.sources import find_weights
from semi_supervised.training.checkpoints import load_best, save_best
from semi_supervised.training.networks import Discriminator

Indices = Sequence[npt.NDArray[np.intp]]


@dataclass(frozen=True)
class Wanted:
    """How much of a network to keep; one of the three.

    keep : share of its multiply-adds;  most : multiply-adds;  channels : of every convolution
    """

    keep: float | None = None
    most: int | None = None
    channels: Channels | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.keep, self.most, self.channels)) != 1:
            raise SettingsError("give one of --keep, --max-macs and --channels")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise SettingsError(f"--keep {self.keep:g}: a share above 0, up to 1")

    def shape(self, network: Discriminator, worth: Sequence[Worth]) -> Channels:
        """The channels to keep of ``network``; `SettingsError` where there are no such."""
        if self.channels is not None:
            return checked(self.channels, network.channels)
        classes = network.dense_bias.shape[0]
        all_of_it = multiply_adds(network.channels, classes)
        budget = self.most if self.keep is None else round(self.keep * all_of_it)
        assert budget is not None
        return shape_within(worth, classes, budget)


@dataclass(frozen=True)
class Pruned:
    """What was kept.

    channels, multiply_adds : of the pruned network;  before : the source's
    kept : share of each layer's worth that is still there
    """

    channels: Channels
    before: Channels
    multiply_adds: int
    multiply_adds_before: int
    kept: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "channels": list(self.channels),
            "channels_before": list(self.before),
            "multiply_adds": self.multiply_adds,
            "multiply_adds_before": self.multiply_adds_before,
            "worth_kept": [round(share, 4) for share in self.kept],
        }


def prune(given: Path, output: Path, wanted: Wanted) -> Pruned:
    """Write the pruned weights as ``output`` (.npz), and ``.json`` beside it with what was done.

    Raises
    ------
    InputError
        Weights that are missing or damaged, or that would be overwritten.
    SettingsError
        A shape that cannot be had.
    """
    source = find_weights(given)
    network, alphabet, digest = load_best(source)
    worth = importance(network)
    shape = wanted.shape(network, worth)
    kept = [_best(each, count) for each, count in zip(worth, shape, strict=True)]
    if output.resolve() == source.resolve():
        raise InputError(f"{output}: would overwrite the network that it is made of")
    save_best(output, sliced(network, kept), alphabet, 0)
    classes = len(alphabet)
    pruned = Pruned(
        shape,
        network.channels,
        multiply_adds(shape, classes),
        multiply_adds(network.channels, classes),
        tuple(float(each[k].sum() / each.sum()) for each, k in zip(worth, kept, strict=True)),
    )
    write_json(
        output.with_suffix(".json"),
        {
            "schema": 1,
            "source_sha256": digest,
            "weights_sha256": sha256_of(output),
            **pruned.as_json(),
        },
    )
    return pruned


def sliced(network: Discriminator, kept: Indices) -> Discriminator:
    """The network with these channels of every convolution alone, as an inference network.

    A channel goes with its filter, its batch normalization and the weights that read it.
    """
    classes = network.dense_bias.shape[0]
    smaller = Discriminator(classes, 0.0, 0, [len(indices) for indices in kept])
    inputs = np.arange(1)
    for i, outputs in enumerate(kept):
        kernel = network.kernels[i].numpy()
        smaller.kernels[i].assign(kernel[:, :, inputs][..., outputs])
        for new, old in zip(smaller.norms[i].variables, network.norms[i].variables, strict=True):
            new.assign(old.numpy()[outputs])
        inputs = outputs
    smaller.dense_kernel.assign(network.dense_kernel.numpy()[inputs])
    smaller.dense_bias.assign(network.dense_bias)
    return smaller


def _best(worth: Worth, count: int) -> npt.NDArray[np.intp]:
    """Indices of the worthiest, in their order; of equal ones the first."""
    return np.sort(np.argsort(-worth, kind="stable")[:count])
