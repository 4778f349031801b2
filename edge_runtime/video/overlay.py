"""What a frame shows beside its pixels: fields, cells, characters, how sure, how fast."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_runtime.video.engine import Engine
from edge_runtime.video.fields import Cells
from edge_runtime.video.geometry import Corners, Frame, PlacedField
from edge_runtime.video.lettering import Color, shade, text_width, write_text
from edge_runtime.video.opencv import load_opencv
from edge_runtime.video.reading import CellReading, Reading

WHITE: Final[Color] = (255, 255, 255)
FAINT: Final[Color] = (190, 190, 190)
SURE: Final[Color] = (110, 220, 90)
UNSURE: Final[Color] = (40, 180, 255)
BAD: Final[Color] = (80, 80, 255)
_SURE_FROM = 0.5  # confidence
_PANEL_ROWS = 2.9  # height of a panel, in text heights


class Overlay:
    """Draws on frames of one size."""

    def __init__(self, placed: Sequence[PlacedField], width: int, height: int) -> None:
        self._placed = list(placed)
        self._size = max(12, min(40, round(min(height / 27, width / 40))))
        self._panels = [self._panel(field, width, height) for field in placed]
        self._status = self._status_place(width, height)

    def draw(
        self,
        frame: Frame,
        readings: Sequence[Reading],
        others: Sequence[Reading] | None = None,
        status: Sequence[str] = (),
    ) -> None:
        """Draw readings on the frame itself; cells that differ from ``others`` are marked.

        status : a line for a corner, and shorter ones for narrow pictures
        """
        for i, (placed, panel, reading) in enumerate(
            zip(self._placed, self._panels, readings, strict=True)
        ):
            differs = [False] * len(reading.cells)
            if others is not None:
                pairs = zip(reading.cells, others[i].cells, strict=True)
                differs = [a.symbol != b.symbol for a, b in pairs]
            self._draw_field(frame, placed, panel, reading, differs)
        for line in status:  # the longest that fits
            needed = text_width(line, self._size) + self._size
            if needed <= frame.shape[1] or line == status[-1]:
                x, y = self._status
                shade(frame, x, y, needed, 1.7 * self._size)
                middle = y + 0.85 * self._size
                write_text(frame, line, x + self._size / 2, middle, self._size, WHITE)
                break

    def _draw_field(
        self,
        frame: Frame,
        placed: PlacedField,
        panel: tuple[int, int, int],
        reading: Reading,
        differs: Sequence[bool],
    ) -> None:
        outline(frame, placed.corners, WHITE)
        apart = -2.0 if isinstance(placed.field.split, Cells) else 0.0
        colors = [_color(cell, other) for cell, other in zip(reading.cells, differs, strict=True)]
        for cell, color in zip(reading.cells, colors, strict=True):
            outline(frame, _moved(placed.outline(cell.box), apart), color, ground=False)
        x, y, width = panel
        size = self._size
        head, line = f"{reading.field}: ", self._line(reading)
        one_row = all(cell.box.row == 0 for cell in reading.cells) and reading.cells
        needed = text_width(head, size) + text_width(line, size) + size
        left = max(0, min(x, frame.shape[1] - needed))
        wide = max(width + x - left, needed) if one_row else needed
        shade(frame, left, y, wide, _PANEL_ROWS * size if one_row else 1.6 * size)
        middle = y + 0.8 * size
        write_text(frame, head, left + size / 2, middle, size, FAINT)
        color = SURE if reading.stable else UNSURE
        write_text(frame, line, left + size / 2 + text_width(head, size), middle, size, color)
        if not one_row:
            return
        self._draw_row(frame, placed, reading.cells, colors, y + 2.1 * size)

    def _draw_row(
        self,
        frame: Frame,
        placed: PlacedField,
        cells: Sequence[CellReading],
        colors: Sequence[Color],
        y: float,
    ) -> None:
        """Each character over its cell; all with their confidence if all have room for it."""
        big, small = round(1.5 * self._size), round(0.85 * self._size)
        sides = [placed.outline(cell.box)[:, 0] for cell in cells]
        notes = [f"{100 * cell.confidence:.0f}" if cell.symbol else "" for cell in cells]
        room = all(
            text_width(cell.symbol or ".", big) + text_width(note, small) + 4 <= np.ptp(side)
            for cell, note, side in zip(cells, notes, sides, strict=True)
        )
        for cell, color, note, side in zip(cells, colors, notes, sides, strict=True):
            symbol = cell.symbol or "."
            wide = text_width(symbol, big)
            both = wide + 4 + text_width(note, small) if room and note else wide
            begin = float(side.mean()) - both / 2
            write_text(frame, symbol, begin, y, big, color if cell.symbol else FAINT)
            if room and note:
                write_text(frame, note, begin + wide + 4, y + 0.25 * small, small, FAINT)

    def _line(self, reading: Reading) -> str:
        if reading.confidence is None:
            return "nothing"
        stable = "" if reading.stable else " ..."
        return f"{reading.text}  {100 * reading.confidence:.1f} %{stable}"

    def _panel(self, placed: PlacedField, width: int, height: int) -> tuple[int, int, int]:
        """Where a field's text goes: above or below, onto the field only where there is no room."""
        low, high = placed.corners.min(axis=0), placed.corners.max(axis=0)
        need = round(_PANEL_ROWS * self._size) + 3
        x, field_width = int(low[0]), int(high[0] - low[0])
        above, below = int(low[1]), height - int(high[1])
        if above >= min(need, below):
            return x, max(0, above - need), field_width
        return x, min(int(high[1]) + 4, height - need), field_width

    def _status_place(self, width: int, height: int) -> tuple[int, int]:
        """A corner without a field, the lower left one where all have one."""
        high = round(1.7 * self._size)
        need = round(_PANEL_ROWS * self._size)
        taken = [
            (min(y, field.corners[:, 1].min()), max(y + need, field.corners[:, 1].max()))
            for field, (_, y, _) in zip(self._placed, self._panels, strict=True)
        ]
        for y in (height - high, 0):
            if all(y + high <= top or y >= bottom for top, bottom in taken):
                return 0, y
        return 0, height - high


