"""``quantize check``: will a DPU run this network? Every operator gets a verdict.

It needs no calibration and no trained weights: a network can be checked before it is trained.
Operators that the quantizer does not know are listed with all others.
"""

import contextlib
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.errors import GraphError
from edge_runtime.layers import Activation
from quantize import dpu, execute
from quantize.dpu import Target
from quantize.import_graph import survey
from quantize.ir import VIEWS, Graph, Node, Op
from quantize.passes import simplify
from quantize.passes.cut_logits import cut_logits
from quantize.passes.fuse_activation import other_slope

Shape = tuple[int, int, int]
ON_DPU, ON_CPU, UNSUPPORTED = "DPU", "CPU", "unsupported"


@dataclass(frozen=True)
class Verdict:
    """Where one operator runs, and why.

    where : "DPU", "CPU" or "unsupported";  reason : what to change, empty for the DPU
    output : (height, width, channels), () where it cannot be known
    macs : multiply-adds for one input;  cycles : at the target's parallelism, if none is lost
    weight_bytes, output_bytes : int8
    """

    name: str
    op: str
    output: Shape | tuple[()]
    where: str
    reason: str = ""
    macs: int = 0
    cycles: int = 0
    weight_bytes: int = 0
    output_bytes: int = 0


@dataclass(frozen=True)
class Report:
    """All verdicts for one network on one target."""

    model: Path
    target: Target
    verdicts: list[Verdict]
    resident_bytes: int
    broken_by: str = ""  # why sizes are not known from somewhere on

    @property
    def kernels(self) -> int:
        """DPU kernels: stretches of operators that no CPU operator interrupts."""
        places = [v.where for v in self.verdicts]
        return sum(1 for where, _ in groupby(places) if where == ON_DPU)

    @property
    def fits(self) -> bool:
        """Whether one DPU kernel holds the whole network up to its logits."""
        return self.kernels == 1 and not self.unsupported and not self.broken_by

    @property
    def unsupported(self) -> list[Verdict]:
        """Operators that neither the DPU nor the runtime computes."""
        return [v for v in self.verdicts if v.where == UNSUPPORTED]

    @property
    def problem(self) -> str:
        """What keeps the network from the DPU, in one line; "" where nothing does."""
        if self.fits:
            return ""
        first = next((f"{v.name} ({v.op}): {v.reason}" for v in self.unsupported), self.broken_by)
        return (
            f"{self.model}: {len(self.unsupported)} of {len(self.verdicts)} operators do not run "
            f"on {self.target.name}; the first is {first}"
        )

    @property
    def milliseconds(self) -> float:
        """Ideal time of the DPU's part at the target's clock."""
        return 1e3 * sum(v.cycles for v in self.verdicts) / self.target.clock_hz

    def text(self) -> str:
        """Return the report as `check` prints it."""
        rows = [
            [v.name, v.op, _by(v.output), v.where, v.macs, v.cycles, v.weight_bytes]
            for v in self.verdicts
        ]
        headers = ["operator", "kind", "output", "runs on", "multiply-adds", "cycles", "bytes"]
        table = tabulate(rows, headers, tablefmt="simple", intfmt=",")
        target = self.target
        macs, cycles = (sum(getattr(v, key) for v in self.verdicts) for key in ("macs", "cycles"))
        used = macs / (cycles * target.macs_per_cycle) if cycles else 0.0
        weights = sum(v.weight_bytes for v in self.verdicts)
        room = "fits on chip" if self.resident_bytes <= target.memory_bytes else "streamed from DDR"
        lines = [
            table,
            "",
            *(f"{v.name} ({v.op}): {v.where}; {v.reason}" for v in self.verdicts if v.reason),
            *([f"sizes marked ? are not known: {self.broken_by}"] if self.broken_by else []),
            f"{target.name}: {self.kernels} DPU kernel{'s' if self.kernels != 1 else ''}, "
            f"{macs:,} multiply-adds, {weights:,} bytes of weights",
            f"ideal: {cycles:,} cycles, {self.milliseconds:.3f} ms at "
            f"{target.clock_hz / 1e6:.0f} MHz, {used:.0%} of the multipliers busy "
            "(memory and start-up not counted)",
            f"largest layer with its input and output: {self.resident_bytes:,} of "
            f"{target.memory_bytes:,} bytes on chip, {room}",
            "verdict: " + ("one DPU kernel holds it" if self.fits else "not one DPU kernel"),
        ]
        return "\n".join(lines)


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "?"


