"""What is read in a field, and in its cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edge_runtime.alphabet import Alphabet
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import Logits
from edge_runtime.scores import MILLION
from edge_runtime.video.fields import Field
from edge_runtime.video.geometry import Box
from edge_runtime.video.smoothing import BLANK, CellState, CellTrack


@dataclass(frozen=True)
class CellReading:
    """What one cell shows. Probabilities are 0 to 1.

    symbol : a symbol of the field's, or nothing
    best : the likeliest symbol, also where the gate lets none pass
    confidence : of ``best``, among the symbols that the field may hold
    allowed : probability that this frame alone gives to all symbols that the field may hold
    stable : whether the cell has shown the same for some frames
    """

    symbol: str
    best: str
    confidence: float
    p_real: float
    allowed: float
    stable: bool
    box: Box


@dataclass(frozen=True)
class Reading:
    """What a field shows in one frame.

    confidence : product of the characters' ones, which is the chance that all are right if they
        err apart from each other; None where there is no character
    stable : whether all cells are
    """

    field: str
    engine: str
    text: str
    confidence: float | None
    stable: bool
    cells: tuple[CellReading, ...]


class FieldReader:
    """Reads one field with one engine, frame after frame.

    smoothing : frames that the average reaches back
    steady : frames after which what stays the same is stable
    """

    def __init__(
        self,
        field: Field,
        recognizer: Recognizer,
        engine: str,
        smoothing: int,
        steady: int,
        keeps_places: bool,
    ) -> None:
        self._field = field
        self._recognizer = recognizer
        self._engine = engine
        self._smoothing, self._steady = smoothing, steady
        self._keeps_places = keeps_places
        self._classes = np.array(field.classes(recognizer.bundle.alphabet))
        self._symbols = _symbols(recognizer.bundle.alphabet, self._classes.tolist())
        self._tracks: list[CellTrack] = []

    def read(self, logits: Logits, boxes: Sequence[Box], other_cells: bool) -> Reading:
        """Take a frame's logits [cells, classes]; ``other_cells``: not those of the frame before.

        The probabilities of a field that may hold only some symbols are those of their logits
        alone.
        """
        if other_cells or len(self._tracks) != len(boxes):
            threshold = self._recognizer.bundle.threshold
            self._tracks = [CellTrack(self._smoothing, threshold) for _ in boxes]
        if not boxes:
            return Reading(self._field.name, self._engine, "", None, False, ())
        every, p_real = self._recognizer.probabilities(logits)
        allowed = every[:, self._classes].sum(axis=1) / MILLION
        among, _ = self._recognizer.probabilities(logits[:, self._classes])
        states = [
            track.update(row, int(real))
            for track, row, real in zip(self._tracks, among, p_real, strict=True)
        ]
        cells = tuple(
            self._cell(state, int(row.argmax()), float(share), box)
            for state, row, share, box in zip(states, among, allowed, boxes, strict=True)
        )
        sure = [cell.confidence for cell in cells if cell.symbol]
        return Reading(
            self._field.name,
            self._engine,
            self._text(cells),
            prod(sure) if sure else None,
            all(cell.stable for cell in cells),
            cells,
        )

    def _cell(self, state: CellState, now: int, allowed: float, box: Box) -> CellReading:
        blank = state.choice == BLANK
        best = self._symbols[now if blank else state.choice]
        return CellReading(
            "" if blank else best,
            best,
            state.confidence,
            state.p_real,
            min(allowed, 1.0),
            state.age >= self._steady,
            box,
        )

    def _text(self, cells: Sequence[CellReading]) -> str:
        """Characters of each row, rows apart by a space."""
        blank = self._field.blank if self._keeps_places else ""
        rows: dict[int, str] = {}
        for cell in cells:
            rows[cell.box.row] = rows.get(cell.box.row, "") + (cell.symbol or blank)
        return " ".join(rows.values())


def _symbols(alphabet: Alphabet, classes: Sequence[int]) -> list[str]:
    return [alphabet.symbols[number] for number in classes]
