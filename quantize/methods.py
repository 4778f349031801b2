"""Quantization methods by name: each finds fix points for a simplified graph.

``non-overflow`` and ``min-mse`` are the vendor's rules for every tensor. ``best`` runs both and
keeps the one whose integer logits are nearer to the float network's on the calibration inputs.
"""

from dataclasses import dataclass

import numpy as np

from edge_runtime import integer
from edge_runtime.layers import IntegerNetwork
from quantize import execute, fix_points
from quantize.calibrate import FixPoints, calibrate
from quantize.execute import Float
from quantize.fix_points import half_up, to_integers
from quantize.ir import Graph
from quantize.lower import lower

METHODS = ("best", *fix_points.RULES)


@dataclass(frozen=True)
class Quantized:
    """What a method made of a graph.

    method : the rule that was followed; for ``best`` the one that won
    logit_errors : mean squared error of the dequantized logits against the float network, on the
        calibration inputs, of every rule that was tried
    """

    method: str
    positions: FixPoints
    network: IntegerNetwork
    logit_errors: dict[str, float]


def quantize(
    graph: Graph, inputs: Float, method: str, batch: int, input_fix_point: int | None = None
) -> Quantized:
    """Quantize a simplified graph; ``inputs`` are float32 [N, height, width, channels].

    ``min-mse`` wins a tie.
    """
    rules = ("min-mse", "non-overflow") if method == "best" else (method,)
    wanted = execute.run(graph, inputs).reshape(len(inputs), -1)
    tried: dict[str, tuple[FixPoints, IntegerNetwork]] = {}
    errors: dict[str, float] = {}
    for rule in rules:
        positions = calibrate(graph, inputs, rule, batch, input_fix_point)
        network = lower(graph, positions)
        tried[rule] = positions, network
        found = dequantized_logits(network, inputs)
        errors[rule] = float(np.mean(np.square(found - wanted), dtype=np.float64))
    winner = min(errors, key=lambda rule: errors[rule])
    return Quantized(winner, *tried[winner], errors)


def integer_inputs(network: IntegerNetwork, inputs: Float) -> integer.Int8:
    """Return float inputs at the network's input fix point, rounded half up."""
    return to_integers(inputs, network.input_fix_point, half_up)


def dequantized_logits(network: IntegerNetwork, inputs: Float, batch: int = 64) -> Float:
    """Return the values that the integer logits stand for: float64 [N, classes]."""
    x = integer_inputs(network, inputs)
    return np.ldexp(run_integers(network, x, batch).astype(np.float64), -network.logits_fix_point)


def run_integers(network: IntegerNetwork, inputs: integer.Int8, batch: int = 64) -> integer.Int8:
    """Run the integer reference in batches: int8 logits [N, classes]."""
    parts = [integer.run(network, inputs[i : i + batch]) for i in range(0, len(inputs), batch)]
    return np.concatenate(parts)
