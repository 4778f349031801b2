"""A back end, and how long it takes."""

import time
from collections import deque

import numpy as np

from edge_runtime.layers import Int8
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import Logits

_RECENT = 30  # frames that a rate shown in the picture is of


class Stopwatch:
    """Times of frames: all together, and of the last few."""

    def __init__(self) -> None:
        self.frames = 0
        self.seconds = 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, seconds: float) -> None:
        """Count a frame that took so long."""
        self.frames += 1
        self.seconds += seconds
        self._recent.append(seconds)

    @property
    def rate_hz(self) -> float:
        """Frames a second over all frames; 0 before the first."""
        return self.frames / self.seconds if self.seconds else 0.0

    @property
    def recent_rate_hz(self) -> float:
        """Frames a second over the last ones."""
        total = sum(self._recent)
        return len(self._recent) / total if total else 0.0


class Engine:
    """One back end.

    network : time of the network alone, of frames that had cells
    whole : time of everything from decoding to encoding, without what other engines take
    """

    def __init__(self, name: str, recognizer: Recognizer) -> None:
        self.name = name
        self.recognizer = recognizer
        self.network = Stopwatch()
        self.whole = Stopwatch()

    def warm_up(self) -> None:
        """Run once unmeasured: the first run allocates."""
        self.recognizer.logits(np.zeros((1, 32, 32, 1), np.int8))

    def logits(self, inputs: Int8) -> Logits:
        """Logits [N, classes] of int8 inputs [N, 32, 32, 1], timed."""
        if not len(inputs):
            return np.zeros((0, len(self.recognizer.bundle.alphabet)), np.int8)
        started = time.perf_counter()
        found = self.recognizer.logits(inputs)
        self.network.add(time.perf_counter() - started)
        return found
