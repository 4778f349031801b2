"""The DPU kernels of an ELF file that dnnc (DNNDK) or vai_c (Vitis AI up to 1.2) wrote.

A kernel NAME is a set of sections ``.deephi.KIND.NAME``. Their layout is that of the vendor's
N2Cube (Apache-2.0, Xilinx/Vitis-AI before 1.3: elf.h, dpu_types.h, ddump), all in little-endian
u32:

- ``metadata``: 16 words: DPU and compiler (offsets into ``strtab``), mode, number of nodes, bytes
  per tensor, bytes of maps, three means, ABI version (major << 16 | minor), DPU version, …
- ``tensor``: 13 words each: attribute (2 input, 4 output), height, width, channels, address, bytes,
  bit width, fix point, channel stride, 4 reserved
- ``node``: type, name, u64 operations, then counted lists: registers, input and output tensors,
  and from ABI 1.7 on code (offset, size, name, alignment) and parameters (offset, size, bit width,
  fix point, name, alignment, height, width, channels, output channels); predecessors, successors
- ``parameter``: weights and biases; files before ABI 1.6 have ``weights`` and ``bias`` instead, and
  a row of 21 words for each node in ``tensor``
- ``configurable`` (from ABI 2.0 on): the DPU that it was compiled for

What a file has otherwise than this is reported as a remark; the rest is still read.
"""

import struct
from dataclasses import dataclass, field

from edge_runtime.errors import InputError
from quantize.vendor.elf_file import ElfFile, text_at

_PREFIX = ".deephi."
_INPUT, _OUTPUT = 2, 4  # bits of a tensor's attribute
ABI_1_6, ABI_1_7, ABI_2_0 = 0x10006, 0x10007, 0x20000
_MAX_LIST = 65_536
_TENSOR_WORDS, _OLD_NODE_WORDS = 13, 21
_NODE_TYPES = {1: "DPU", 2: "virtual", 0x80: "CPU"}
# DPU version of files before ABI 2.0: index → size, index → version of the target.
_ARCHITECTURES = (
    *("", "B1024", "B1152", "B4096", "B256", "B512", "B800", "B1600", "B2048", "B2304"),
    *("B8192", "B3136", "B288", "B144", "B5184"),
)
_TARGETS = (
    *("", "1.1.3", "1.3.0", "1.3.1", "1.3.2", "1.3.3", "1.3.4", "1.3.5", "1.4.0", "1.4.1"),
    *("1.4.2", "1.3.6", "1.3.7"),
)
# Words of the section configurable.
_CONFIGURED = {
    "target": 10,
    "banks": 17,
    "pixels": 18,
    "in": 19,
    "out": 20,
    "leaky_relu": 39,
    "relu6": 40,
    "avg_pool": 46,
    "depthwise": 58,
}


@dataclass(frozen=True)
class Tensor:
    """A feature map: its shape, bytes and fix point."""

    height: int
    width: int
    channels: int
    size: int
    fix_point: int
    is_input: bool = False
    is_output: bool = False


@dataclass(frozen=True)
class Parameter:
    """A node's weights or bias: where they lie in the parameter section, and their fix point."""

    name: str
    offset: int
    size: int
    fix_point: int
    shape: tuple[int, int, int, int]  # height, width, channels, output channels


