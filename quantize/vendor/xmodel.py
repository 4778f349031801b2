"""The DPU subgraphs of an xmodel, the file that vai_c (Vitis AI 1.3 and later) writes.

An xmodel is a protocol buffer of XIR's format ``serial_v2`` (field numbers as public readers of the
format have them, for example Xilinx's fork of Netron):

- Graph: 1 name, 5 operators, 10 root subgraph
- operator: 1 name, 2 type, 3 attributes, 4 arguments (1 name, then names of operators), 5 tensor
- tensor: 1 name, 2 sizes, 10 attributes
- subgraph: 1 name, 3 names of operators, 5 attributes, 10 children
- an attribute: 1 key, 2 value, which is a oneof: 4 to 8 integers, 11 text, 12 bytes, 22 and up maps

Fields that are not known are passed over. The child subgraphs of the root have an attribute
``device``; those of the device ``DPU`` are what a board runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.errors import InputError

_MAX_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_INTEGERS, _TEXT, _BLOB, _FIRST_MAP = range(4, 9), 11, 12, 22

# A field of a message: its number, and an integer or bytes.
Field = tuple[int, int | bytes]


@dataclass(frozen=True)
class XTensor:
    """A tensor at the edge of a subgraph: [batch, height, width, channels]."""

    name: str
    shape: tuple[int, ...]
    fix_point: int | None


@dataclass(frozen=True)
class Subgraph:
    """A child of the root. ``blobs`` are its parameters, as bytes by name."""

    name: str
    device: str
    attributes: dict[str, Any] = field(repr=False)
    inputs: tuple[XTensor, ...]
    outputs: tuple[XTensor, ...]
    operators: int
    blobs: dict[str, bytes] = field(repr=False)

    @property
    def target(self) -> str:
        """Name of the DPU that it was compiled for, where the file has it."""
        return str(self.attributes.get("dpu_name", ""))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of that DPU as 0x and sixteen digits, empty where the file has none."""
        value = self.attributes.get("dpu_fingerprint")
        return f"{value & (2**64 - 1):#018x}" if isinstance(value, int) else ""


@dataclass(frozen=True)
class Xmodel:
    """A compiled graph."""

    name: str
    subgraphs: tuple[Subgraph, ...]

    def on_dpu(self) -> tuple[Subgraph, ...]:
        """Subgraphs that a DPU runs."""
        return tuple(s for s in self.subgraphs if s.device == "DPU")


@dataclass(frozen=True)
class _Operator:
    name: str
    kind: str
    arguments: tuple[str, ...]
    tensor: XTensor
    attributes: dict[str, Any]


def parse_xmodel(data: bytes, name: str) -> Xmodel:
    """Read an xmodel's bytes.

    Raises
    ------
    InputError
        Naming ``name``, when this is no xmodel, or one that is cut off.
    """
    try:
        fields = list(_fields(data))
        operators = {
            each.name: each for each in (_operator(v) for n, v in fields if n == 5 and _raw(v))
        }
        roots = [v for n, v in fields if n == 10 and isinstance(v, bytes)]
        if not operators or len(roots) != 1:
            raise ValueError("it has no operators, or not one root subgraph")
        children = [v for n, v in _fields(roots[0]) if n == 10 and isinstance(v, bytes)]
        subgraphs = tuple(_subgraph(child, operators) for child in children)
        return Xmodel(_text(fields, 1), subgraphs)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: is no xmodel, or was cut off ({error}); give what vai_c wrote"
        ) from None


