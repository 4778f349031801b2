"""Find a network's integers in what a vendor's compiler wrote.

dnnc puts weights and biases into the section ``parameter``: the first convolutions' kernels as they
are, in the order output channel, height, width, input channel; others with padding. How a
compiler pads and blocks is documented nowhere, so all layouts that its parallelism suggests are
tried: every order of the four axes, input channels or whole kernels padded to a multiple, channels
in blocks. A layout counts only where every weight of the layer stands in its place. Where the
outermost axis is the output channel, its parts may also stand apart, as parts that a DPU loads one
after another do; at last every row of channels is searched by itself. The number of parts is said,
as it weighs less to have found many small ones.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.layers import Int8

_UNKNOWN = 999  # of a pattern: padding, which may hold anything
_AXES = "OHWI"
_NAMES = {"O": "out", "H": "height", "W": "width", "I": "in"}
_MULTIPLES = (4, 8, 10, 12, 14, 16, 32, 64)  # channel parallelisms of all DPU sizes, and words
_SMALLEST_PART = 8  # bytes; shorter parts could stand anywhere by chance
_MAX_PLACES = 1_024  # places that are looked at for one pattern

Pattern = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Area:
    """Bytes to search. ``parallelism``: input and output channels of the DPU, where known."""

    name: str
    data: bytes
    parallelism: tuple[int, int] | None = None


@dataclass(frozen=True)
class Place:
    """Where something was found. ``parts`` above 1: in as many parts that stand apart."""

    area: str
    offset: int
    layout: str
    parts: int = 1

    def __str__(self) -> str:
        apart = f", in {self.parts} parts" if self.parts > 1 else ""
        return f"at {self.offset:,} of {self.area} ({self.layout}{apart})"


@dataclass(frozen=True)
class _Layout:
    """A name, and the bytes of each part; the parts stand one after another, or apart."""

    name: str
    parts: Pattern  # [parts, bytes]


def find_weights(weights: Int8, areas: Sequence[Area]) -> Place | None:
    """Return the first place of int8 weights [out, height, width, in] in any layout."""
    for area in areas:
        if len(area.data) < weights.size:
            continue
        for layout in _layouts(weights, area.parallelism):
            place = _find(layout, area)
            if place is not None:
                return place
    return None


def find_bias(bias: Int8, areas: Sequence[Area]) -> Place | None:
    """Return the first place of an int8 bias [out]: whole, or in padded or separate blocks."""
    whole = bias.astype(np.int16)
    for area in areas:
        layouts = [_Layout("plain", whole[None])]
        for block in _blocks(area.parallelism):
            if len(bias) > block:
                parts = _padded(whole, block).reshape(-1, block)
                layouts += [_Layout(f"blocks of {block}", parts)]
                layouts += [
                    _Layout(f"blocks of {block} padded to {n}", _padded(parts, n))
                    for n in (16, 32, 64)
                    if n > block
                ]
        for layout in layouts:
            place = _find(layout, area)
            if place is not None:
                return place
    return None


def _blocks(parallelism: tuple[int, int] | None) -> list[int]:
    first = [] if parallelism is None else [parallelism[1]]
    return [*first, *(n for n in _MULTIPLES if n not in first)]


def _layouts(weights: Int8, parallelism: tuple[int, int] | None) -> Iterator[_Layout]:
    values = weights.astype(np.int16)
    seen: set[bytes] = set()
    for order in [tuple(_AXES), *itertools.permutations(_AXES)]:
        turned = values.transpose([_AXES.index(axis) for axis in order])
        key = turned.tobytes() + (b"O" if order[0] == "O" else b"")
        if key not in seen:
            seen.add(key)
            yield _Layout(_order(order), _parts(turned, order[0] == "O"))
    multiples = [*dict.fromkeys([*(parallelism or ()), *_MULTIPLES])]
    for n in multiples:
        name = f"{_order(_AXES)}, in padded to a multiple of {n}"
        yield _Layout(name, _parts(_padded(values, n), True))
        name = f"{_order(_AXES)}, each kernel padded to a multiple of {n}"
        yield _Layout(name, _padded(_parts(values, True), n))
    pairs = [parallelism] if parallelism else [(n, n) for n in _MULTIPLES]
    for channels_in, channels_out in pairs:
        yield from _blocked(values, channels_in, channels_out)
        yield from _ragged(values, channels_in, channels_out)
    for axis in "IO":  # rows that stand anywhere: what is left to find of a layout not known
        rows = np.moveaxis(values, _AXES.index(axis), -1)
        for n in [rows.shape[-1], *multiples]:
            if _SMALLEST_PART <= n <= rows.shape[-1]:
                name = f"rows of {n} along {_NAMES[axis]}"
                yield _Layout(name, _padded(rows, n).reshape(-1, n))


def _blocked(values: Pattern, channels_in: int, channels_out: int) -> Iterator[_Layout]:
    """Layouts with both channels in blocks: axes O and I of blocks, o and i inside of them."""
    out, height, width, _ = values.shape
    padded = _padded(values, channels_in)
    outs = -(-out // channels_out)
    full = np.full((outs * channels_out, *padded.shape[1:]), _UNKNOWN, np.int16)
    full[:out] = padded
    split = full.reshape(outs, channels_out, height, width, -1, channels_in)
    axes = "OoHWIi"
    for order in itertools.permutations(axes):
        if order.index("o") < order.index("O") or order.index("i") < order.index("I"):
            continue
        turned = split.transpose([axes.index(axis) for axis in order])
        name = f"blocks of {channels_out} out and {channels_in} in, order {''.join(order)}"
        yield _Layout(name, _parts(turned, order[0] == "O"))


def _ragged(values: Pattern, channels_in: int, channels_out: int) -> Iterator[_Layout]:
    """The same without padding: the last blocks are as small as they are."""
    out, _, _, depth = values.shape
    if out % channels_out == 0 and depth % channels_in == 0:
        return
    rows = [values[i : i + channels_out] for i in range(0, out, channels_out)]
    blocks = [[row[..., i : i + channels_in] for i in range(0, depth, channels_in)] for row in rows]
    for turned, first in ((blocks, "out"), (list(zip(*blocks, strict=True)), "in")):
        for order in itertools.permutations(range(4)):
            parts = [np.ravel(block.transpose(order)) for row in turned for block in row]
            inner = "".join(_AXES[axis] for axis in order)
            yield _Layout(
                f"blocks of up to {channels_out} out and {channels_in} in, {first} first, {inner}",
                np.concatenate(parts)[None],
            )
    kernels = [
        np.concatenate([np.ravel(block[k]) for block in row])
        for row in blocks
        for k in range(len(row[0]))
    ]
    yield _Layout(f"out, blocks of up to {channels_in} in, height, width, in", np.stack(kernels))


def _order(axes: Sequence[str]) -> str:
    return ", ".join(_NAMES[axis] for axis in axes)


def _parts(values: Pattern, separable: bool) -> Pattern:
    return np.ascontiguousarray(values).reshape(len(values) if separable else 1, -1)


def _padded(values: Pattern, multiple: int) -> Pattern:
    """Pad the last axis with unknown bytes up to a multiple."""
    missing = -values.shape[-1] % multiple
    widths = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
    return np.pad(values, widths, constant_values=_UNKNOWN)


def _find(layout: _Layout, area: Area) -> Place | None:
    parts = layout.parts
    whole = next(_places(parts.reshape(-1), area.data), None)
    if whole is not None:
        return Place(area.name, whole, layout.name)
    long_enough = (parts != _UNKNOWN).sum(axis=1) >= _SMALLEST_PART
    if len(parts) == 1 or long_enough.mean() < 0.75:  # the last part of a row may be shorter
        return None
    # A part of equal bytes says nothing of where it stands: they may not be most of them.
    telling = (parts.max(axis=1, where=parts != _UNKNOWN, initial=-_UNKNOWN)) != (
        parts.min(axis=1, where=parts != _UNKNOWN, initial=_UNKNOWN)
    )
    if telling.mean() < 0.5:
        return None
    offsets: list[int] = []
    size = parts.shape[1]
    for part, searchable in zip(parts, long_enough, strict=True):
        # Right after the part before, or as far from it as that one from its own, or anywhere.
        steps = [size] if len(offsets) < 2 else [size, offsets[-1] - offsets[-2]]
        expected = [offsets[-1] + step for step in steps] if offsets else []
        found = next((at for at in expected if _matches(part, area.data, at)), None)
        if found is None and searchable:
            found = next(_places(part, area.data), None)
        if found is None:
            return None
        offsets.append(found)
    runs = 1 + sum(b - a != size for a, b in itertools.pairwise(offsets))
    return Place(area.name, min(offsets), layout.name, runs)


def _places(pattern: Pattern, data: bytes) -> Iterator[int]:
    """Offsets at which a pattern stands: its longest known run is searched, the rest compared."""
    known = np.flatnonzero(pattern != _UNKNOWN)
    wanted = pattern[known].astype(np.int8)
    start, length = _longest_run(pattern)
    probe = pattern[start : start + length].astype(np.int8).tobytes()
    values = np.frombuffer(data, np.int8)
    at = data.find(probe)
    for _ in range(_MAX_PLACES):
        offset = at - start
        if at < 0:
            return
        inside = offset >= 0 and offset + int(known[-1]) < len(data)
        if inside and np.array_equal(values[known + offset], wanted):
            yield offset
        at = data.find(probe, at + 1)


def _longest_run(pattern: Pattern) -> tuple[int, int]:
    known = np.concatenate([[False], pattern != _UNKNOWN, [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _matches(pattern: Pattern, data: bytes, offset: int) -> bool:
    """Whether a pattern stands at an offset; the data may end inside of padding at its end."""
    known = np.flatnonzero(pattern != _UNKNOWN)
    if offset < 0 or offset + int(known[-1]) >= len(data):
        return False
    return np.array_equal(np.frombuffer(data, np.int8)[known + offset], pattern[known])
