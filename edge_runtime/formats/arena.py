"""Where the maps of a network lie in one block of memory, so that it is small."""

import math

from edge_runtime.layers import IntegerNetwork


def plan_arena(network: IntegerNetwork) -> tuple[list[int], int]:
    """Offsets of all layers' int8 outputs, and the size of the block, in bytes.

    A map lives from its layer to the last that reads it; the network's output to the end. The
    largest are placed first, each as low as it fits beside those that live at the same time. The
    network's input is not in the block, nor is an output of int32 logits (size 0).
    """
    count = len(network.layers)
    sizes = [math.prod(shape) for shape in network.output_shapes()]
    if network.int32_logits:
        sizes[-1] = 0
    last_use = list(range(count))
    for i, layer in enumerate(network.layers):
        for source in layer.sources:
            if source >= 0:
                last_use[source] = i
    last_use[-1] = count
    offsets = [0] * count
    placed: list[int] = []
    for i in sorted(range(count), key=lambda n: (-sizes[n], n)):
        beside = sorted(
            (offsets[k], sizes[k]) for k in placed if k <= last_use[i] and i <= last_use[k]
        )
        at = 0
        for offset, size in beside:
            if at + sizes[i] <= offset:
                break
            at = max(at, offset + size)
        offsets[i] = at
        placed.append(i)
    return offsets, max(o + s for o, s in zip(offsets, sizes, strict=True))
