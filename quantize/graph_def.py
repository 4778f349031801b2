"""TensorFlow's GraphDef without TensorFlow: what reading and writing a .pb needs.

Importing TensorFlow costs seconds and half a gigabyte. A GraphDef is a protocol buffer; the fields
below are those of tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto,
as far as frozen graphs use them. Numbers and types are TensorFlow's and will not change.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from edge_runtime.errors import GraphError
from quantize.ir import Array

# Enum DataType, as far as constants of frozen graphs go; the field of TensorProto that holds
# values which are not packed into tensor_content.
FLOAT, DOUBLE, INT32, INT8, BOOL, INT64, HALF = 1, 2, 3, 6, 10, 9, 19
_TYPES: dict[int, tuple[Any, str]] = {
    FLOAT: (np.float32, "float_val"),
    DOUBLE: (np.float64, "double_val"),
    INT32: (np.int32, "int_val"),
    INT8: (np.int8, "int_val"),
    INT64: (np.int64, "int64_val"),
    BOOL: (np.bool_, "bool_val"),
    HALF: (np.float16, "half_val"),
}
_CODES = {np.dtype(dtype): code for code, (dtype, _) in _TYPES.items()}
_PRODUCER = 27  # the GraphDef version of TensorFlow 1.12, which newer ones read

# message → (field, number, type, repeated); a type in capitals is a message.
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Dim": (("size", 1, "int64", False),),
    "TensorShapeProto": (("dim", 2, "Dim", True), ("unknown_rank", 3, "bool", False)),
    "TensorProto": (
        ("dtype", 1, "int32", False),
        ("tensor_shape", 2, "TensorShapeProto", False),
        ("tensor_content", 4, "bytes", False),
        ("float_val", 5, "float", True),
        ("double_val", 6, "double", True),
        ("int_val", 7, "int32", True),
        ("int64_val", 10, "int64", True),
        ("bool_val", 11, "bool", True),
        ("half_val", 13, "int32", True),
    ),
    "ListValue": (
        ("s", 2, "bytes", True),
        ("i", 3, "int64", True),
        ("f", 4, "float", True),
        ("type", 6, "int32", True),
    ),
    "AttrValue": (
        ("list", 1, "ListValue", False),
        ("s", 2, "bytes", False),
        ("i", 3, "int64", False),
        ("f", 4, "float", False),
        ("b", 5, "bool", False),
        ("type", 6, "int32", False),
        ("shape", 7, "TensorShapeProto", False),
        ("tensor", 8, "TensorProto", False),
    ),
    "AttrEntry": (("key", 1, "string", False), ("value", 2, "AttrValue", False)),
    "NodeDef": (
        ("name", 1, "string", False),
        ("op", 2, "string", False),
        ("input", 3, "string", True),
        ("device", 4, "string", False),
        ("attr", 5, "NodeDef.AttrEntry", True),
    ),
    "VersionDef": (("producer", 1, "int32", False), ("min_consumer", 2, "int32", False)),
    "GraphDef": (("node", 1, "NodeDef", True), ("versions", 4, "VersionDef", False)),
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="edgeglyph_graph_def.proto", package="edgeglyph", syntax="proto3"
    )
    rows: dict[str, Any] = {}
    for name in _MESSAGES:
        if name != "AttrEntry":
            rows[name] = file.message_type.add(name=name)
    entry = rows["NodeDef"].nested_type.add(name="AttrEntry")  # a map is a list of entries
    entry.options.map_entry = True
    rows["AttrEntry"] = entry
    for name, fields in _MESSAGES.items():
        for field, number, kind, repeated in fields:
            row = rows[name].field.add(name=field, number=number)
            row.label = row.LABEL_REPEATED if repeated else row.LABEL_OPTIONAL
            if kind[0].isupper():
                row.type, row.type_name = row.TYPE_MESSAGE, f".edgeglyph.{kind}"
            else:
                row.type = getattr(row, f"TYPE_{kind.upper()}")
    # TensorFlow's AttrValue is a oneof: a value of 0 or False is written, too.
    oneof = rows["AttrValue"].oneof_decl.add(name="value")
    for field in rows["AttrValue"].field:
        field.oneof_index = 0
    assert oneof.name == "value"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"edgeglyph.{name}"))
        for name in ("GraphDef", "NodeDef", "AttrValue", "TensorProto")
    }


_CLASSES = _message_classes()


def read(path: Path) -> Any:
    """Parse a .pb; raises `GraphError` where it is none, or holds no nodes."""
    graph = _CLASSES["GraphDef"]()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception:  # protobuf's DecodeError has no stable home
        raise GraphError(
            f"{path}: not a frozen graph, or truncated; freeze the checkpoint again"
        ) from None
    if not graph.node:
        raise GraphError(f"{path}: holds no nodes; it is no frozen graph")
    return graph


def array_of(node: Any) -> Array:
    """Return the array of a Const node."""
    return array_of_tensor(node.attr["value"].tensor, node.name)


def array_of_tensor(tensor: Any, name: str) -> Array:
    """Return the array of a TensorProto that belongs to the node ``name``.

    Where it lists fewer values than its shape has, the last one is repeated.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.dtype not in _TYPES:
        raise GraphError(f"constant {name!r} is of TensorFlow's data type {tensor.dtype}")
    dtype, field = _TYPES[tensor.dtype]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape).copy()
    values = np.array(list(getattr(tensor, field)))
    if tensor.dtype == HALF:
        values = values.astype(np.uint16).view(np.float16)
    count = int(np.prod(shape))
    if len(values) < count:
        last = values[-1:] if len(values) else np.zeros(1)
        values = np.concatenate([values, np.repeat(last, count - len(values))])
    return values.astype(dtype).reshape(shape)


