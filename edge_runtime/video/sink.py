"""Writing a video: checked when it is done, under its own name only then."""

import math
import struct
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from edge_runtime.errors import InputError, VerificationError, VideoError
from edge_runtime.files import folder_beside
from edge_runtime.video.geometry import Frame
from edge_runtime.video.opencv import load_opencv

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "FFV1"}
_RATE_TOLERANCE_HZ = 0.002
_PATCHED_BYTES = 4096  # of an AVI file: its header lies there


class VideoSink:
    """Writes frames into a temporary folder beside ``path``; `finish` checks and renames.

    Leaving the ``with`` block without `finish` leaves nothing behind.

    Raises
    ------
    InputError, VideoError
        The place cannot be written, or OpenCV has no encoder for this size, rate or name.
    """

    def __init__(self, path: Path, width: int, height: int, rate_hz: float) -> None:
        check_output(path)
        self.path, self.width, self.height, self.rate_hz = path, width, height, rate_hz
        self.count = 0
        odd = width % 2 or height % 2
        suffix = path.suffix.lower()
        if odd and suffix != ".avi":
            raise VideoError(
                f"{path}: {width}×{height} pixels are odd, which only an .avi keeps here; name one"
            )
        self._folder = folder_beside(path)
        self._temporary = Path(self._folder.name) / f"video{suffix}"
        cv2 = load_opencv()
        # FFmpeg by way of OpenCV cuts odd sides; OpenCV's own encoder does not, but rounds rates.
        self._own_encoder = bool(odd)
        backend = cv2.CAP_OPENCV_MJPEG if odd else cv2.CAP_FFMPEG
        rate = max(1, round(rate_hz)) if odd else rate_hz
        fourcc = cv2.VideoWriter.fourcc(*CODECS[suffix])
        self._writer = cv2.VideoWriter(
            str(self._temporary), backend, fourcc, float(rate), (width, height)
        )
        if not self._writer.isOpened():
            self._folder.cleanup()
            raise VideoError(
                f"{path}: no encoder for {width}×{height} pixels at {rate_hz:g} frames a second in "
                f"{suffix}; try another of {', '.join(CODECS)}"
            )

    def __enter__(self) -> "VideoSink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.release()
        self._folder.cleanup()

    def write(self, frame: Frame) -> None:
        """Append a frame, uint8 [height, width, 3]."""
        if frame.shape != (self.height, self.width, 3):
            raise ValueError(f"a frame is {frame.shape}, not {(self.height, self.width, 3)}")
        self._writer.write(frame)
        self.count += 1

    def finish(self, path: Path | None = None) -> Path:
        """Close, check count, rate and size, and rename to ``path``, by default the own name."""
        self._writer.release()
        if self._own_encoder:
            _set_avi_rate(self._temporary, self.rate_hz)
        self._check()
        target = path or self.path
        self._temporary.replace(target)
        return target

    def _check(self) -> None:
        cv2 = load_opencv()
        capture = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
        try:
            found = tuple(
                round(capture.get(what))
                for what in (
                    cv2.CAP_PROP_FRAME_COUNT,
                    cv2.CAP_PROP_FRAME_WIDTH,
                    cv2.CAP_PROP_FRAME_HEIGHT,
                )
            )
            rate = float(capture.get(cv2.CAP_PROP_FPS))
        finally:
            capture.release()
        wanted = (self.count, self.width, self.height)
        if found != wanted or abs(rate - self.rate_hz) > _RATE_TOLERANCE_HZ:
            raise VerificationError(
                f"{self.path}: (frames, width, height) and rate were written as {found}, {rate:g} "
                f"instead of {wanted}, {self.rate_hz:g}; is the disk full?"
            )


def check_output(path: Path) -> None:
    """Refuse a name whose kind of video cannot be written here."""
    if path.suffix.lower() not in CODECS:
        raise InputError(f"{path}: videos are written as {', '.join(CODECS)}; name one of these")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")


def _set_avi_rate(path: Path, rate_hz: float) -> None:
    """Write the exact rate into an AVI file's headers, which hold a whole number so far.

    Fields by Microsoft's "AVI RIFF File Reference": dwMicroSecPerFrame of avih; dwScale and
    dwRate, whose quotient is the rate, of strh.
    """
    exact = Fraction(rate_hz).limit_denominator(1001)
    with path.open("r+b") as stream:
        head = stream.read(_PATCHED_BYTES)
        main, track = head.find(b"avih"), head.find(b"strh")
        if main < 0 or track < 0 or not math.isfinite(rate_hz):
            raise VideoError(f"{path}: not an AVI file as expected")
        stream.seek(main + 8)
        stream.write(struct.pack("<I", round(1e6 / rate_hz)))
        stream.seek(track + 8 + 20)
        stream.write(struct.pack("<II", exact.denominator, exact.numerator))
