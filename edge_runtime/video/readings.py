"""Readings as CSV or JSON lines, one line a field, frame and engine."""

import csv
import io
import json
from pathlib import Path
from types import TracebackType
from typing import IO

from edge_runtime.errors import InputError
from edge_runtime.files import folder_beside
from edge_runtime.video.geometry import PlacedField
from edge_runtime.video.reading import CellReading, Reading

CSV_COLUMNS = ("frame", "time_s", "field", "engine", "text", "confidence", "stable", "cells")
_SUFFIXES = (".csv", ".jsonl", ".json")


class ReadingsFile:
    """Writes lines to a temporary file beside ``path``; `finish` renames it.

    The name's end chooses the form: .csv, or .jsonl and .json for JSON lines.
    """

    def __init__(self, path: Path) -> None:
        check_readings(path)
        self.path = path
        self._csv = path.suffix.lower() == ".csv"
        self._folder = folder_beside(path)
        self._temporary = Path(self._folder.name) / "readings"
        self._stream: IO[str] = self._temporary.open("w", encoding="utf-8", newline="\n")
        if self._csv:
            self._stream.write(_csv_line(list(CSV_COLUMNS)))

    def __enter__(self) -> "ReadingsFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._folder.cleanup()

    def write(self, frame: int, seconds: float, placed: PlacedField, reading: Reading) -> None:
        """Append a reading of one frame."""
        form = _csv_reading if self._csv else _json_reading
        self._stream.write(form(frame, seconds, placed, reading))

    def finish(self, path: Path | None = None) -> Path:
        """Close and rename to ``path``, by default the own name."""
        self._stream.close()
        target = path or self.path
        self._temporary.replace(target)
        return target


def check_readings(path: Path) -> None:
    """Refuse a name that says neither CSV nor JSON lines."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{path}: readings are written as {', '.join(_SUFFIXES)}; name one")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")


def _csv_reading(frame: int, seconds: float, placed: PlacedField, reading: Reading) -> str:
    sure = "" if reading.confidence is None else f"{reading.confidence:.6f}"
    cells = " ".join(f"{c.symbol}:{c.confidence:.3f}:{c.p_real:.3f}" for c in reading.cells)
    stable = "yes" if reading.stable else "no"
    head = [str(frame), f"{seconds:.6f}", reading.field, reading.engine, reading.text]
    return _csv_line([*head, sure, stable, cells])


def _json_reading(frame: int, seconds: float, placed: PlacedField, reading: Reading) -> str:
    line = {
        "frame": frame,
        "time_s": round(seconds, 6),
        "field": reading.field,
        "engine": reading.engine,
        "text": reading.text,
        "confidence": None if reading.confidence is None else round(reading.confidence, 6),
        "stable": reading.stable,
        "cells": [_json_cell(placed, cell) for cell in reading.cells],
    }
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def _json_cell(placed: PlacedField, cell: CellReading) -> dict[str, object]:
    return {
        "symbol": cell.symbol,
        "best": cell.best,
        "confidence": round(cell.confidence, 6),
        "p_real": round(cell.p_real, 6),
        "allowed": round(cell.allowed, 6),
        "stable": cell.stable,
        "corners": [[round(float(v), 1) for v in p] for p in placed.outline(cell.box)],
    }


def _csv_line(row: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(row)
    return stream.getvalue()