class GraphWriter:
    """Collects the nodes of a GraphDef."""

    def __init__(self) -> None:
        self._graph = _CLASSES["GraphDef"]()
        self._graph.versions.producer = _PRODUCER
        self.names: set[str] = set()

    def add(
        self, op: str, name: str, inputs: Sequence[str] = (), /, **attributes: "Attribute"
    ) -> str:
        """Add a node and return its name; attributes are converted by `attribute`."""
        if name in self.names:
            raise ValueError(f"two nodes are named {name!r}")
        self.names.add(name)
        node = self._graph.node.add(name=name, op=op, input=list(inputs))
        for key, value in attributes.items():
            node.attr[key].CopyFrom(attribute(value))
        return name

    def constant(self, name: str, value: Array) -> str:
        """Add a Const node."""
        return self.add("Const", name, dtype=DataType(_CODES[value.dtype]), value=value)

    def serialized(self) -> bytes:
        """Return the GraphDef's bytes; the same nodes always give the same."""
        data: bytes = self._graph.SerializeToString(deterministic=True)
        return data


class DataType(int):
    """A number of TensorFlow's enum DataType, to be told from an integer attribute."""


class TensorShape(tuple[int, ...]):
    """A shape attribute; -1 is an unknown size."""


Attribute = bool | int | float | str | bytes | DataType | TensorShape | Sequence[int] | Array


def attribute(value: Attribute) -> Any:
    """Return an AttrValue that holds ``value``, in the field that its type calls for."""
    found = _CLASSES["AttrValue"]()
    if isinstance(value, np.ndarray):
        _fill_tensor(found.tensor, value)
    elif isinstance(value, TensorShape):
        _fill_shape(found.shape, value)
    elif isinstance(value, DataType):
        found.type = int(value)
    elif isinstance(value, bool):
        found.b = value
    elif isinstance(value, int):
        found.i = value
    elif isinstance(value, float):
        found.f = value
    elif isinstance(value, str | bytes):
        found.s = value.encode() if isinstance(value, str) else value
    else:
        found.list.i.extend(int(v) for v in value)
    return found


def _fill_tensor(tensor: Any, value: Array) -> None:
    tensor.dtype = _CODES[value.dtype]
    _fill_shape(tensor.tensor_shape, value.shape)
    tensor.tensor_content = np.ascontiguousarray(value).tobytes()


def _fill_shape(shape: Any, sizes: Sequence[int]) -> None:
    shape.SetInParent()
    for size in sizes:
        shape.dim.add(size=size)


def attributes_of(node: Any) -> Mapping[str, Any]:
    """Return a node's attributes by name; reading a missing one does not add it."""
    return {key: node.attr[key] for key in node.attr}
