"""Xmodels made by the tests: protocol buffers of XIR's format, written by hand."""

from collections.abc import Sequence


def varint(value: int) -> bytes:
    value %= 2**64
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def sub(number: int, *parts: bytes) -> bytes:
    """A field of bytes: a text or a message."""
    data = b"".join(parts)
    return varint(number << 3 | 2) + varint(len(data)) + data


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def attribute(number: int, key: str, *value: bytes) -> bytes:
    return sub(number, sub(1, key.encode()), sub(2, *value))


def operator(
    name: str,
    kind: str,
    shape: Sequence[int],
    fix_point: int | None,
    *arguments: str,
    data: bytes = b"",
) -> bytes:
    tensor = sub(1, name.encode()), sub(2, *map(varint, shape)), integer(5, 3), integer(6, 8)
    point = [attribute(10, "fix_point", integer(5, fix_point))] if fix_point is not None else []
    given = [sub(4, sub(1, b"input"), *(sub(2, a.encode()) for a in arguments))]
    content = [attribute(3, "data", sub(12, sub(1, data)))] if data else []
    return sub(
        5, sub(1, name.encode()), sub(2, kind.encode()), *content, *given, sub(5, *tensor, *point)
    )


def subgraph(name: str, device: bytes, operators: Sequence[str], *more: bytes) -> bytes:
    named = [sub(3, each.encode()) for each in operators]
    return sub(10, sub(1, name.encode()), *named, attribute(5, "device", sub(11, device)), *more)


def xmodel(
    ends: tuple[int | None, int | None] = (7, 3),
    classes: int = 62,
    parameters: bytes = b"parameters",
    devices: int = 1,
    target: str = "DPUCZDX8G_ISA1_B4096",
    fingerprint: int = 0x101000056010407,
) -> bytes:
    """A network from `input` to `dense`; ``ends`` are their fix points."""
    entry = sub(1, sub(1, b"REG_0"), sub(2, parameters))
    dpu = [
        attribute(5, "dpu_name", sub(11, target.encode())),
        attribute(5, "dpu_fingerprint", integer(8, fingerprint)),
        attribute(5, "reg_id_to_parameter_value", sub(27, entry)),
    ]
    root = sub(
        10,
        sub(1, b"root"),
        subgraph("subgraph_input", b"USER", ["input"]),
        *(subgraph(f"subgraph_{i}", b"DPU", ["conv", "dense"], *dpu) for i in range(devices)),
        subgraph("subgraph_out", b"CPU", ["out"]),
    )
    return (
        sub(1, b"chars")
        + operator("input", "data-fix", [1, 32, 32, 1], ends[0])
        + operator("conv", "conv2d-fix", [1, 8, 8, 6], 5, "input")
        + operator("dense", "conv2d-fix", [1, 1, 1, classes], ends[1], "conv")
        + operator("out", "download", [1, classes], None, "dense")
        + root
    )
