"""Quantization methods by name: each turns a simplified graph into an integer network.

``non-overflow`` and ``min-mse`` are the vendor's rules for every tensor. ``best`` tries both, and
layers fitted to the float network (`quantize.layerwise`) behind two strengths of cross-layer
equalization (`quantize.equalize`); it keeps the network whose logits are nearest to the float
network's on calibration inputs that nothing was fitted to. Last it chooses the logits' scale.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_runtime import integer
from edge_runtime.errors import InputError
from edge_runtime.layers import IntegerNetwork
from quantize import execute, fix_points
from quantize.calibrate import FixPoints, calibrate
from quantize.equalize import equalize, with_constants
from quantize.execute import Float
from quantize.fix_points import half_up, to_integers
from quantize.ir import Graph, Op
from quantize.layerwise import optimize, refit_last
from quantize.logits import MAX_TIES, best_step, tie_share
from quantize.lower import lower

log = logging.getLogger(__name__)

METHODS = ("best", *fix_points.RULES)
HEADS = ("auto", "dpu", "cpu")
_STRENGTHS = (0.5, 1.0)  # of equalization
_JUDGED_SHARE = 4  # every fourth calibration input judges, the others fit
_FITTED = 1024  # more inputs than this take time and no longer help
_STARTED = 256  # of them find the fix points to start from
_FLOATS = 2**27  # values of a tensor that fitting keeps in memory


@dataclass(frozen=True)
class Options:
    """How to quantize.

    method : one of `METHODS`;  batch : inputs per calibration batch
    head : where the last layer runs: "dpu" gives int8 logits, "cpu" int32 ones; "auto" is "dpu",
        but "cpu" for method best where int8 logits would tie too often
    input_fix_point : where the preprocessing fixes it
    """

    method: str
    batch: int
    head: str = "auto"
    align_pool: bool = False
    evaluation_bias: bool = False
    input_fix_point: int | None = None


@dataclass(frozen=True)
class Quantized:
    """What a method made of a graph.

    method : the rule that was followed; for ``best`` the one that won
    source : the float graph, equalized and scaled as the method likes it
    graph : the same with constants as the method chose them; rounding them gives the integers
    positions : fix points as the method found them; a bias may be finer than its sums
    logit_errors : mean squared error of the dequantized logits against the float network, on
        calibration inputs, of every rule that was tried
    logit_scale : factor that the integer logits carry
    ties : share of calibration inputs whose largest logit two classes share
    """

    method: str
    source: Graph
    graph: Graph
    positions: FixPoints
    network: IntegerNetwork
    logit_errors: dict[str, float]
    logit_scale: float = 1.0
    ties: float = 0.0


@dataclass(frozen=True)
class _Candidate:
    """A way to quantize: the float graph that it rounds, and the graph and positions it found."""

    name: str
    source: Graph
    graph: Graph
    positions: FixPoints


def quantize(
    graph: Graph,
    inputs: Float,
    options: Options,
    better: Graph | None = None,
    validation: Float | None = None,
) -> Quantized:
    """Quantize a simplified graph; ``inputs`` are float32 [N, height, width, channels].

    Parameters
    ----------
    better : the graph for fitted candidates, where it is simplified further; see `passes.simplify`
    validation : inputs that choose between candidates, where there are some; without them every
        fourth calibration input does. A network ties far less on images that it was trained on.
    """
    judged = inputs
    if options.method == "best":
        judged = inputs[::_JUDGED_SHARE] if validation is None else validation[:_FITTED]
    wanted = execute.run(graph, judged).reshape(len(judged), -1)
    errors: dict[str, float] = {}
    winner: _Candidate | None = None
    for candidate in _candidates(graph, inputs, options, better or graph):
        exact = options.method == "best" and _has_linear_head(graph)
        network = lower(candidate.graph, candidate.positions, exact)
        found = dequantized_logits(network, judged)
        errors[candidate.name] = float(np.mean(np.square(found - wanted), dtype=np.float64))
        log.info("%s: squared error of logits %.4g", candidate.name, errors[candidate.name])
        if winner is None or errors[candidate.name] < errors[winner.name]:
            winner = candidate
    if winner is None:
        raise ValueError(f"no method {options.method!r}")
    return _finished(winner, inputs, judged, options, errors)


def _candidates(
    graph: Graph, inputs: Float, options: Options, better: Graph
) -> Iterator[_Candidate]:
    rules = ("min-mse", "non-overflow") if options.method == "best" else (options.method,)
    p, pool = options.input_fix_point, options.align_pool
    for rule in rules:
        positions = calibrate(graph, inputs, rule, options.batch, p, pool)
        yield _Candidate(rule, graph, graph, positions)
    if options.method != "best":
        return
    fitted_on = _fitting_inputs(better, inputs)
    for strength in _STRENGTHS:
        name = f"fitted, equalized {strength:g}"
        try:
            source = equalize(better, fitted_on[:_STARTED], strength)
            start = calibrate(source, fitted_on[:_STARTED], "min-mse", options.batch, p, pool)
            found, positions = optimize(source, fitted_on, start)
            lower(found, positions)
        except (InputError, np.linalg.LinAlgError) as error:
            # The vendor's rules have worked: a network that cannot be fitted keeps theirs.
            log.info("%s: left out (%s)", name, error)
            continue
        yield _Candidate(name, source, found, positions)


def _fitting_inputs(graph: Graph, inputs: Float) -> Float:
    """Choose inputs to fit to: not those that judge, and no more than memory holds."""
    rest = inputs[np.arange(len(inputs)) % _JUDGED_SHARE != 0]
    if not len(rest):
        rest = inputs
    count = min(len(rest), _FITTED, max(1, _FLOATS // execute.largest_map(graph)))
    return np.asarray(rest[np.linspace(0, len(rest) - 1, count).round().astype(int)])


def _finished(
    winner: _Candidate, inputs: Float, judged: Float, options: Options, errors: dict[str, float]
) -> Quantized:
    """Choose the kind and the scale of the logits, and build the network."""
    best = options.method == "best" and _has_linear_head(winner.graph)

    def build(of: _Candidate, scale: float, int32_logits: bool) -> Quantized:
        network = lower(of.graph, of.positions, int32_logits, options.evaluation_bias)
        ties = tie_share(run_integers(network, integer_inputs(network, judged)))
        return Quantized(of.name, of.source, of.graph, of.positions, network, errors, scale, ties)

    if not best or options.head == "cpu":
        return build(winner, 1.0, options.head == "cpu")
    narrow = build(*_scaled_logits(winner, inputs, judged), False)
    if options.head == "dpu" or narrow.ties <= MAX_TIES:
        return narrow
    log.info("%.2f %% of int8 logits tie: the last layer is left to the CPU", 100 * narrow.ties)
    return build(winner, 1.0, True)


def _has_linear_head(graph: Graph) -> bool:
    last = graph[graph.output]
    return last.op is Op.CONV and last.activation.value == "none" and not last.flag("depthwise")


def _scaled_logits(winner: _Candidate, inputs: Float, judged: Float) -> tuple[_Candidate, float]:
    """Scale the last layer so that eight bits are used best; see `logits.best_step`."""
    wide = lower(winner.graph, winner.positions, int32_logits=True)
    step = best_step(dequantized_logits(wide, judged))
    last = winner.source[winner.source.output]
    p = int(np.floor(-np.log2(step)))
    scale = float(np.ldexp(1.0, -p) / step)
    constants = [np.asarray(winner.source.value(name), np.float64) for name in last.inputs[1:]]
    named = dict(zip(last.inputs[1:], (scale * value for value in constants), strict=True))
    source = with_constants(winner.source, named)
    fitted_on = _fitting_inputs(source, inputs)
    given = _last_inputs(wide, fitted_on)
    positions = winner.positions | {last.name: p}
    graph, positions = refit_last(source, winner.graph, fitted_on, given, positions)
    return replace(winner, source=source, graph=graph, positions=positions), scale


def _last_inputs(network: IntegerNetwork, inputs: Float, batch: int = 64) -> Float:
    """Return what the last layer reads, as values."""
    source = network.layers[-1].sources[0]
    x = integer_inputs(network, inputs)
    parts = []
    for i in range(0, len(x), batch):
        layers = [x[i : i + batch], *integer.run_layers(network, x[i : i + batch])]
        parts.append(layers[source + 1])
    values = np.concatenate(parts).astype(np.float32)
    return np.asarray(np.ldexp(values, -network.fix_point(source)))


def integer_inputs(network: IntegerNetwork, inputs: Float) -> integer.Int8:
    """Return float inputs at the network's input fix point, rounded half up."""
    return to_integers(inputs, network.input_fix_point, half_up)


def dequantized_logits(network: IntegerNetwork, inputs: Float, batch: int = 64) -> Float:
    """Return the values that the integer logits stand for: float64 [N, classes]."""
    x = integer_inputs(network, inputs)
    return np.ldexp(run_integers(network, x, batch).astype(np.float64), -network.logits_fix_point)


def run_integers(network: IntegerNetwork, inputs: integer.Int8, batch: int = 64) -> integer.Logits:
    """Run the integer reference in batches: integer logits [N, classes]."""
    parts = [integer.run(network, inputs[i : i + batch]) for i in range(0, len(inputs), batch)]
    logits: integer.Logits = np.concatenate(parts)
    return logits