def _fields(data: bytes) -> Iterator[Field]:
    """Fields of a message in the wire format of protocol buffers."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = _varint(data, at) if kind == _BYTES else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data) or key >> 3 == 0:
            raise ValueError(f"no protocol buffer at byte {at:,}")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value + 2**63) % 2**64 - 2**63, at  # int32 and int64 as two's complement
    raise ValueError(f"a number does not end at byte {at:,}")


def _raw(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(fields: list[Field], number: int) -> str:
    return _clean(next((_raw(v) for n, v in fields if n == number), b""))


def _clean(raw: bytes) -> str:
    return "".join(c if c.isprintable() else "?" for c in raw.decode("utf-8", "replace"))


def _texts(fields: list[Field], numbers: range) -> tuple[str, ...]:
    return tuple(_clean(v) for n, v in fields if n in numbers and isinstance(v, bytes))


def _operator(value: int | bytes) -> _Operator:
    fields = list(_fields(_raw(value)))
    arguments: tuple[str, ...] = ()
    for n, v in fields:
        if n == 4:
            arguments += _texts(list(_fields(_raw(v))), range(2, 16))
    tensor = next((_raw(v) for n, v in fields if n == 5), b"")
    name = _text(fields, 1)
    return _Operator(name, _text(fields, 2), arguments, _tensor(tensor), _attributes(fields, 3))


def _tensor(data: bytes) -> XTensor:
    fields = list(_fields(data))
    shape: list[int] = []
    for n, v in fields:
        if n == 2 and isinstance(v, int):
            shape.append(v)
        elif n == 2:
            at, packed = 0, _raw(v)
            while at < len(packed):
                size, at = _varint(packed, at)
                shape.append(size)
    fix_point = _attributes(fields, 10).get("fix_point")
    return XTensor(
        _text(fields, 1), tuple(shape), fix_point if isinstance(fix_point, int) else None
    )


def _attributes(fields: list[Field], number: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n, v in fields:
        if n == number:
            entry = list(_fields(_raw(v)))
            value = next((_raw(inner) for k, inner in entry if k == 2), b"")
            found[_text(entry, 1)] = _value(list(_fields(value)))
    return found


def _value(fields: list[Field]) -> Any:
    """Return an attribute's integer, text, bytes, or map of texts to bytes; None for others."""
    for n, v in fields:
        if n in _INTEGERS and isinstance(v, int):
            return v
        if n == _TEXT:
            return _clean(_raw(v))
        if n == _BLOB:
            return next((_raw(inner) for k, inner in _fields(_raw(v)) if k == 1), b"")
        if n >= _FIRST_MAP and isinstance(v, bytes):
            entries = [list(_fields(_raw(e))) for k, e in _fields(v) if k == 1]
            return {_text(e, 1): next((_raw(b) for k, b in e if k == 2), b"") for e in entries}
    return None


def _names_of(data: bytes, depth: int = 0) -> set[str]:
    """Names of a subgraph's operators and of those of all its children."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"subgraphs nested more than {_MAX_DEPTH} deep")
    fields = list(_fields(data))
    found = set(_texts(fields, range(3, 4)))
    for n, v in fields:
        if n == 10:
            found |= _names_of(_raw(v), depth + 1)
    return found


def _subgraph(data: bytes, operators: dict[str, _Operator]) -> Subgraph:
    fields = list(_fields(data))
    attributes = _attributes(fields, 5)
    inside = [operators[name] for name in sorted(_names_of(data)) if name in operators]
    names = {each.name for each in inside}
    used = {argument for each in inside for argument in each.arguments}
    outside = {a for each in operators.values() if each.name not in names for a in each.arguments}
    inputs = [operators[name].tensor for name in sorted(used - names) if name in operators]
    outputs = [
        each.tensor
        for each in inside
        if each.name in outside or (each.name not in used and not each.kind.startswith("const"))
    ]
    return Subgraph(
        _text(fields, 1),
        str(attributes.get("device", "")),
        attributes,
        tuple(inputs),
        tuple(outputs),
        len(inside),
        dict(_blobs(attributes, inside)),
    )


def _blobs(attributes: dict[str, Any], inside: list[_Operator]) -> Iterator[tuple[str, bytes]]:
    """Bytes of a subgraph's attributes, and of its constants."""
    for key, value in attributes.items():
        if isinstance(value, bytes) and value:
            yield key, value
        elif isinstance(value, dict):
            for inner, data in value.items():
                yield f"{key}[{inner}]", data
    for each in inside:
        for key, value in each.attributes.items():
            if isinstance(value, bytes) and value:
                yield f"{each.name}.{key}", value
