"""What quantization does to each layer: saturation, noise, distributions, and its cost alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from edge_runtime import integer
from edge_runtime.layers import Conv, IntegerNetwork, output_range
from quantize import execute
from quantize.calibrate import FixPoints, pool_correction
from quantize.execute import Float
from quantize.fix_points import half_away_from_zero, half_up, quantized
from quantize.ir import Graph, Node, Op
from quantize.logits import confidence
from quantize.lower import layers_of
from quantize.methods import Quantized, integer_inputs

Labels = npt.NDArray[np.int64]
COUNT = 256  # inputs that layers are analyzed on
ALONE_COUNT = 1024  # inputs on which each layer is quantized alone: one is 0.1 % of them
_CHUNK = 128
_FLOATS = 2**24  # values of the largest map; windows of a 3×3 kernel are nine times that
_BINS = 32
_WORST = 12


@dataclass(frozen=True)
class LayerAnalysis:
    """One layer's output in float and in integers, on the same inputs.

    saturated : share of the integers that are clipped at an end that the activation does not set
    snr_db : power of the float output over that of the integer network's error in it
    agreement_alone : share of inputs that keep their class when this layer alone is quantized
    cost_alone : points of accuracy that this costs, negative where it gains; None without labels
    edges, before, after : histogram of values, float [33], of the float and integer outputs
    """

    name: str
    saturated: float
    snr_db: float
    agreement_alone: float
    cost_alone: float | None
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what quantization.json keeps: the figures, not the histograms."""
        cost = self.cost_alone
        return {
            "saturated": round(self.saturated, 6),
            "snr_db": round(self.snr_db, 2),
            "agreement_alone": round(self.agreement_alone, 6),
            "cost_alone_points": None if cost is None else round(cost, 4),
        }


@dataclass(frozen=True)
class WorstInput:
    """An input whose answer quantization changed most.

    values : float32 [height, width, channels];  moved : change of the top class's probability
    label : its class, None where it is not known
    """

    values: Float
    float_class: int
    int8_class: int
    moved: float
    label: int | None


@dataclass(frozen=True)
class Analysis:
    """All layers in order of execution, and the worst inputs first.

    count : inputs behind the layers' figures;  alone_count : behind agreement and cost alone
    """

    layers: tuple[LayerAnalysis, ...]
    worst: tuple[WorstInput, ...]
    count: int
    alone_count: int


