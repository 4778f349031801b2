"""Passes: each takes a graph and returns a simpler one that computes the same.

``PASSES`` is their order. What remains is what the integer network knows: Input, Conv2D with bias
and ReLU merged in, and AvgPool. Each pass is a file with one function named as the file.
"""

from quantize.ir import Graph, Pass
from quantize.passes.complete_layers import complete_layers
from quantize.passes.cut_logits import cut_logits
from quantize.passes.dense_to_conv import dense_to_conv
from quantize.passes.fold_batch_norm import fold_batch_norm
from quantize.passes.fold_constants import fold_constants
from quantize.passes.fuse_bias import fuse_bias
from quantize.passes.fuse_relu import fuse_relu
from quantize.passes.mean_to_pool import mean_to_pool
from quantize.passes.resolve_padding import resolve_padding
from quantize.passes.resolve_views import resolve_views
from quantize.passes.sink_transposes import sink_transposes
from quantize.passes.strip_identities import strip_identities
from quantize.passes.strip_views import strip_views

PASSES: tuple[Pass, ...] = (
    strip_identities,
    fold_constants,
    cut_logits,
    resolve_views,
    sink_transposes,
    resolve_padding,
    fuse_bias,
    fold_batch_norm,
    fuse_relu,
    mean_to_pool,
    dense_to_conv,
    strip_views,
    complete_layers,
)


def simplify(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> Graph:
    """Run passes in order, over and over, until none of them changes the graph."""
    while True:
        before = graph.signature()
        for each in passes:
            graph = each(graph)
        if graph.signature() == before:
            return graph