@dataclass(frozen=True)
class Node:
    """A step of the kernel; tensors are indices into the kernel's."""

    name: str
    kind: str
    operations: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A DPU kernel.

    sections : bytes by kind: metadata, code, parameter, …
    abi : (major, minor);  dpu : size and target version, as far as the file says
    parallelism : pixels, input channels and output channels of the DPU, where the file says
    remarks : what could not be read
    """

    name: str
    sections: dict[str, bytes] = field(repr=False)
    abi: tuple[int, int] = (0, 0)
    compiler: str = ""
    debug: bool = False
    dpu: str = ""
    features: tuple[str, ...] = ()
    parallelism: tuple[int, int, int] | None = None
    map_bytes: int = 0
    tensors: tuple[Tensor, ...] = ()
    nodes: tuple[Node, ...] = ()
    remarks: tuple[str, ...] = ()

    def ends(self, inputs: bool) -> list[tuple[str, Tensor]]:
        """Node and tensor of each of the kernel's inputs, or outputs.

        A node that reads (or writes) such a tensor is the name that N2Cube's calls take.
        """
        found: list[tuple[str, Tensor]] = []
        for i, tensor in enumerate(self.tensors):
            if tensor.is_input if inputs else tensor.is_output:
                users = (n.name for n in self.nodes if i in (n.inputs if inputs else n.outputs))
                found.append((next(users, ""), tensor))
        return found


def kernels_of(elf: ElfFile, name: str) -> list[Kernel]:
    """Read all kernels of a file.

    Raises
    ------
    InputError
        When the file has none, naming ``name``.
    """
    groups: dict[str, dict[str, bytes]] = {}
    for section in elf.sections:
        kind, dot, kernel = section.name.removeprefix(_PREFIX).partition(".")
        if section.name.startswith(_PREFIX) and dot:
            groups.setdefault(kernel, {}).setdefault(kind, section.data)
    if not groups:
        raise InputError(
            f"{name}: an ELF file without a DPU kernel (no section .deephi.metadata.NAME); give "
            "what dnnc wrote (dpu_NAME_0.elf)"
        )
    return [_kernel(kernel, sections, elf) for kernel, sections in groups.items()]


def _kernel(name: str, sections: dict[str, bytes], elf: ElfFile) -> Kernel:
    remarks: list[str] = []
    words = _words(sections.get("metadata", b""))
    if len(words) < 10:
        remarks.append("its metadata are missing or cut off")
        return Kernel(name, sections, remarks=tuple(remarks))
    words += (0,) * 6
    strings = sections.get("strtab", b"")
    abi = words[9]
    dpu, features, parallelism = _dpu(words, sections, text_at(strings, words[0]), remarks)
    if abi >= ABI_1_6:
        tensors = _tensors(sections.get("tensor", b""), words[4])
        nodes = _nodes(_Reader(sections.get("node", b"")), words[3], abi, strings, remarks)
    else:
        tensors, nodes = _old_nodes(name, sections, words, elf)
    if any(i >= len(tensors) for node in nodes for i in (*node.inputs, *node.outputs)):
        remarks.append("a node names a tensor that is not there")
    return Kernel(
        name=name,
        sections=sections,
        abi=(abi >> 16, abi & 0xFFFF),
        compiler=text_at(strings, words[1]),
        debug=bool(words[2] & 1),
        dpu=dpu,
        features=features,
        parallelism=parallelism,
        map_bytes=words[5],
        tensors=tensors,
        nodes=nodes,
        remarks=tuple(remarks),
    )


def _dpu(
    words: tuple[int, ...], sections: dict[str, bytes], told: str, remarks: list[str]
) -> tuple[str, tuple[str, ...], tuple[int, int, int] | None]:
    """Size and version, features and parallelism of the DPU that the kernel is for."""
    if words[9] < ABI_2_0:
        size, target = words[10] >> 16, words[10] & 0xFFFF
        if 0 < size < len(_ARCHITECTURES) and 0 < target < len(_TARGETS):
            return f"{_ARCHITECTURES[size]}, target v{_TARGETS[target]}", (), None
        return told, (), None
    given = _words(sections.get("configurable", b""))
    if len(given) <= max(_CONFIGURED.values()):
        remarks.append("its section configurable is missing or cut off")
        return told, (), None
    value = {key: given[i] for key, i in _CONFIGURED.items()}
    version = ".".join(f"{value['target'] >> shift & 15:x}" for shift in (8, 4, 0))
    ram = {2: ", low RAM usage", 3: ", high RAM usage"}.get(value["banks"], "")
    parallelism = value["pixels"], value["in"], value["out"]
    size = 2 * parallelism[0] * parallelism[1] * parallelism[2]
    names = ("depthwise", "relu6", "leaky_relu", "avg_pool")
    features = tuple(each for each in names if value[each])
    return f"B{size}, target v{version}{ram}", features, parallelism


def _tensors(data: bytes, stride: int) -> tuple[Tensor, ...]:
    if stride < 4 * 8 or stride % 4:
        stride = 4 * _TENSOR_WORDS
    found: list[Tensor] = []
    for at in range(0, len(data) - stride + 1, stride):
        attribute, height, width, channels, _, size, _, fix_point = struct.unpack_from(
            "<8I", data, at
        )
        ends = bool(attribute & _INPUT), bool(attribute & _OUTPUT)
        found.append(Tensor(height, width, channels, size, _signed_byte(fix_point), *ends))
    return tuple(found)


def _nodes(
    reader: "_Reader", count: int, abi: int, strings: bytes, remarks: list[str]
) -> tuple[Node, ...]:
    found: list[Node] = []
    try:
        while len(found) < count:
            found.append(_node(reader, abi, strings))
    except ValueError as error:
        remarks.append(f"{len(found):,} of its {count:,} nodes can be read ({error})")
    return tuple(found)


def _node(reader: "_Reader", abi: int, strings: bytes) -> Node:
    kind, name, low, high = reader.take(4)
    reader.list(1)  # registers
    inputs, outputs = reader.list(1), reader.list(1)
    parameters: tuple[Parameter, ...] = ()
    if abi >= ABI_1_7:
        reader.list(4)  # code
        parameters = tuple(
            Parameter(
                text_at(strings, row[4]),
                row[0],
                row[1],
                _signed_byte(row[3]),
                (row[6], row[7], row[8], row[9]),
            )
            for row in reader.list(10)
        )
    reader.list(1)  # predecessors
    reader.list(1)  # successors
    return Node(
        text_at(strings, name),
        _NODE_TYPES.get(kind, f"type {kind}"),
        high << 32 | low,
        tuple(row[0] for row in inputs),
        tuple(row[0] for row in outputs),
        parameters,
    )


def _old_nodes(
    kernel: str, sections: dict[str, bytes], words: tuple[int, ...], elf: ElfFile
) -> tuple[tuple[Tensor, ...], tuple[Node, ...]]:
    """Read nodes of files before ABI 1.6: their names are symbols of the code section."""
    prefix = f"_dpu_{kernel}_code_"
    symbols = sorted(
        (s.value, s.name.removeprefix(prefix)) for s in elf.symbols() if s.name.startswith(prefix)
    )
    names = [name for _, name in symbols]
    data, stride = sections.get("tensor", b""), max(words[4], 4 * _OLD_NODE_WORDS)
    rows = [
        struct.unpack_from(f"<{_OLD_NODE_WORDS}I", data, at)
        for at in range(0, len(data) - 4 * _OLD_NODE_WORDS + 1, stride)
    ][: words[3]]
    tensors: list[Tensor] = []
    nodes: list[Node] = []
    real = 0
    for i, row in enumerate(rows):
        last = i == len(rows) - 1
        if row[0]:
            name = text_at(sections.get("strtab", b""), row[0])
        else:
            name = names[real] if real < len(names) else f"node {i}"
            real += 1
        here = len(tensors)
        fix_points = _signed_byte(row[9]), _signed_byte(row[16])
        tensors.append(Tensor(row[3], row[4], row[5], row[7], fix_points[0], i == 0, False))
        tensors.append(Tensor(row[10], row[11], row[12], row[14], fix_points[1], False, last))
        shape = (0, 0, 0, 0)
        parameters = (
            Parameter("weights", 0, 0, _signed_byte(row[18]), shape),
            Parameter("bias", 0, 0, _signed_byte(row[20]), shape),
        )
        kind = "virtual" if row[0] else "DPU"
        nodes.append(Node(name, kind, row[2] << 32 | row[1], (here,), (here + 1,), parameters))
    return tuple(tensors), tuple(nodes)


class _Reader:
    """Takes u32 words from the front of a section."""

    def __init__(self, data: bytes) -> None:
        self._words, self._at = _words(data), 0

    def take(self, count: int) -> tuple[int, ...]:
        end = self._at + count
        if end > len(self._words):
            raise ValueError("the section node ends inside a node")
        found, self._at = self._words[self._at : end], end
        return found

    def list(self, width: int) -> "list[tuple[int, ...]]":
        """Take a count and as many rows."""
        (count,) = self.take(1)
        if count > _MAX_LIST:
            raise ValueError(f"a list of {count:,} entries")
        return [self.take(width) for _ in range(count)]


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def _signed_byte(word: int) -> int:
    return (word + 128) % 256 - 128