def analyze(quantized_graph: Quantized, inputs: Float, labels: Labels | None = None) -> Analysis:
    """Analyze a quantized network on float32 inputs [N, height, width, channels].

    Parameters
    ----------
    labels : their classes, int [N], where they are known
    """
    source, network = quantized_graph.source, quantized_graph.network
    fits = max(1, _FLOATS // execute.largest_map(source))
    chosen = _spread(len(inputs), min(COUNT, fits))
    some, classes = inputs[chosen], None if labels is None else labels[chosen]
    agreements, costs, alone_count = _alone(quantized_graph, inputs, labels, min(_CHUNK, fits))
    wanted = execute.values(source, some)
    outputs = list(integer.run_layers(network, integer_inputs(network, some)))
    logits: Float = np.asarray(wanted[source.output], np.float32).reshape(len(some), -1)
    layers = []
    for i, (node, layer) in enumerate(zip(layers_of(source), network.layers, strict=True)):
        exact = np.asarray(wanted[node.name], np.float64)
        found = np.ldexp(outputs[i].astype(np.float64), -layer.fix_point)
        edges, before, after = _histograms(exact, found)
        layers.append(
            LayerAnalysis(
                node.layer,
                _saturated(outputs[i], network, i),
                _snr_db(exact, found),
                agreements[i],
                costs[i],
                edges,
                before,
                after,
            )
        )
    last = np.ldexp(outputs[-1].astype(np.float64), -network.logits_fix_point)
    scale = quantized_graph.logit_scale
    worst = _worst(some, logits / scale, last.reshape(len(some), -1) / scale, classes)
    return Analysis(tuple(layers), worst, len(some), alone_count)


def _spread(available: int, count: int) -> npt.NDArray[np.int64]:
    """Return indices of ``count`` inputs, spread evenly over those that there are."""
    return np.linspace(0, available - 1, min(count, available)).round().astype(np.int64)


def _alone(
    result: Quantized, inputs: Float, labels: Labels | None, chunk: int
) -> tuple[list[float], list[float | None], int]:
    """Quantize each layer by itself: agreement with the float network, and points of accuracy."""
    chosen = _spread(len(inputs), ALONE_COUNT)
    nodes = layers_of(result.source)
    same, lost = np.zeros(len(nodes)), np.zeros(len(nodes))
    starts = range(0, len(chosen), chunk)
    for start in tqdm(starts, desc="layers alone", unit="batch", disable=None, leave=False):
        part = chosen[start : start + chunk]
        wanted = execute.values(result.source, inputs[part])
        answers = _answers(wanted[result.source.output])
        for i, node in enumerate(nodes):
            found = _answers(_logits_alone(result, node, wanted))
            same[i] += np.count_nonzero(found == answers)
            if labels is not None:
                right, now = answers == labels[part], found == labels[part]
                lost[i] += np.count_nonzero(right) - np.count_nonzero(now)
    costs = [None if labels is None else float(100 * each / len(chosen)) for each in lost]
    return [float(each / len(chosen)) for each in same], costs, len(chosen)


def _answers(logits: Any) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = np.asarray(logits).reshape(len(logits), -1).argmax(axis=1)
    return found


def _saturated(output: integer.Logits, network: IntegerNetwork, index: int) -> float:
    layer = network.layers[index]
    if isinstance(layer, Conv) and layer.int32_output:
        return 0.0
    low, high = -128, 127
    if isinstance(layer, Conv):
        low, high = output_range(layer.activation, layer.fix_point)
    clipped = (output == 127) & (high == 127) | (output == -128) & (low == -128)
    return float(np.mean(clipped))


def _snr_db(exact: Float, found: Float) -> float:
    noise = float(np.square(found - exact).mean())
    power = float(np.square(exact).mean())
    return 10 * float(np.log10(power / noise)) if noise and power else 200.0


def _histograms(
    exact: Float, found: Float
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    low, high = (float(f(exact)) for f in (np.min, np.max))
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    counts = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in (exact, found)]
    before, after = (tuple(int(n) for n in each) for each in counts)
    return tuple(float(e) for e in edges), before, after


def _logits_alone(result: Quantized, node: Node, wanted: dict[str, Any]) -> Float:
    """Return the logits when one layer's constants and output are rounded, and nothing else."""
    graph, positions = result.source, result.positions
    found: dict[str, Any] = {}
    for each in graph.nodes.values():
        if each.name == node.name:
            found[each.name] = _rounded(result.graph, graph, node, wanted, positions)
        elif any(name in found for name in each.inputs):
            given = [found.get(name, wanted[name]) for name in each.inputs]
            found[each.name] = execute.evaluate(each, given)
    return np.asarray(found[graph.output])


def _rounded(
    rounded: Graph, graph: Graph, node: Node, wanted: dict[str, Any], positions: FixPoints
) -> Float:
    given = [wanted[name] for name in node.inputs]
    if node.op is Op.CONV:
        given[1:] = [
            quantized(
                np.asarray(rounded.value(name), np.float32), positions[name], half_away_from_zero
            )
            for name in node.inputs[1:]
        ]
    exact: Float = np.asarray(execute.evaluate(node, given), np.float32)
    if node.op is Op.AVG_POOL:
        exact = exact * np.float32(pool_correction(node))
    return quantized(exact, positions[node.name], half_up)


def _worst(
    inputs: Float, wanted: Float, found: Float, labels: Labels | None
) -> tuple[WorstInput, ...]:
    best = wanted.argmax(axis=1)
    moved = np.abs(confidence(found, best) - confidence(wanted, best))
    order = np.argsort(-moved, kind="stable")[:_WORST]
    return tuple(
        WorstInput(
            inputs[i],
            int(best[i]),
            int(found[i].argmax()),
            float(moved[i]),
            None if labels is None else int(labels[i]),
        )
        for i in order
    )
