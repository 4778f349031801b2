"""A bundle's section ``core``: a program and weight words for the open accelerator core.

docs/bundle.md is the specification: u32 size of a JSON header, the header, the program, the
weights. What is in program and weights, docs/core.md says.
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from edge_runtime.layers import IntegerNetwork

MAX_HEADER_BYTES = 65536
MAGIC, VERSION = 0x31434745, 1  # a program's first words
HEADER_WORDS, INSTRUCTION_WORDS = 8, 12
_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class CoreImage:
    """What one configuration of the core runs.

    target : its name;  lanes, weight_depth, activation_depth : the least that a core must have
    cycles : that an image takes, as the compiler predicts, on a core of ``pair`` products a lane
    program, weights : the bytes that the core's streams carry
    """

    target: str
    lanes: int
    pair: int
    weight_depth: int
    activation_depth: int
    cycles: int
    program: bytes
    weights: bytes

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value).__name__ != field.type.__name__:  # type: ignore[union-attr]
                raise ValueError(f"core: {field.name} is of another type: {value!r:.60}")
        if not self.target or min(self.lanes, self.pair, self.weight_depth, self.cycles) < 1:
            raise ValueError("core: a name is empty, or a size not positive")

    def check(self, network: IntegerNetwork) -> None:
        """Refuse a program that is damaged or not for such a network (`ValueError`)."""
        if len(self.program) % 4 or len(self.program) < 4 * HEADER_WORDS:
            raise ValueError("core: its program is cut off")
        words = np.frombuffer(self.program, "<u4")
        magic, version, instructions, weight_words, _, image_bytes, logits, _ = words.tolist()[:8]
        if magic != MAGIC or version != VERSION << 24 | self.lanes:
            raise ValueError(f"core: its program is none for {self.lanes} lanes")
        if len(words) != HEADER_WORDS + INSTRUCTION_WORDS * instructions or words.sum() % 2**32:
            raise ValueError("core: its program is damaged")
        if len(self.weights) != weight_words * self.lanes:
            raise ValueError("core: its weights are not as many as its program says")
        height, width, channels = network.input_shape
        if (image_bytes, logits) != (height * width * channels, network.classes):
            raise ValueError("core: its program is for another network")

    def pack(self) -> bytes:
        """Return the section's bytes."""
        values = asdict(self)
        del values["program"], values["weights"]
        values["program_size"] = len(self.program)
        values["sha256"] = hashlib.sha256(self.program + self.weights).hexdigest()
        header = json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8")
        return _SIZE.pack(len(header)) + header + self.program + self.weights

    @classmethod
    def unpack(cls, data: bytes, read_json: Any) -> "CoreImage":
        """Read a section; ``read_json`` is the bundle's strict reader (bytes to a value)."""
        (size,) = _SIZE.unpack_from(data)
        if size > min(MAX_HEADER_BYTES, len(data) - _SIZE.size):
            raise ValueError("core: its header lies outside the section")
        values = read_json(data[_SIZE.size : _SIZE.size + size])
        wanted = {field.name for field in fields(cls)} - {"program", "weights"}
        if not isinstance(values, dict) or set(values) != wanted | {"program_size", "sha256"}:
            raise ValueError(f"core: its header must have the keys {', '.join(sorted(wanted))}")
        body, length = data[_SIZE.size + size :], values.pop("program_size")
        if values.pop("sha256") != hashlib.sha256(body).hexdigest():
            raise ValueError("core: its SHA-256 is another than its header says")
        if type(length) is not int or not 0 <= length <= len(body):
            raise ValueError("core: its program lies outside the section")
        return cls(program=body[:length], weights=body[length:], **values)