def check(
    model: Path, target: str, input_node: str | None = None, output_node: str | None = None
) -> Report:
    """Say of every operator of a model whether a DPU of this size runs it.

    Raises
    ------
    GraphError
        When the file cannot be read.
    """
    chosen = dpu.target_named(target)
    found = survey(model, input_node, output_node)
    source = cut_logits(found.graph)
    cut = [] if source is found.graph else [(found.graph.output, str(Op.SOFTMAX))]
    rows, resident, broken_by = _judged(source, chosen)
    # A change of layout beside an unknown operator is the importer's, and none of the network's.
    verdicts = [v for v in rows if v.op != Op.TRANSPOSE or v.name in found.names]
    for name, op in (*cut, *found.behind):
        reason = "behind the logits; the runtime makes scores and classes from them"
        verdicts.append(Verdict(name, op, (), ON_CPU, reason))
    return Report(model, chosen, verdicts, resident, broken_by)


def _judged(source: Graph, target: Target) -> tuple[list[Verdict], int, str]:
    """Return verdicts, the largest layer's bytes, and why some sizes are not known."""
    try:
        return *_measured(source, target), ""
    except GraphError as error:
        broken_by = str(error)
    # The graph is measured up to the first operator whose output cannot be sized.
    ahead = next((_until(source, n.inputs[0]) for n in source.nodes.values() if _unsized(n)), None)
    verdicts: list[Verdict] = []
    resident = 0
    if ahead is not None:
        with contextlib.suppress(GraphError):
            verdicts, resident = _measured(ahead, target)
    seen = ahead.nodes if ahead is not None and verdicts else {}
    return [*verdicts, *_listed(source, seen)], resident, broken_by


def _measured(source: Graph, target: Target) -> tuple[list[Verdict], int]:
    graph = simplify(source, vendor=True)
    shapes = {name: _map_shape(shape) for name, shape in execute.shapes(graph).items()}
    verdicts = [
        _verdict(graph, node, shapes, target)
        for node in graph.nodes.values()
        if node.op not in (Op.INPUT, Op.CONST)
    ]
    resident = max((_resident(graph, node, shapes) for node in graph.nodes.values()), default=0)
    return verdicts, resident


def _unsized(node: Node) -> bool:
    known = "shape" in node.attributes or node.flag("keeps_shape")
    return node.op is Op.UNKNOWN and bool(node.inputs) and not known


def _until(graph: Graph, output: str) -> Graph:
    """Return the graph that ends at a node."""
    needed = {output, graph.input}
    for node in reversed(list(graph.nodes.values())):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = [node for node in graph.nodes.values() if node.name in needed]
    return Graph.of(nodes, graph.input, output)


def _listed(source: Graph, seen: Container[str]) -> list[Verdict]:
    """Judge operators of a graph as it stands in the file by their kind alone."""
    passed = {Op.INPUT, Op.CONST, Op.IDENTITY, Op.PAD, *VIEWS}  # they become part of others
    rows = []
    for node in source.nodes.values():
        if node.op in passed or node.name in seen:
            continue
        reason = _advice(node) if node.op in (Op.UNKNOWN, Op.SOFTMAX) else other_slope(node)
        where = UNSUPPORTED if reason else ON_DPU
        rows.append(Verdict(node.name, _kind(node), (), where, reason))
    return rows


def _map_shape(shape: Sequence[int]) -> Shape:
    """Return (height, width, channels) of a map, or of a vector as a 1×1 map."""
    inner = tuple(shape[1:])
    if len(inner) == 3:
        return inner
    return 1, 1, math.prod(inner)


def _verdict(graph: Graph, node: Node, shapes: dict[str, Shape], target: Target) -> Verdict:
    out = shapes[node.name]
    judge = {
        Op.CONV: _conv,
        Op.AVG_POOL: _pool,
        Op.MAX_POOL: _pool,
        Op.ADD: _elementwise,
        Op.CONCAT: _elementwise,
    }.get(node.op)
    common: dict[str, Any] = {"output_bytes": math.prod(out)}
    if judge is None:
        return Verdict(node.name, _kind(node), out, UNSUPPORTED, _advice(node), **common)
    reason, numbers = judge(graph, node, shapes, target)
    reason = reason or _activation_problem(node, target)
    where = UNSUPPORTED if reason else ON_DPU
    return Verdict(node.layer, _kind(node), out, where, reason, **common, **numbers)


def _kind(node: Node) -> str:
    if node.op is Op.UNKNOWN:
        return str(node.attributes["kind"])
    kind = "DepthwiseConv2D" if node.flag("depthwise") else str(node.op)
    return kind if node.activation is Activation.NONE else f"{kind} + {node.activation}"


