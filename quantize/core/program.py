"""The core's program: instructions as fields, and as the 32-bit words that the hardware reads.

docs/core.md is the specification; `edge_runtime/rtl/eg_sequencer.v` reads the same words.
"""

import struct
from dataclasses import dataclass, fields

from edge_runtime.errors import BundleError

MAGIC = 0x31434745  # "EGC1"
VERSION = 1
OPCODE = 1
HEADER_WORDS = 8
INSTRUCTION_WORDS = 12

# Where a field lies: word, lowest bit, bits.
_PLACES = {
    "pool": (0, 0, 1),
    "fold": (0, 1, 1),
    "from_image": (0, 2, 1),
    "to_logits": (0, 3, 1),
    "raw": (0, 4, 1),
    "source": (1, 0, 16),
    "destination": (1, 16, 16),
    "in_height": (2, 0, 8),
    "in_width": (2, 8, 8),
    "out_width": (2, 16, 16),
    "pixels": (3, 0, 16),
    "kernel_h": (4, 0, 4),
    "kernel_w": (4, 4, 4),
    "stride_h": (4, 8, 4),
    "stride_w": (4, 12, 4),
    "pad_top": (4, 16, 4),
    "pad_left": (4, 20, 4),
    "words": (5, 0, 16),
    "last_channels": (5, 16, 5),
    "step_x": (6, 0, 16),
    "step_y": (6, 16, 16),
    "tap_row": (7, 0, 16),
    "tap_column": (7, 16, 16),
    "destination_step": (8, 0, 16),
    "channels_out": (8, 16, 16),
    "weight_words": (9, 0, 16),
    "k_step": (9, 16, 16),
    "shift": (10, 0, 5),
    "shift_bias": (10, 8, 5),
    "relu": (10, 16, 1),
    "high": (10, 17, 7),
    "multiplier": (11, 0, 8),
}


@dataclass(frozen=True)
class Instruction:
    """One tile: all pixels of a layer for up to as many output channels as there are lanes.

    pool : mean pool; the weights are ``multiplier`` on the diagonal, and none are read
    fold : both halves of the lanes have the same channels, for pixels of their own
    from_image, to_logits : instead of the activation memory; ``raw`` logits are neither shifted
        nor clipped
    source : word address of the first output pixel's first tap, modulo 2^16 (it may be padding)
    destination : word address of the first output pixel;  destination_step : from pixel to pixel
    pixels : of the output, in rows of ``out_width``
    words : channel words of a tap, the last of which has ``last_channels`` (images: 1 each)
    step_x, step_y : word addresses from output pixel to pixel, and from row to row
    tap_row, tap_column : from tap to tap
    weight_words : of biases and weights;  k_step : weights from tap to tap
    """

    pool: int
    fold: int
    from_image: int
    to_logits: int
    raw: int
    source: int
    destination: int
    in_height: int
    in_width: int
    out_width: int
    pixels: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    words: int
    last_channels: int
    step_x: int
    step_y: int
    tap_row: int
    tap_column: int
    destination_step: int
    channels_out: int
    weight_words: int
    k_step: int
    shift: int
    shift_bias: int
    relu: int
    high: int
    multiplier: int

    def __post_init__(self) -> None:
        for name, (_, _, bits) in _PLACES.items():
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} is {value}, which is not in {bits} bits")

    def pack(self) -> tuple[int, ...]:
        """Return the instruction's words."""
        words = [0] * INSTRUCTION_WORDS
        words[0] = OPCODE << 24
        for name, (word, low, _) in _PLACES.items():
            words[word] |= int(getattr(self, name)) << low
        return tuple(words)

    @classmethod
    def unpack(cls, words: tuple[int, ...]) -> "Instruction":
        """Read an instruction's words; `ValueError` where a bit is set that has no meaning."""
        found = cls(
            **{
                name: words[word] >> low & (1 << bits) - 1
                for name, (word, low, bits) in _PLACES.items()
            }
        )
        if found.pack() != tuple(words):
            raise ValueError("the instruction has an unknown operation or field")
        return found


@dataclass(frozen=True)
class Program:
    """A network's instructions, and what the core must know before the first.

    weight_words : of all tiles;  resident : they stay on chip, else every image brings them
    """

    lanes: int
    weight_words: int
    resident: int
    image_bytes: int
    logits: int
    instructions: tuple[Instruction, ...]

    def pack(self) -> bytes:
        """Return the bytes that the program stream carries."""
        words = [
            MAGIC,
            VERSION << 24 | self.lanes,
            len(self.instructions),
            self.weight_words,
            self.resident,
            self.image_bytes,
            self.logits,
            0,
        ]
        words += [word for instruction in self.instructions for word in instruction.pack()]
        words[7] = -sum(words) & 0xFFFFFFFF
        return struct.pack(f"<{len(words)}I", *words)

    @classmethod
    def unpack(cls, data: bytes) -> "Program":
        """Read a program's bytes; `BundleError` where they are none."""
        words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
        if len(words) < HEADER_WORDS or words[0] != MAGIC or len(data) % 4:
            raise BundleError("core program: it does not begin as one")
        if sum(words) & 0xFFFFFFFF or words[1] >> 24 != VERSION:
            raise BundleError("core program: damaged, or of another version; compile it again")
        if len(words) != HEADER_WORDS + INSTRUCTION_WORDS * words[2]:
            raise BundleError(f"core program: {words[2]} instructions do not fill it")
        try:
            instructions = tuple(
                Instruction.unpack(words[i : i + INSTRUCTION_WORDS])
                for i in range(HEADER_WORDS, len(words), INSTRUCTION_WORDS)
            )
        except ValueError as error:
            raise BundleError(f"core program: {error}") from None
        return cls(words[1] & 0xFFFF, words[3], words[4], words[5], words[6], instructions)


assert {field.name for field in fields(Instruction)} == set(_PLACES)
