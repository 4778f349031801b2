"""From an integer network to what the core runs: program, weight words, and a listing."""

from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from edge_runtime.core_section import CoreImage
from edge_runtime.errors import GraphError
from edge_runtime.layers import IntegerNetwork
from quantize.core import cycles
from quantize.core.program import HEADER_WORDS, INSTRUCTION_WORDS, Program
from quantize.core.target import MAX_PROGRAM_WORDS, CoreTarget
from quantize.core.tiles import Tile, tiles_of


@dataclass(frozen=True)
class CompiledCore:
    """A network for one core.

    tiles : the program's instructions with their weights;  cycles : of each, for an image
    image_cycles : of an image, with the waiting for weights that do not stay on chip
    """

    target: CoreTarget
    network: IntegerNetwork
    program: Program
    tiles: tuple[Tile, ...]
    cycles: tuple[int, ...]
    image_cycles: int

    @property
    def weights(self) -> bytes:
        """The bytes that the weight stream carries."""
        return b"".join(tile.weights.tobytes() for tile in self.tiles)

    def image(self) -> CoreImage:
        """Return what a bundle holds of it."""
        target = self.target
        return CoreImage(
            target.name,
            target.lanes,
            target.pair,
            target.weight_depth,
            target.activation_depth,
            self.image_cycles,
            self.program.pack(),
            self.weights,
        )


def compile_core(network: IntegerNetwork, target: CoreTarget) -> CompiledCore:
    """Compile a network for the core; `GraphError` names what it cannot run."""
    tiles = tiles_of(network, target)
    instructions = tuple(tile.instruction for tile in tiles)
    if len(instructions) * INSTRUCTION_WORDS > MAX_PROGRAM_WORDS:
        raise GraphError(
            f"{target.name} cannot run this network: it takes {len(instructions)} tiles, and the "
            f"program memory holds {MAX_PROGRAM_WORDS // INSTRUCTION_WORDS}"
        )
    words = sum(len(tile.weights) for tile in tiles)
    resident = words <= target.weight_depth
    program = Program(
        target.lanes,
        words,
        int(resident),
        int(np.prod(network.input_shape)),
        network.classes,
        instructions,
    )
    spent = tuple(cycles.image_cycles(instructions, target))
    total = sum(spent) if resident else cycles.streamed_cycles(instructions, target)
    return CompiledCore(target, network, program, tiles, spent, total)


def listing(compiled: CompiledCore) -> str:
    """Return a table of the program for people: loops, memory, cycles, utilisation of the lanes."""
    network, target, program = compiled.network, compiled.target, compiled.program
    shapes = [network.input_shape, *network.output_shapes()]
    rows = []
    for tile, spent in zip(compiled.tiles, compiled.cycles, strict=True):
        i, layer = tile.instruction, network.layers[tile.layer]
        last = tile.first_channel + i.channels_out - 1
        groups = -(-i.pixels // target.pixels(bool(i.fold)))
        work = useful_products(tile, compiled)
        rows.append(
            [
                layer.name,
                f"{tile.first_channel}-{last}",
                "×".join(map(str, shapes[tile.layer])),
                "×".join(map(str, shapes[tile.layer + 1])),
                f"{groups} × {i.kernel_h}×{i.kernel_w} × {i.channels_out if i.pool else i.k_step}",
                target.pixels(bool(i.fold)),
                i.weight_words,
                spent,
                f"{work / (spent * target.lanes * target.pair):.0%}",
            ]
        )
    total = sum(useful_products(tile, compiled) for tile in compiled.tiles)
    share = total / (compiled.image_cycles * target.lanes * target.pair)
    rows.append(
        ["all", "", "", "", "", "", program.weight_words, compiled.image_cycles, f"{share:.0%}"]
    )
    heads = ["layer", "channels", "input", "output", "groups × taps × channels", "pixels at once"]
    heads += ["weight words", "cycles", "lanes busy"]
    table = tabulate(rows, heads, tablefmt="simple", intfmt=",", disable_numparse=[1, 4, 8])
    return f"{_heading(compiled)}\n\n{table}"


def useful_products(tile: Tile, compiled: CompiledCore) -> int:
    """Multiply-adds of a tile that are not on padding: what the lanes are there for."""
    i = tile.instruction
    if i.pool:
        return 0

    def taps(size: int, made: int, kernel: int, stride: int, pad: int) -> int:
        return sum(0 <= out * stride - pad + k < size for out in range(made) for k in range(kernel))

    rows = taps(i.in_height, i.pixels // i.out_width, i.kernel_h, i.stride_h, i.pad_top)
    columns = taps(i.in_width, i.out_width, i.kernel_w, i.stride_w, i.pad_left)
    return rows * columns * i.k_step * i.channels_out


def _heading(compiled: CompiledCore) -> str:
    target, program = compiled.target, compiled.program
    stay = "stay on chip" if program.resident else "are sent again for every image"
    return (
        f"{target.name}: {target.lanes} lanes of {target.pair} products\n"
        f"{len(compiled.tiles)} tiles, {len(program.pack()):,} bytes of program, of "
        f"{4 * (HEADER_WORDS + MAX_PROGRAM_WORDS):,}\n"
        f"{program.weight_words:,} weight words of {target.lanes} bytes, of "
        f"{target.weight_depth:,}: they {stay}\n"
        f"{compiled.image_cycles:,} cycles for an image"
    )
