"""From frames to readings, by one engine or by two on the same cells."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.layers import Int8
from edge_runtime.preprocess import preprocess
from edge_runtime.video.engine import Engine
from edge_runtime.video.fields import Field
from edge_runtime.video.geometry import Box, Frame, PlacedField, place
from edge_runtime.video.ink import framed
from edge_runtime.video.layout import Layout
from edge_runtime.video.reading import FieldReader, Reading
from edge_runtime.video.splitters import splitter_of

SMOOTHING = 8
STEADY = 5


@dataclass
class Agreement:
    """How often two engines read the same, counted over frames."""

    fields: int = 0
    same_fields: int = 0
    cells: int = 0
    same_cells: int = 0

    def count(self, one: Sequence[Reading], other: Sequence[Reading]) -> None:
        """Add a frame."""
        for a, b in zip(one, other, strict=True):
            self.fields += 1
            self.same_fields += a.text == b.text
            self.cells += len(a.cells)
            self.same_cells += sum(
                c.symbol == d.symbol for c, d in zip(a.cells, b.cells, strict=True)
            )


class _FieldCells:
    """A field's way from a frame to network inputs; the same for every engine."""

    def __init__(self, placed: PlacedField) -> None:
        self._placed = placed
        self._splitter = splitter_of(placed.field.split)
        self._layout = Layout()
        self.keeps_places = self._splitter.keeps_places

    def of(self, frame: Frame) -> tuple[list[Box], bool, list[Int8]]:
        """Boxes, whether they are other ones than before, and their inputs."""
        gray = self._placed.cut(frame)
        changed = self._layout.update(self._splitter.split(gray))
        boxes = self._layout.boxes
        cuts = (gray[b.y : b.y + b.height, b.x : b.x + b.width] for b in boxes)
        return boxes, changed, [preprocess(framed(cut)) for cut in cuts]


class Pipeline:
    """Reads fields of frames of one size.

    smoothing, steady : as in `FieldReader`
    placed : the fields in the picture
    """

    def __init__(
        self,
        fields: Sequence[Field],
        width: int,
        height: int,
        engines: Sequence[Engine],
        smoothing: int = SMOOTHING,
        steady: int = STEADY,
    ) -> None:
        self.placed = place(fields, width, height)
        self.engines = list(engines)
        self._cells = [_FieldCells(placed) for placed in self.placed]
        self._readers = [
            [
                FieldReader(
                    placed.field, e.recognizer, e.name, smoothing, steady, cells.keeps_places
                )
                for placed, cells in zip(self.placed, self._cells, strict=True)
            ]
            for e in self.engines
        ]
        self._turn = 0

    def read(self, frame: Frame) -> tuple[list[list[Reading]], list[float]]:
        """Readings of the fields by each engine, and the seconds that each engine took."""
        found = [cells.of(frame) for cells in self._cells]
        every = [inputs for _, _, field in found for inputs in field]
        stacked = np.stack(every) if every else np.zeros((0, 32, 32, 1), np.int8)
        readings: list[list[Reading]] = [[] for _ in self.engines]
        seconds = [0.0 for _ in self.engines]
        self._turn += 1  # which engine comes first alternates: neither always finds warm caches
        for i in sorted(range(len(self.engines)), reverse=self._turn % 2 == 0):
            started = time.perf_counter()
            readings[i] = self._read(i, found, stacked)
            seconds[i] = time.perf_counter() - started
        return readings, seconds

    def _read(
        self, engine: int, found: list[tuple[list[Box], bool, list[Int8]]], stacked: Int8
    ) -> list[Reading]:
        logits = self.engines[engine].logits(stacked)
        readings, at = [], 0
        for reader, (boxes, changed, inputs) in zip(self._readers[engine], found, strict=True):
            readings.append(reader.read(logits[at : at + len(inputs)], boxes, changed))
            at += len(inputs)
        return readings
