"""Accuracy before and after quantization, and the limit on the difference."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.errors import VerificationError
from edge_runtime.integer import IntegerNetwork
from edge_runtime.metrics import Metric, wilson
from edge_runtime.preprocess import to_float
from quantize import execute
from quantize.inputs import Validation
from quantize.ir import Graph
from quantize.logits import count_ties
from quantize.methods import run_integers


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of both networks on the same images, how often they agree, and ties."""

    split: str
    float_network: Metric
    int8_network: Metric
    agreement: Metric
    ties: Metric

    @property
    def loss_points(self) -> float:
        """Points of accuracy that quantization costs; negative where it gains."""
        return 100 * (self.float_network.value - self.int8_network.value)

    def as_json(self) -> dict[str, Any]:
        """Return the figures with their n and 95 % intervals."""
        return {
            "split": self.split,
            "n": self.float_network.n,
            "float": self.float_network.as_json(),
            "int8": self.int8_network.as_json(),
            "agreement": self.agreement.as_json(),
            "ties": self.ties.as_json(),
            "loss_points": round(self.loss_points, 4),
        }


def measure(graph: Graph, network: IntegerNetwork, validation: Validation) -> Accuracy:
    """Run the float graph and the integer network on the validation images."""
    inputs, labels = validation.inputs, validation.labels
    logits = execute.run(graph, to_float(inputs)).reshape(len(inputs), -1)
    # argmax takes the first of equal logits: ties go to the lowest class, as everywhere.
    by_float = logits.argmax(axis=1)
    integers = run_integers(network, inputs)
    by_int8 = integers.argmax(axis=1)

    def share(hits: Any) -> Metric:
        return wilson(int(np.count_nonzero(hits)), len(inputs))

    return Accuracy(
        validation.split,
        share(by_float == labels),
        share(by_int8 == labels),
        share(by_float == by_int8),
        share(count_ties(integers)),
    )


def check_loss(accuracy: Accuracy, limit: float) -> None:
    """Raise `VerificationError` where int8 loses more than ``limit`` points."""
    if accuracy.loss_points > limit:
        raise VerificationError(
            f"int8 loses {accuracy.loss_points:.2f} points of accuracy (float "
            f"{accuracy.float_network.value:.2%}, int8 {accuracy.int8_network.value:.2%}, "
            f"n = {accuracy.float_network.n}), more than {limit:g}; try another --method, more "
            "--calibration-count, or allow it with --max-accuracy-loss"
        )
