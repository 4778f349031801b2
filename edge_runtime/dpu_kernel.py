"""A bundle's section ``dpu``: the vendor compiler's artifact for one board's DPU.

docs/bundle.md is the specification: u32 size of a JSON header, the header, the artifact.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_runtime.layers import IntegerNetwork

FLOWS = {"dnndk": ("elf",), "vitis-ai": ("elf", "xmodel")}
ELF_MAGIC = b"\x7fELF"
MAX_HEADER_BYTES = 65536
_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class DpuKernel:
    """What a DPU runs, and what a runtime must know to run it.

    flow, kind : one of `FLOWS`, and the artifact's format
    net, kernel : names of the network and of its one DPU kernel (of an xmodel, its DPU subgraph)
    input_node, output_node : what the runtime asks for; an ELF has ``_`` for ``/``
    input_size, output_size : bytes of int8 values, and their fix points
    target, fingerprint : DPU size, and 0x with its digits; empty where the flow has none
    """

    flow: str
    kind: str
    net: str
    kernel: str
    input_node: str
    input_size: int
    input_fix_point: int
    output_node: str
    output_size: int
    output_fix_point: int
    target: str
    fingerprint: str
    artifact: bytes

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value).__name__ != field.type.__name__:  # type: ignore[union-attr]
                raise ValueError(f"DPU kernel: {field.name} is of another type: {value!r:.60}")
        if self.kind not in FLOWS.get(self.flow, ()):
            raise ValueError(f"DPU kernel: no artifact {self.kind!r} of the flow {self.flow!r}")
        if not all((self.net, self.kernel, self.input_node, self.output_node, self.target)):
            raise ValueError("DPU kernel: a name is empty")
        if not self.artifact or (self.kind == "elf") != self.artifact.startswith(ELF_MAGIC):
            raise ValueError(f"DPU kernel: its artifact is no {self.kind} file")

    def check(self, network: IntegerNetwork) -> None:
        """Refuse sizes and fix points other than the network's (`ValueError`)."""
        if network.int32_logits:
            raise ValueError("a DPU kernel gives int8 logits, but the network has int32 ones")
        height, width, channels = network.input_shape
        wanted = {
            "input_size": height * width * channels,
            "input_fix_point": network.input_fix_point,
            "output_size": network.classes,
            "output_fix_point": network.logits_fix_point,
        }
        for key, value in wanted.items():
            if getattr(self, key) != value:
                raise ValueError(
                    f"DPU kernel: {key} is {getattr(self, key)}, but the network's is {value}"
                )

    def pack(self) -> bytes:
        """Return the section's bytes."""
        values = asdict(self)
        artifact = values.pop("artifact")
        values["sha256"] = hashlib.sha256(artifact).hexdigest()
        header = json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8")
        return _SIZE.pack(len(header)) + header + self.artifact

    @classmethod
    def unpack(cls, data: bytes, read_json: Any) -> "DpuKernel":
        """Read a section; ``read_json`` is the bundle's strict reader (bytes to a value)."""
        (size,) = _SIZE.unpack_from(data)
        if size > min(MAX_HEADER_BYTES, len(data) - _SIZE.size):
            raise ValueError("DPU kernel: its header lies outside the section")
        values = read_json(data[_SIZE.size : _SIZE.size + size])
        wanted = {field.name for field in fields(cls)} - {"artifact"} | {"sha256"}
        if not isinstance(values, dict) or set(values) != wanted:
            raise ValueError(f"DPU kernel: its header must have the keys {', '.join(wanted)}")
        artifact = data[_SIZE.size + size :]
        if values.pop("sha256") != hashlib.sha256(artifact).hexdigest():
            raise ValueError("DPU kernel: its artifact has another SHA-256 than its header says")
        return cls(artifact=artifact, **values)
