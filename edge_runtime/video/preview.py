"""One frame with its fields, its readings and rulers, to place fields by."""

from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.errors import InputError, VideoError
from edge_runtime.files import replacing
from edge_runtime.video.geometry import Frame
from edge_runtime.video.lettering import shade, text_width, write_text
from edge_runtime.video.overlay import FAINT, WHITE, Overlay
from edge_runtime.video.pipeline import Pipeline
from edge_runtime.video.source import Source

_STEPS = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000)
_MOST_TICKS = 14


def frame_number(source: Source, number: int) -> Frame:
    """Frame ``number``, counted from 0; `VideoError` where the video is shorter."""
    seen = 0
    for _, frame in source.frames():
        if seen == number:
            return frame
        seen += 1
    raise VideoError(f"{source.name}: has {seen:,} frames; name one from 0 to {seen - 1:,}")


def write_preview(path: Path, frame: Frame, pipeline: Pipeline) -> list[str]:
    """Write the picture; return a line for each field: where it is and what it reads."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the picture of one frame is a PNG; name it so")
    (readings, *_), _ = pipeline.read(frame)
    shown = np.ascontiguousarray(frame).copy()
    height, width = shown.shape[:2]
    _rulers(shown)
    Overlay(pipeline.placed, width, height).draw(shown, readings)
    with replacing(path) as temporary:
        Image.fromarray(shown[..., ::-1]).save(temporary, "PNG")
    lines = []
    for placed, reading in zip(pipeline.placed, readings, strict=True):
        x, y = (round(v) for v in placed.corners.min(axis=0).tolist())
        sure = "" if reading.confidence is None else f"  {100 * reading.confidence:.1f} %"
        lines.append(
            f"{reading.field}: {placed.width}×{placed.height} pixels at {x},{y}; "
            f"{len(reading.cells)} cells; {reading.text or 'nothing'}{sure}"
        )
    return lines


def _rulers(frame: Frame) -> None:
    """Lines and numbers of pixels along the top and the left."""
    height, width = frame.shape[:2]
    size = max(10, min(24, height // 40))
    step = next((s for s in _STEPS if max(width, height) / s <= _MOST_TICKS), _STEPS[-1])
    for at in range(step, width, step):
        frame[:, at] = frame[:, at] // 2 + 90
        _number(frame, at, 0, size)
    for at in range(step, height, step):
        frame[at] = frame[at] // 2 + 90
        _number(frame, 0, at, size)
    write_text(frame, f"{width}x{height}", width - 4, height - size, size, FAINT, "r")


def _number(frame: Frame, x: int, y: int, size: int) -> None:
    text = str(x or y)
    shade(frame, x, y, text_width(text, size) + 4, size + 4)
    write_text(frame, text, x + 2, y + size / 2 + 2, size, WHITE)