def _advice(node: Node) -> str:
    if node.op is Op.UNKNOWN:
        return str(node.attributes["advice"])
    if other_slope(node):
        return other_slope(node)
    if node.op is Op.LEAKY_RELU:
        return "put it directly behind a convolution, with slope 0.1"
    if node.op in (Op.RELU, Op.RELU6):
        return "put it directly behind a convolution, a dense layer or an addition"
    if node.op is Op.BATCH_NORM:
        return "put it directly behind a convolution or dense layer"
    if node.op is Op.SOFTMAX:
        return "end the network at its logits; the runtime makes scores"
    if node.op is Op.MEAN:
        return "use a mean over height and width"
    return (
        "restructure the network so that convolutions, pools, additions and concatenations remain"
    )


def _activation_problem(node: Node, target: Target) -> str:
    if node.activation is Activation.LEAKY_RELU and target.name == "B1152":
        return "the public B1152 build has ReLU and ReLU6 only; use one of them"
    return ""


def _conv(
    graph: Graph, node: Node, shapes: dict[str, Shape], target: Target
) -> tuple[str, dict[str, int]]:
    value = graph.value(node.inputs[1])
    if value is None:
        return "its weights are computed; they must be constant", {}
    out_channels, height, width, _ = value.shape
    given, out = shapes[node.inputs[0]], shapes[node.name]
    strides, pads = node.ints("strides"), node.ints("pads", (0, 0, 0, 0))
    bank = height * width * math.ceil(given[2] / target.inputs)
    reason = ""
    if max(height, width) > dpu.MAX_KERNEL:
        reason = f"kernel {height}×{width} is over {dpu.MAX_KERNEL}; use several smaller ones"
    elif max(strides) > dpu.MAX_STRIDE:
        reason = f"stride {max(strides)} is over {dpu.MAX_STRIDE}; use two layers"
    elif max(pads[:2]) >= max(height, 2) or max(pads[2:]) >= max(width, 2):
        reason = f"pads {pads} are larger than its kernel; use less padding"
    elif bank > dpu.MAX_WEIGHT_BANK and not node.flag("depthwise"):
        reason = (
            f"kernel {height}×{width} on {given[2]} channels needs {bank} rows of weights, over "
            f"{dpu.MAX_WEIGHT_BANK}; use fewer input channels or a smaller kernel"
        )
    elif out_channels > dpu.MAX_OUTPUT_GROUPS * target.outputs:
        reason = f"{out_channels} outputs are over {dpu.MAX_OUTPUT_GROUPS * target.outputs}"
    elif node.flag("depthwise") and out_channels != given[2]:
        reason = "a depthwise layer that multiplies channels; use one kernel a channel"
    cycles = (
        dpu.channel_cycles(target, out, height * width)
        if node.flag("depthwise")
        else dpu.conv_cycles(target, out, height * width, given[2])
    )
    return reason, {
        "macs": value.size * out[0] * out[1],
        "cycles": cycles,
        "weight_bytes": value.size + out_channels,
    }


def _pool(
    graph: Graph, node: Node, shapes: dict[str, Shape], target: Target
) -> tuple[str, dict[str, int]]:
    height, width = node.ints("kernel")
    reason = ""
    if node.op is Op.AVG_POOL and (height != width or not 2 <= height <= dpu.MAX_AVERAGE):
        if (height, width) != (1, 1):
            reason = (
                f"an average over {height}×{width}; the DPU averages squares of 2 to "
                f"{dpu.MAX_AVERAGE}: shrink the map before"
            )
    elif max(height, width) > dpu.MAX_MAXIMUM:
        reason = f"a maximum over {height}×{width}, over {dpu.MAX_MAXIMUM}; use two"
    elif max(node.ints("strides")) > dpu.MAX_STRIDE:
        reason = f"stride {max(node.ints('strides'))} is over {dpu.MAX_STRIDE}"
    return reason, {"cycles": dpu.channel_cycles(target, shapes[node.name], height * width)}


def _elementwise(
    graph: Graph, node: Node, shapes: dict[str, Shape], target: Target
) -> tuple[str, dict[str, int]]:
    if any(graph.value(name) is not None for name in node.inputs):
        return "one side is constant; put it directly behind a convolution", {}
    cycles = dpu.channel_cycles(target, shapes[node.name], 1) if node.op is Op.ADD else 0
    return "", {"cycles": cycles}


def _resident(graph: Graph, node: Node, shapes: dict[str, Shape]) -> int:
    """Bytes of a layer's weights, inputs and output."""
    if node.op in (Op.INPUT, Op.CONST):
        return 0
    total = math.prod(shapes[node.name])
    for name in node.inputs:
        value = graph.value(name)
        total += math.prod(shapes[name]) if value is None else value.size
    return total