def status_lines(engine: Engine, seconds: float) -> tuple[str, ...]:
    """An engine's name, its rates over the last frames, and the time, ever shorter."""
    network, whole = engine.network.recent_rate_hz, engine.whole.recent_rate_hz
    return (
        f"{seconds:.1f} s   {engine.name}:  network {network:,.0f} FPS   "
        f"with everything {whole:,.0f} FPS",
        f"{engine.name}: network {network:,.0f}, all {whole:,.0f} FPS",
        f"{network:,.0f}, {whole:,.0f} FPS",
    )


def outline(frame: Frame, corners: Corners, color: Color, *, ground: bool = True) -> None:
    """Draw a quadrilateral; on a dark ``ground`` it can be seen on any picture."""
    cv2 = load_opencv()
    points = [np.round(corners).astype(np.int32).reshape(-1, 1, 2)]
    thick = 1 if min(frame.shape[:2]) < 600 else 2
    if ground:
        cv2.polylines(frame, points, True, (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.polylines(frame, points, True, color, thick, cv2.LINE_AA)


def _moved(corners: Corners, outwards: float) -> Corners:
    """Inwards, so that neighbours' outlines stay apart, where ``outwards`` is negative."""
    middle = corners.mean(axis=0)
    moved: Corners = corners + outwards * np.sign(corners - middle)
    return moved


def _color(cell: CellReading, differs: bool) -> Color:
    if differs:
        return BAD
    if not cell.symbol:
        return FAINT
    return SURE if cell.stable and cell.confidence >= _SURE_FROM else UNSURE
