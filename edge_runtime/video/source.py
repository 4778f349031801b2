"""Where frames come from: a video file, or a camera."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from edge_runtime.errors import VideoError
from edge_runtime.pixels import MAX_PIXELS
from edge_runtime.video.geometry import Frame
from edge_runtime.video.opencv import load_opencv

_MOST_MISSING = 0.01  # of the frames that a file says it has, or 2
_USUAL_RATE_HZ = 30.0  # of a camera that does not tell its own
_BLACK_FRAMES = 30  # that a camera may fail to give while it starts


class Source(Protocol):
    """Frames in order.

    name : for messages
    width, height : of every frame
    rate_hz : frames a second of the video
    count : how many frames it says it has; None where that is unknown
    live : whether frames come when they come, and end when the user says so
    """

    name: str
    width: int
    height: int
    rate_hz: float
    count: int | None
    live: bool

    def frames(self) -> Iterator[tuple[float, Frame]]:
        """Yield time in seconds and picture of each frame."""
        ...

    def remarks(self) -> list[str]:
        """What a user should know of it, after its frames."""
        ...

    def close(self) -> None:
        """Let go of the file or the camera."""
        ...


class VideoFile:
    """A video file.

    Raises
    ------
    VideoError
        It is missing, no video, has no frame, or does not say how fast it plays.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        if not path.is_file():
            raise VideoError(f"{path}: no such file (a camera is named camera or camera:1)")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty (0 bytes)")
        cv2 = load_opencv()
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise VideoError(
                f"{path}: not a video that can be read, or one whose end is missing "
                "(an .mp4 keeps its table of frames there)"
            )
        told = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count: int | None = int(told) if 0 < told < 1e9 else None
        self.rate_hz = float(self._capture.get(cv2.CAP_PROP_FPS))
        first = self._capture.read()
        self._first = _checked(path, first[1] if first[0] else None)
        self._first_time = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        self.height, self.width = self._first.shape[:2]
        if not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= 1000):
            raise VideoError(f"{path}: does not say how many frames a second it has")
        self._read = 0
        self._ended = False
        self._drift = 0.0  # furthest that a frame is from its place at a constant rate, in frames

    def frames(self) -> Iterator[tuple[float, Frame]]:
        """Yield the file's own times and the frames; `VideoError` where it breaks off."""
        cv2 = load_opencv()
        frame: Frame | None = self._first
        stamp = self._first_time
        while frame is not None:
            if frame.shape[:2] != (self.height, self.width):
                raise VideoError(
                    f"{self.name}: frame {self._read} is {frame.shape[1]}×{frame.shape[0]} pixels, "
                    f"the ones before are {self.width}×{self.height}"
                )
            seconds = (stamp - self._first_time) / 1000
            self._drift = max(self._drift, abs(seconds * self.rate_hz - self._read))
            self._read += 1
            yield seconds, frame
            found, frame = self._capture.read()
            frame = frame if found else None
            stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        self._ended = True
        missing = (self.count or 0) - self._read
        if missing > max(2.0, _MOST_MISSING * (self.count or 0)):
            raise VideoError(
                f"{self.name}: breaks off after {self._read:,} of {self.count:,} frames; "
                "the rest is missing or damaged"
            )

    def remarks(self) -> list[str]:
        """What a user should know of the file, after its frames."""
        said = []
        if self._ended and self.count not in (None, self._read):
            said.append(f"{self.name} says {self.count:,} frames; {self._read:,} could be decoded")
        if self._drift > 1:
            said.append(
                f"{self.name} has a variable frame rate: the output has the same frames at "
                f"{self.rate_hz:g} a second, its average; times in the readings are the file's own"
            )
        return said

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class Camera:
    """A camera of this computer.

    A frame's time is when it came, since the first.

    capture : what OpenCV gives for it
    """

    live = True
    count: int | None = None

    def __init__(
        self, number: int, capture: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = f"camera {number}"
        cv2 = load_opencv()
        self._capture = capture or cv2.VideoCapture(number)
        self._clock = clock
        if not self._capture.isOpened():
            raise VideoError(f"{self.name}: there is none, or another program uses it")
        self._first = _checked(self.name, self._next())
        self.height, self.width = self._first.shape[:2]
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate_hz = told if math.isfinite(told) and 1 <= told <= 240 else _USUAL_RATE_HZ

    def frames(self) -> Iterator[tuple[float, Frame]]:
        """Yield frames without end; `VideoError` where the camera goes away."""
        begin = self._clock()
        frame: Frame | None = self._first
        while frame is not None and frame.shape[:2] == (self.height, self.width):
            yield self._clock() - begin, frame
            frame = self._next()
        raise VideoError(f"{self.name}: gives no more pictures of its first size")

    def _next(self) -> Frame | None:
        for _ in range(_BLACK_FRAMES):
            found, frame = self._capture.read()
            if found:
                taken: Frame = frame
                return taken
        return None

    def remarks(self) -> list[str]:
        """Nothing."""
        return []

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


def open_source(text: str) -> Source:
    """Open ``camera``, ``camera:N`` or the path of a video."""
    kind, colon, number = text.partition(":")
    if kind == "camera" and (not colon or (number.isascii() and number.isdigit())):
        return Camera(int(number[:4] or 0))
    return VideoFile(Path(text))


def _checked(name: object, frame: Frame | None) -> Frame:
    if frame is None:
        raise VideoError(f"{name}: not a single frame could be read")
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise VideoError(f"{name}: frames of shape {frame.shape} are not pictures in color")
    if frame.shape[0] * frame.shape[1] > MAX_PIXELS:
        raise VideoError(f"{name}: {frame.shape[1]}×{frame.shape[0]} pixels are too many")
    return frame
