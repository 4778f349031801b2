"""What the core computes, from its program and weight words alone: a model of the hardware.

It knows nothing of layers: it reads the same bytes as the core, walks the same addresses, and
shares no code with the integer reference. Time is not modelled here; see `quantize.core.cycles`.
"""

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import VerificationError
from edge_runtime.layers import Int8
from quantize.core.program import Instruction, Program
from quantize.core.target import WORD, CoreTarget

_Int64 = npt.NDArray[np.int64]


def run(program: bytes, weights: bytes, images: Int8, target: CoreTarget) -> _Int64:
    """Logits [N, classes] of images int8 [N, height, width, channels].

    Raises
    ------
    VerificationError
        When a tile writes where it still reads, which no compiler may let happen.
    """
    parsed = Program.unpack(program)
    words = np.frombuffer(weights, np.int8).reshape(-1, target.lanes)
    found = [_run_image(parsed, words, image.reshape(-1), target) for image in images]
    return np.stack(found)


def _run_image(program: Program, words: Int8, image: Int8, target: CoreTarget) -> _Int64:
    memory = np.zeros((target.activation_depth, WORD), np.int8)
    pixels = np.zeros((len(image), WORD), np.int8)
    pixels[:, 0] = image
    logits: list[_Int64] = []
    at = 0
    for instruction in program.instructions:
        tile = words[at : at + instruction.weight_words]
        at += instruction.weight_words
        values, read = _values(instruction, tile, pixels if instruction.from_image else memory)
        if instruction.to_logits:
            logits.append(values[0])
        else:
            _write(instruction, values, memory, set() if instruction.from_image else read)
    return np.concatenate(logits)


def _values(instruction: Instruction, tile: Int8, memory: Int8) -> tuple[_Int64, set[int]]:
    """Requantized values [pixels, channels] of a tile, and the addresses that it read."""
    i, channels = instruction, instruction.channels_out
    per_word = 1 if i.from_image else WORD
    taken = (i.words - 1) * per_word + i.last_channels
    row, column = np.divmod(np.arange(i.pixels), i.out_width)
    address = i.source + row * i.step_y + column * i.step_x
    sums, read = np.zeros((i.pixels, channels), np.int64), set[int]()
    for ky in range(i.kernel_h):
        for kx in range(i.kernel_w):
            y = row * i.stride_h - i.pad_top + ky
            x = column * i.stride_w - i.pad_left + kx
            on_map = (y >= 0) & (y < i.in_height) & (x >= 0) & (x < i.in_width)
            first = address[on_map] + ky * i.tap_row + kx * i.tap_column
            where = (first[:, np.newaxis] + np.arange(i.words)) % 2**16 % len(memory)
            read |= set(where.reshape(-1).tolist())
            given = memory[where][:, :, :per_word].reshape(len(where), i.words * per_word)[
                :, :taken
            ]
            k = (ky * i.kernel_w + kx) * i.k_step
            sums[on_map] += given.astype(np.int64) @ _weights(i, tile, k, taken)
    return _requantize(i, sums, tile), read


def _weights(instruction: Instruction, tile: Int8, k: int, count: int) -> _Int64:
    """Weights [count, channels] of the channels from ``k`` on."""
    channels = instruction.channels_out
    if instruction.pool:
        return instruction.multiplier * np.eye(count, channels, dtype=np.int64)
    rows = tile[1:].reshape(-1, tile.shape[1] // (2 if instruction.fold else 1))
    return rows[k : k + count, :channels].astype(np.int64)


def _requantize(instruction: Instruction, sums: _Int64, tile: Int8) -> _Int64:
    i = instruction
    biases = 0 if i.pool else tile[0, : i.channels_out].astype(np.int64) << i.shift_bias
    v: _Int64 = sums + biases
    if i.raw:
        return v
    half = (1 << i.shift) >> 1
    clipped: _Int64 = np.clip((v + half) >> i.shift, 0 if i.relu else -128, i.high)
    return clipped


def _write(instruction: Instruction, values: _Int64, memory: Int8, read: set[int]) -> None:
    i = instruction
    words = -(-i.channels_out // WORD)
    first = i.destination + np.arange(i.pixels) * i.destination_step
    where = first[:, np.newaxis] + np.arange(words)
    if read & set(where.reshape(-1).tolist()):
        raise VerificationError("a tile writes to words that it reads; this is a compiler's error")
    padded = np.zeros((i.pixels, words * WORD), np.int8)
    padded[:, : i.channels_out] = values
    memory[where] = padded.reshape(i.pixels, words, WORD)
