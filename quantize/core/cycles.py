"""How many cycles the core takes for a program: its three stages, set by set.

A tile's fetching, multiplying and draining overlap; what one waits for another is followed here as
the hardware does it (eg_fetch, eg_issue, eg_drain). The constants are its pipeline's lengths.
"""

from collections import deque
from collections.abc import Iterator

from quantize.core.program import Instruction
from quantize.core.target import WORD, CoreTarget

SETS = 8  # of the operand memory
DECODE = 19  # from an instruction's first word to its first pixel, the weights being there
FETCH_TO_ISSUE = 4  # from a set's last request to its first multiplication
MARK = 2  # from an end mark to the next group's first multiplication
ISSUE_TO_DRAIN = 8  # from an end mark to the first word of sums
DRAIN = 4  # a word through the requantizers
NEXT = 2  # from the machine being empty to the next instruction


def image_cycles(instructions: tuple[Instruction, ...], target: CoreTarget) -> list[int]:
    """Cycles of each instruction for one image, weights being there."""
    return [tile_cycles(instruction, target) for instruction in instructions]


def weight_beats(instruction: Instruction, target: CoreTarget) -> int:
    """Cycles that the instruction's weights take on their stream, at a beat each."""
    return instruction.weight_words * target.lanes // 8


def streamed_cycles(instructions: tuple[Instruction, ...], target: CoreTarget) -> int:
    """Cycles of an image whose weights come by the stream, which is never late itself.

    A word is loaded as soon as there is room, so a tile waits for what fits beside its
    predecessors.
    """
    time = loaded = 0
    done: deque[tuple[int, int]] = deque()  # (words, when they were freed)
    held = 0
    for instruction in instructions:
        words = instruction.weight_words
        while done and held + words > target.weight_depth:
            freed, when = done.popleft()
            held, loaded = held - freed, max(loaded, when)
        held += words
        loaded += weight_beats(instruction, target)
        time = max(time, loaded) + tile_cycles(instruction, target)
        done.append((words, time))
    return time


def busy_steps(instruction: Instruction, target: CoreTarget) -> int:
    """Cycles in which the lanes multiply."""
    return sum(count for group in _groups(instruction, target) for count in group[1])


def tile_cycles(instruction: Instruction, target: CoreTarget) -> int:
    """Cycles of one instruction, from reading it to the next one."""
    words_out = -(-instruction.channels_out // WORD)
    fetch = DECODE
    issue = drain_free = 0
    freed: deque[int] = deque([0] * SETS, SETS)  # when the last sets left the operand memory
    for pixels, sets, skipped in _groups(instruction, target):
        fetch += pixels
        for k, count in enumerate(sets):
            fetch = max(fetch + (k % instruction.words == 0), freed[0]) + pixels
            start = max(issue, fetch + FETCH_TO_ISSUE)
            freed.append(start)
            issue = start + count
        fetch = max(fetch + skipped, freed[0]) + 1
        mark = max(issue, fetch + FETCH_TO_ISSUE - 1, drain_free)
        freed.append(mark)
        issue = mark + MARK
        drain_free = mark + ISSUE_TO_DRAIN + _drain(instruction, pixels, words_out)
    return drain_free + (0 if instruction.to_logits else DRAIN) + NEXT


def _drain(instruction: Instruction, pixels: int, words_out: int) -> int:
    if instruction.to_logits:
        return instruction.channels_out + words_out * (DRAIN + 1)  # word after word
    return pixels * words_out


def _groups(instruction: Instruction, target: CoreTarget) -> Iterator[tuple[int, list[int], int]]:
    """Yield each group's pixels, channels of each of its sets, and taps that are skipped."""
    i = instruction
    per_word = 1 if i.from_image else WORD
    counts = [per_word] * (i.words - 1) + [i.last_channels]
    at_once = target.pixels(bool(i.fold))
    for first in range(0, i.pixels, at_once):
        group = range(first, min(first + at_once, i.pixels))
        corners = [
            (p // i.out_width * i.stride_h - i.pad_top, p % i.out_width * i.stride_w - i.pad_left)
            for p in group
        ]
        taps = sum(
            any(0 <= y + ky < i.in_height and 0 <= x + kx < i.in_width for y, x in corners)
            for ky in range(i.kernel_h)
            for kx in range(i.kernel_w)
        )
        yield len(group), counts * taps, i.kernel_h * i.kernel_w - taps
