"""What a cell shows, from the evidence of several frames.

Log-probabilities of a cell are averaged over frames: the mean of all while there are few, then an
exponential average that reaches back about ``frames`` frames. Frames of a video are no independent
witnesses, so their evidence is averaged, never added up: a still picture shown a thousand times is
as sure as shown once. The gate's log-odds are averaged likewise.

The average starts anew when the cell has changed: when `PATIENCE` frames in a row, each by itself,
say the same other thing at `MARKED` to 1 at least. One bad frame does not do that, nor does a
cell that wavers between two look-alikes.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.scores import MILLION, Millionths

MARKED = 9.0
PATIENCE = 2
BLANK = -1  # in place of a class: no character

Logs = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CellState:
    """What a cell shows now.

    choice : index among the field's classes, or `BLANK`
    confidence, p_real : averaged, 0 to 1; the confidence is the likeliest character's, also where
        the cell is blank
    age : frames since the choice last changed, this one included
    """

    choice: int
    confidence: float
    p_real: float
    age: int


class CellTrack:
    """Follows one cell.

    frames : how far back the average reaches; 1 takes each frame by itself
    threshold : of p_real, in millionths; None lets everything pass
    """

    def __init__(self, frames: int, threshold: int | None) -> None:
        self._frames = frames
        self._gate = -math.inf if threshold is None else _log_odds(threshold)
        self._logs: Logs | None = None
        self._odds = 0.0
        self._count = 0
        self._choice: int | None = None
        self._age = 0
        self._other: tuple[int, int] = (BLANK, 0)  # what the last frames said instead, how many
        self._since: tuple[Logs, float] | None = None  # and their first one's evidence

    def update(self, probabilities: Millionths, p_real: int) -> CellState:
        """Take a frame's probabilities, int64 [classes], and p_real, in millionths."""
        logs = np.log(np.maximum(probabilities, 0.5) / MILLION)
        odds = _log_odds(p_real)
        self._notice_change(logs, odds)
        self._add(logs, odds)
        assert self._logs is not None
        choice = self._choose(self._logs, self._odds)
        self._age = self._age + 1 if choice == self._choice else 1
        self._choice = choice
        weights = np.exp(self._logs - self._logs.max())
        confidence = float(weights.max() / weights.sum())
        return CellState(choice, confidence, 1 / (1 + math.exp(-self._odds)), self._age)

    def _choose(self, logs: Logs, odds: float) -> int:
        return int(logs.argmax()) if odds >= self._gate else BLANK

    def _add(self, logs: Logs, odds: float) -> None:
        self._count += 1
        if self._logs is None:
            self._logs, self._odds = logs, odds
            return
        share = max(1 / self._frames, 1 / self._count)
        self._logs = self._logs + share * (logs - self._logs)
        self._odds += share * (odds - self._odds)

    def _notice_change(self, logs: Logs, odds: float) -> None:
        """Forget the average where frames in a row show something else."""
        said = self._choose(logs, odds)
        if self._choice is None or not self._marked(said, logs, odds):
            self._other, self._since = (BLANK, 0), None
            return
        before, times = self._other
        times = times + 1 if times and said == before else 1
        self._other = (said, times)
        if times < PATIENCE:
            self._since = (logs, odds)
            return
        self._logs, self._count = None, 0
        if self._since is not None:
            self._add(*self._since)
        self._other, self._since = (BLANK, 0), None

    def _marked(self, said: int, logs: Logs, odds: float) -> bool:
        """Whether one frame speaks clearly for another thing than the cell is taken to show."""
        if said == self._choice or self._choice is None:
            return False
        if BLANK in (said, self._choice):
            return abs(odds - self._gate) >= math.log(MARKED)
        return float(logs[said] - logs[self._choice]) >= math.log(MARKED)


def _log_odds(millionths: int) -> float:
    inside = min(max(millionths, 1), MILLION - 1)
    return math.log(inside / (MILLION - inside))
