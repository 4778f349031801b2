"""Passes: each takes a graph and returns a simpler one that computes the same.

What remains is what the integer network knows: Input, Conv2D (some depthwise) and Add with
activations merged in, AvgPool, MaxPool and Concat. ``PASSES`` is their order; ``LATE_PASSES``
follow when nothing else changes. Each pass is a file with one function named as the file.
"""

from quantize.ir import Graph, Pass
from quantize.passes.complete_layers import complete_layers
from quantize.passes.cut_logits import cut_logits
from quantize.passes.dense_to_conv import dense_to_conv
from quantize.passes.drop_dead_weights import drop_dead_weights
from quantize.passes.fold_batch_norm import fold_batch_norm
from quantize.passes.fold_constants import fold_constants
from quantize.passes.fuse_activation import fuse_activation
from quantize.passes.fuse_bias import fuse_bias
from quantize.passes.mean_to_pool import mean_to_pool
from quantize.passes.merge_padding import merge_padding
from quantize.passes.merge_scale import merge_scale
from quantize.passes.raise_activations import raise_activations
from quantize.passes.recognize_activations import recognize_activations
from quantize.passes.resolve_padding import resolve_padding
from quantize.passes.resolve_views import resolve_views
from quantize.passes.scale_to_conv import scale_to_conv
from quantize.passes.sink_transposes import sink_transposes
from quantize.passes.strip_identities import strip_identities
from quantize.passes.strip_views import strip_views

PASSES: tuple[Pass, ...] = (
    strip_identities,
    fold_constants,
    cut_logits,
    resolve_views,
    sink_transposes,
    recognize_activations,
    resolve_padding,
    merge_padding,
    fuse_bias,
    fold_batch_norm,
    raise_activations,
    fuse_activation,
    mean_to_pool,
    dense_to_conv,
    strip_views,
    complete_layers,
)
LATE_PASSES: tuple[Pass, ...] = (scale_to_conv, merge_scale)
# Changes the constants that fix points are found for: not for the vendor's rules.
BETTER_PASSES: tuple[Pass, ...] = (drop_dead_weights,)


def simplify(graph: Graph, vendor: bool = False) -> Graph:
    """Run all passes until none changes the graph; ``vendor`` keeps constants as decent_q does."""
    graph = repeat(graph, PASSES)
    late = LATE_PASSES if vendor else (*LATE_PASSES, *BETTER_PASSES)
    return repeat(graph, (*late, *PASSES))


def repeat(graph: Graph, passes: tuple[Pass, ...]) -> Graph:
    """Run passes in order, over and over, until none of them changes the graph."""
    while True:
        before = graph.signature()
        for each in passes:
            graph = each(graph)
        if graph.signature() == before:
            return graph
