"""DNNDK ELF files made by the tests, as dnnc 3 writes them: the sections, nodes and tensors.

What a real DPU would execute, the section code, is here the list of steps that the stand-in
library of tests/stand_ins/n2cube.cpp computes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_runtime.layers import Activation, AvgPool, Conv, IntegerNetwork

PARALLELISM = {"B1152": (4, 12, 12), "B4096": (8, 16, 16)}
CONV, DEPTHWISE, AVG_POOL = range(3)
ABI = 0x20000

Layout = Callable[[np.ndarray], bytes]


def verbatim(weights: np.ndarray) -> bytes:
    """Output channels, height, width, input channels."""
    return weights.tobytes()


@dataclass(frozen=True)
class Names:
    """Zero-terminated names one after another, each known by its offset."""

    data: bytearray

    def add(self, name: str) -> int:
        at = len(self.data)
        self.data.extend(name.encode() + b"\0")
        return at


def elf_file(sections: dict[str, bytes], bits: int = 32) -> bytes:
    """A little-endian relocatable file for Arm with these sections."""
    names = Names(bytearray(b"\0"))
    header = 52 if bits == 32 else 64
    row = "<10I" if bits == 32 else "<IIQQQQIIQQ"
    body, rows = bytearray(), [struct.pack(row, *([0] * 10))]
    for name, data in [*sections.items(), (".shstrtab", b"")]:
        label = names.add(name)
        if name == ".shstrtab":
            data = bytes(names.data)
        kind = 3 if name.endswith("strtab") else 1
        rows.append(struct.pack(row, label, kind, 0, 0, header + len(body), len(data), 0, 0, 1, 0))
        body += data + bytes(-len(data) % 8)
    table = header + len(body)
    count = len(rows)
    ident = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    machine = 40 if bits == 32 else 183
    word = "I" if bits == 32 else "Q"
    head = ident + struct.pack(
        f"<HHI{word}{word}{word}IHHHHHH",
        *(1, machine, 1, 0, 0, table, 0, header, 0, 0, struct.calcsize(row), count, count - 1),
    )
    return head + bytes(body) + b"".join(rows)


def dnndk_elf(
    network: IntegerNetwork,
    kernel: str = "chars_0",
    target: str = "B1152",
    layout: Layout = verbatim,
    **changes: int,
) -> bytes:
    """A kernel of a chain of convolutions and average pools.

    changes : `input_fix_point`, `output_fix_point`, `output_size` other than the network's
    """
    names = Names(bytearray(b"\0"))
    shapes = [network.input_shape, *network.output_shapes()]
    parameters, nodes, steps = bytearray(), b"", b""
    for i, layer in enumerate(network.layers):
        (source,) = layer.sources
        rows: list[int] = []
        at = [0, 0]
        if isinstance(layer, Conv):
            fix_points = _fix_points(network, layer)
            out, height, width, channels = layer.weights.shape
            for k, data in enumerate((layout(layer.weights), layer.bias.tobytes())):
                at[k] = len(parameters)
                shape = (height, width, channels, out) if k == 0 else (1, 1, out, 1)
                name = names.add(f"{_plain(layer.name)}_{'weights' if k == 0 else 'bias'}")
                rows += [at[k], len(data), 8, fix_points[k] & 0xFFFFFFFF, name, 16, *shape]
                parameters += data + bytes(-len(data) % 16)
        nodes += struct.pack("<IIQ", 1, names.add(_plain(layer.name)), 1000 + i)
        for entries in ([], [source + 1], [i + 1]):
            nodes += struct.pack(f"<I{len(entries)}I", len(entries), *entries)
        nodes += struct.pack("<5I", 1, len(steps), 88, 0, 16)
        nodes += struct.pack(f"<I{len(rows)}I", len(rows) // 10, *rows) + bytes(8)
        steps += _step(layer, source, at, shapes[source + 1], shapes[i + 1])
    ends = {
        0: ("input_fix_point", network.input_fix_point),
        len(network.layers): ("output_fix_point", network.logits_fix_point),
    }
    tensors = b""
    for i, shape in enumerate(shapes):
        key, point = ends.get(i, ("", network.fix_point(i - 1)))
        attribute = {0: 2, len(network.layers): 4}.get(i, 1)
        size = changes.get("output_size", int(np.prod(shape))) if attribute == 4 else np.prod(shape)
        tensors += struct.pack(
            "<7Ii5I",
            attribute,
            *shape,
            0,
            int(size),
            8,
            changes.get(key, point),
            shape[2],
            *[0] * 4,
        )
    metadata = [names.add(f"DPU_{target}"), names.add("dnnc 3.00"), 0, len(network.layers), 52]
    metadata += [9216, *[0xFFFFFFFF] * 3, ABI, *[0] * 6]
    configurable = [0] * 70
    configurable[10], configurable[17], configurable[46] = 0x140, 2, 1
    configurable[18:21] = PARALLELISM[target]
    sections = {
        "metadata": struct.pack("<16I", *metadata),
        "code": steps,
        "parameter": bytes(parameters),
        "tensor": tensors,
        "node": nodes,
        "strtab": bytes(names.data),
        "configurable": struct.pack("<70I", *configurable),
    }
    return elf_file({f".deephi.{kind}.{kernel}": data for kind, data in sections.items()})


def _plain(name: str) -> str:
    return name.replace("/", "_")


def _fix_points(network: IntegerNetwork, layer: Conv) -> tuple[int, int]:
    weight = layer.shift_cut + layer.fix_point - network.fix_point(layer.source)
    return weight, weight + network.fix_point(layer.source) - layer.shift_bias


def _step(
    layer: object, source: int, at: list[int], given: tuple[int, ...], made: tuple[int, ...]
) -> bytes:
    if isinstance(layer, AvgPool):
        kernel, depth, out = layer.kernel, 1, made[2]
        rest = [0, 0, 0, layer.shift, 0, layer.multiplier]
        kind = AVG_POOL
    else:
        assert isinstance(layer, Conv)
        assert layer.activation in (Activation.NONE, Activation.RELU)
        out, *kernel, depth = layer.weights.shape
        relu = layer.activation is Activation.RELU
        rest = [layer.pad[0], layer.pad[2], relu, layer.shift_cut, layer.shift_bias, 1]
        kind = DEPTHWISE if layer.depthwise else CONV
    values = [kind, source, out, *kernel, depth, *layer.stride, *rest, *at, *given, *made]
    return struct.pack("<22i", *values)
