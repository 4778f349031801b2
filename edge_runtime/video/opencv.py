"""OpenCV, where it is installed; without its own remarks on standard error."""

import functools
import os
from typing import Any

from edge_runtime.errors import MissingDependencyError


def load_opencv() -> Any:
    """Import OpenCV; `MissingDependencyError` where it is absent.

    FFmpeg inside it prints what it thinks of each damaged packet. What matters of that is said by
    our own one line, so it is silenced, unless the user's environment asks for it.
    """
    _hush()
    try:
        import cv2
    except ImportError:
        raise MissingDependencyError(
            "videos need OpenCV: pip install 'edgeglyph[video]' (or opencv-python-headless)"
        ) from None
    return cv2


@functools.cache
def _hush() -> None:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
