"""Start from a trained network, also of another alphabet, instead of from random weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError
from semi_supervised.sources import find_weights
from semi_supervised.training.checkpoints import load_best
from semi_supervised.training.networks import Discriminator


@dataclass(frozen=True)
class Start:
    """A trained network to start from, its alphabet, and the file that both are from."""

    network: Discriminator
    alphabet: Alphabet
    path: Path

    @property
    def name(self) -> str:
        """What the model is called: its folder's name, or its build's."""
        folder = self.path.resolve().parent
        return folder.parent.name if folder.name == "training" else folder.name

    def shared(self, alphabet: Alphabet) -> tuple[str, ...]:
        """Symbols of ``alphabet`` that the network knows."""
        return tuple(symbol for symbol in alphabet.symbols if symbol in self.alphabet)

    def copy_to(self, target: Discriminator, alphabet: Alphabet) -> None:
        """Copy all weights into ``target``, which has one class for each symbol of ``alphabet``.

        The last layer goes by symbol. A symbol that the network does not know starts as the mean
        of those that it does: no likelier than another, and on their scale.

        Raises
        ------
        InputError
            The networks are not of one width.
        """
        own = self.network
        if own.width != target.width:
            raise InputError(
                f"{self.path}: has width {own.width:g}, but a network of width {target.width:g} is "
                f"to be trained; set train.width={own.width:g}, or start from another model"
            )
        last = (own.dense_kernel.ref(), own.dense_bias.ref())
        for mine, theirs in zip(own.variables, target.variables, strict=True):
            if mine.ref() not in last:
                theirs.assign(mine)
        kernel, bias = own.dense_kernel.numpy(), own.dense_bias.numpy()
        columns = np.repeat(kernel.mean(axis=1, keepdims=True), len(alphabet), axis=1)
        biases = np.full(len(alphabet), bias.mean(), np.float32)
        for i, symbol in enumerate(alphabet.symbols):
            if symbol in self.alphabet:
                columns[:, i] = kernel[:, self.alphabet.index(symbol)]
                biases[i] = bias[self.alphabet.index(symbol)]
        target.dense_kernel.assign(tf.constant(columns))
        target.dense_bias.assign(biases)


def read_start(given: Path) -> Start:
    """Read the network to start from; `InputError` where it is missing or damaged."""
    path = find_weights(given)
    network, alphabet, _ = load_best(path)
    return Start(network, alphabet, path)
