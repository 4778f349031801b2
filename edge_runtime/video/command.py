"""``python -m edge_runtime video``: read fixed fields of a video or camera."""

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from edge_runtime.errors import EdgeGlyphError, InputError, SettingsError
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import BACKENDS, default_backend
from edge_runtime.video.engine import Engine
from edge_runtime.video.opencv import load_opencv
from edge_runtime.video.pipeline import SMOOTHING, STEADY, Pipeline
from edge_runtime.video.preview import frame_number, write_preview
from edge_runtime.video.readings import ReadingsFile, check_readings
from edge_runtime.video.roi import parse_roi
from edge_runtime.video.run import Limits, Result, read_video
from edge_runtime.video.sink import VideoSink, check_output
from edge_runtime.video.source import Source, open_source

INTERRUPTED = 130
open_recognizer = Recognizer.open


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("input", metavar="INPUT", help="a video file, camera, or camera:1")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".mp4, .mov, .avi or .mkv to write",
    )
    parser.add_argument(
        "--roi",
        metavar="FIELDS",
        help="fields, as in 'meter=40,60,320,80:cells=6; plate=5%%,60%%,30%%,20%%:contours', "
        "or a .toml file (default: the whole picture, by contours)",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--backend", choices=BACKENDS, help="(default: native where it is built, else int8)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="model of a float or onnx back end"
    )
    parser.add_argument(
        "--against", choices=BACKENDS, help="a second back end, beside the first in the picture"
    )
    parser.add_argument("--against-model", type=Path, metavar="FILE", help="its model")
    parser.add_argument(
        "--readings", type=Path, metavar="FILE", help="also write readings: .csv, or .jsonl"
    )
    parser.add_argument(
        "--smoothing",
        type=int,
        default=SMOOTHING,
        metavar="F",
        help="frames that a cell's average reaches back (default: %(default)s; 1: none)",
    )
    parser.add_argument(
        "--stable",
        type=int,
        default=STEADY,
        metavar="K",
        help="a reading is stable once it has stayed for K frames (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so much of the video")
    parser.add_argument(
        "--frame",
        type=int,
        metavar="N",
        help="only look: write frame N (from 0) with fields and rulers to OUT, a .png",
    )


def run(options: argparse.Namespace) -> int:
    """Read a video; return 0, or 130 where Ctrl-C ended a file."""
    _check(options)
    fields = parse_roi(options.roi)
    load_opencv()
    engines = _engines(options)
    for field in fields:
        field.classes(engines[0].recognizer.bundle.alphabet)
    source = open_source(options.input)
    with contextlib.closing(source):
        steady = options.stable if options.frame is None else 1
        pipeline = Pipeline(fields, source.width, source.height, engines, options.smoothing, steady)
        if options.frame is not None:
            lines = write_preview(options.output, frame_number(source, options.frame), pipeline)
            print("\n".join([*lines, f"the picture is {options.output}"]))
            return 0
        try:
            return _read(options, source, pipeline)
        except OSError as error:  # a full disk, most likely
            place = options.output.parent
            raise InputError(f"{place}: cannot be written ({error.strerror or error})") from None


def _read(options: argparse.Namespace, source: Source, pipeline: Pipeline) -> int:
    width = source.width * len(pipeline.engines)
    result = Result()
    broken: EdgeGlyphError | None = None
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(VideoSink(options.output, width, source.height, source.rate_hz))
        readings = stack.enter_context(ReadingsFile(options.readings)) if options.readings else None
        total = None if source.live else _expected(source.count, source.rate_hz, options.seconds)
        bar: tqdm[Any] = tqdm(total=total, desc="video", unit="frame", disable=None)
        stack.enter_context(bar)
        stopped = stack.enter_context(_stopping())
        try:
            read_video(
                source,
                pipeline,
                sink,
                readings,
                Limits(options.seconds, stopped),
                bar.update,
                result,
            )
        except EdgeGlyphError as error:
            broken = error
        whole = broken is None and (source.live or not stopped.is_set())
        bar.close()
        if not result.frames:
            raise broken or KeyboardInterrupt
        video = sink.finish(None if whole else _partial(options.output))
        if readings:
            lines = readings.finish(None if whole else _partial(options.readings))
            print(f"the readings are {lines}", file=sys.stderr)
    print(_summary(result, pipeline))
    sound = "" if source.live else "; sound is not kept"
    print(f"the video is {video} ({sink.count:,} frames{sound})", file=sys.stderr)
    for remark in source.remarks():
        print(remark, file=sys.stderr)
    if broken:
        raise type(broken)(f"{broken}; what was read until then is {video}")
    return 0 if whole else INTERRUPTED


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be before anything is opened."""
    if options.smoothing < 1 or options.stable < 1:
        raise SettingsError("--smoothing and --stable are at least 1")
    if options.seconds is not None and not 0 < options.seconds < 1e9:
        raise SettingsError("--seconds is more than 0")
    if options.frame is not None:
        if options.frame < 0:
            raise SettingsError("--frame counts from 0")
        if options.output.suffix.lower() != ".png":
            raise SettingsError(f"{options.output}: --frame writes a picture; name a .png")
    else:
        check_output(options.output)
    if options.readings:
        check_readings(options.readings)
    for path in filter(None, (options.output, options.readings)):
        if Path(options.input).exists() and path.exists() and path.samefile(options.input):
            raise SettingsError(f"{path}: is the input itself; name another output")
    if options.against and options.against == (options.backend or default_backend()):
        raise SettingsError(f"--against {options.against}: is the first back end, too")


def _engines(options: argparse.Namespace) -> list[Engine]:
    wanted = [(options.backend or default_backend(), options.model)]
    if options.against:
        wanted.append((options.against, options.against_model))
    engines = [Engine(name, open_recognizer(options.bundle, name, m)) for name, m in wanted]
    for engine in engines:
        engine.warm_up()
    if not options.backend and engines[0].name == "int8":
        print("`make runtime` builds an engine many times faster than int8", file=sys.stderr)
    return engines


def _expected(count: int | None, rate_hz: float, seconds: float | None) -> int | None:
    if count is None or seconds is None:
        return count
    return min(count, max(1, round(seconds * rate_hz)))


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Ctrl-C sets the event, so that the frame in hand is finished; a second one interrupts."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def _summary(result: Result, pipeline: Pipeline) -> str:
    rows = [
        [e.name, f"{e.network.rate_hz:,.1f}", f"{e.whole.rate_hz:,.1f}"] for e in pipeline.engines
    ]
    table = tabulate(
        rows,
        [f"{result.frames:,} frames", "network alone, FPS", "whole pipeline, FPS"],
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", "right", "right"),
    )
    if len(pipeline.engines) < 2:
        return table
    same = result.agreement
    return (
        f"{table}\nthe same text in {same.same_fields:,} of {same.fields:,} readings, "
        f"the same character in {same.same_cells:,} of {same.cells:,} cells"
    )
