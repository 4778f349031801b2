"""The loop: frame in, readings and frame out."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from edge_runtime.video.geometry import Frame
from edge_runtime.video.overlay import Overlay, status_lines
from edge_runtime.video.pipeline import Agreement, Pipeline
from edge_runtime.video.reading import Reading
from edge_runtime.video.readings import ReadingsFile
from edge_runtime.video.sink import VideoSink
from edge_runtime.video.source import Source


@dataclass(frozen=True)
class Limits:
    """When to end: after so many seconds of the video, or once ``stopped`` is set."""

    seconds: float | None
    stopped: threading.Event


@dataclass
class Result:
    """What was done so far; filled while it goes on, so that it is there after an error, too."""

    frames: int = 0
    agreement: Agreement = field(default_factory=Agreement)


def read_video(
    source: Source,
    pipeline: Pipeline,
    sink: VideoSink,
    readings: ReadingsFile | None,
    limits: Limits,
    advance: Callable[[], object],
    result: Result,
) -> None:
    """Read every frame of ``source`` and write it with what was read.

    A file's frames are written one by one. A camera's keep real time: one is written again, or
    left out, where the camera is slower or faster than the video's rate. ``advance`` is called
    after each frame.
    """
    overlay = Overlay(pipeline.placed, source.width, source.height)
    announced = _Announcer()
    started = time.perf_counter()
    for seconds, frame in source.frames():
        if limits.stopped.is_set() or (limits.seconds and seconds >= limits.seconds):
            return
        found, took = pipeline.read(frame)
        if len(found) == 2:
            result.agreement.count(*found)
        if readings:
            for engine in found:
                for placed, reading in zip(pipeline.placed, engine, strict=True):
                    readings.write(result.frames, seconds, placed, reading)
        announced.say(seconds, found[0])
        picture = _picture(frame, pipeline, overlay, found, took, seconds)
        for _ in range(int(seconds * sink.rate_hz) + 1 - sink.count if source.live else 1):
            sink.write(picture)
        result.frames += 1
        advance()
        now = time.perf_counter()
        for i, engine_used in enumerate(pipeline.engines):
            engine_used.whole.add(now - started - sum(took[:i] + took[i + 1 :]))
        started = now


def _picture(
    frame: Frame,
    pipeline: Pipeline,
    overlay: Overlay,
    found: list[list[Reading]],
    took: list[float],
    seconds: float,
) -> Frame:
    """Draw each engine's pane and put them beside each other; drawing counts to its engine."""
    panes = []
    for i, engine in enumerate(pipeline.engines):
        began = time.perf_counter()
        pane = frame.copy()
        others = found[1 - i] if len(found) == 2 else None
        overlay.draw(pane, found[i], others, status_lines(engine, seconds))
        panes.append(pane)
        took[i] += time.perf_counter() - began
    return panes[0] if len(panes) == 1 else np.concatenate(panes, axis=1)


class _Announcer:
    """Prints a line where a field's stable text has changed."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def say(self, seconds: float, readings: list[Reading]) -> None:
        for reading in readings:
            if not reading.stable or self._texts.get(reading.field) == reading.text:
                continue
            self._texts[reading.field] = reading.text
            sure = "" if reading.confidence is None else f"  {100 * reading.confidence:.1f} %"
            line = f"{seconds:.2f} s  {reading.field}: {reading.text or 'nothing'}{sure}"
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
