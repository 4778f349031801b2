"""Geometry of the pages' charts: from figures to the coordinates of an SVG drawing.

The templates draw what `Plot` holds and color it by CSS, so that a chart follows the page's light
or dark colors and stays sharp in print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_PER_DECADE: Final = (1, 2, 5)


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixel of a value, rounded to a tenth; values outside lie on the border."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """A line through points; ``style`` is a class of the style sheet."""

    style: str
    points: str


@dataclass(frozen=True)
class Mark:
    """A dot with its interval from y ``low`` to ``high``, what it says when pointed at, a label."""

    x: float
    y: float
    low: float
    high: float
    style: str
    text: str
    label: str = ""
    label_y: float = 0.0


@dataclass(frozen=True)
class Text:
    """A few words at a place; ``anchor`` is SVG's start, middle or end."""

    x: float
    y: float
    words: str
    anchor: str = "start"


@dataclass(frozen=True)
class Plot:
    """A drawing: its frame, ticks as (pixel, words), and what is drawn."""

    title: str
    about: str
    width: int
    height: int
    x: Scale
    y: Scale
    x_title: str = ""
    y_title: str = ""
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    bars: list[tuple[float, float, float, float]] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def percent(value: float, digits: int = 1) -> str:
    """``87.1 %``, unbroken at the end of a line."""
    return f"{100 * value:.{digits}f}\u00a0%"


def _points(x: Scale, y: Scale, pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x(a)},{y(b)}" for a, b in pairs)


def _shares(scale: Scale, values: Sequence[float]) -> list[tuple[float, str]]:
    return [(scale(value), f"{100 * value:.0f}\u00a0%") for value in values]


def reliability(bins: Sequence[dict[str, Any]]) -> Plot:
    """Accuracy over mean confidence of each bin, with intervals; below, how many images it has."""
    x, y = Scale(0, 1, 62, 348), Scale(0, 1, 236, 16)
    most = max(row["accuracy"]["n"] for row in bins)
    count = Scale(0, most, 0, 34)
    marks, bars = [], []
    for row in bins:
        found = row["accuracy"]
        said = (
            f"confidence {percent(row['confidence'])}: {percent(found['value'])} are right, "
            f"95 % interval {percent(found['low'])} to {percent(found['high'])}, n = {found['n']:,}"
        )
        place = x(row["confidence"]), y(found["value"])
        marks.append(Mark(*place, y(found["low"]), y(found["high"]), "ours", said))
        height = max(count(found["n"]), 0.5)
        left, right = x(row["from"]), x(row["to"])
        bars.append((left + 0.5, round(276 - height, 1), round(right - left - 1, 1), height))
    means = [(row["confidence"], row["accuracy"]["value"]) for row in bins]
    return Plot(
        "Reliability",
        "Accuracy over confidence. A calibrated network lies on the diagonal.",
        360,
        324,
        x,
        y,
        "confidence",
        "accuracy",
        _shares(x, (0, 0.25, 0.5, 0.75, 1)),
        _shares(y, (0, 0.25, 0.5, 0.75, 1)),
        [Line("guide", _points(x, y, [(0, 0), (1, 1)])), Line("ours", _points(x, y, means))],
        marks,
        bars,
        [Text(66, 252, f"images a bin, {most:,} at most")],
    )


def roc(kind: str, curve: dict[str, Any], threshold: float) -> Plot:
    """Characters let in over others let in, with a dot at the threshold."""
    x, y = Scale(0, 1, 36, 176), Scale(0, 1, 152, 12)
    pairs = [(point[1], point[2]) for point in curve["points"]]
    # The last point whose threshold is not below the gate's own.
    at = [point for point in curve["points"] if point[0] >= threshold][-1]
    said = (
        f"at the threshold {percent(at[2])} of the characters pass, and {percent(at[1])} of {kind}"
    )
    dot = Mark(x(at[1]), y(at[2]), y(at[2]), y(at[2]), "ours", said)
    return Plot(
        kind,
        f"Area under the curve {curve['area']:.3f}; {said}.",
        184,
        184,
        x,
        y,
        "others let in",
        "",
        _shares(x, (0.5, 1)),
        _shares(y, (0, 0.5, 1)),
        [Line("guide", _points(x, y, [(0, 0), (1, 1)])), Line("ours", _points(x, y, pairs))],
        [dot],
    )


def severities(name: str, found: dict[str, Any], robustness: dict[str, Any]) -> Plot:
    """Accuracy over severity of one corruption: floats dashed, integers drawn through."""
    x, y = Scale(0, 5, 36, 176), Scale(0, 1, 132, 12)
    lines, marks, told = [], [], []
    *others, last = robustness["networks"]
    for network in [*others, last]:
        style = "ours" if network == last else "other"
        metrics = [robustness["clean"][network], *found["accuracy"][network]]
        lines.append(Line(style, _points(x, y, [(s, m["value"]) for s, m in enumerate(metrics)])))
        title = robustness["networks"][network]
        told.append(f"{title}: " + ", ".join(percent(m["value"]) for m in metrics))
        if network != last:
            continue
        for severity, m in enumerate(metrics):
            said = f"severity {severity}: {percent(m['value'])}, n = {m['n']:,}"
            place = x(severity), y(m["value"])
            marks.append(Mark(*place, y(m["low"]), y(m["high"]), "ours", said))
    return Plot(
        name,
        f"Accuracy at severity 0 (clean) to 5. {'; '.join(told)}.",
        184,
        164,
        x,
        y,
        "severity",
        "",
        [(x(s), str(s)) for s in (0, 1, 2, 3, 4, 5)],
        _shares(y, (0, 0.5, 1)),
        lines,
        marks,
    )


def tradeoff(rows: Sequence[dict[str, Any]]) -> Plot | None:
    """Accuracy over time of an image, of engines of which both are known."""
    known = [row for row in rows if row["accuracy"]]
    if len(known) < 2:
        return None
    times = [row["median_us"] for row in known]
    shares = [row["accuracy"][key] for row in known for key in ("low", "high")]
    x = Scale(min(times) / 1.4, max(times) * 1.4, 66, 348, log=True)
    y = Scale(math.floor(50 * min(shares)) / 50, math.ceil(50 * max(shares)) / 50, 236, 16)
    marks = []
    for k, row in enumerate(known):
        m = row["accuracy"]
        said = f"{row['title']}: {row['median_us']:.0f} µs, {percent(m['value'])}, n = {m['n']:,}"
        place = x(row["median_us"]), y(m["value"])
        style = "ours" if row["ours"] else "other"
        low, high = y(m["low"]), y(m["high"])
        # Above and below in turn, as two engines may take the same time.
        beside = high - 5 if k % 2 else low + 13
        marks.append(Mark(*place, low, high, style, said, str(row["number"]), beside))
    steps = [y.low + (y.high - y.low) * k / 4 for k in range(5)]
    return Plot(
        "Accuracy against latency",
        "; ".join(mark.text for mark in marks),
        360,
        284,
        x,
        y,
        "µs an image, network alone, one thread",
        "accuracy",
        [(x(t), f"{t:g}") for t in _round_between(x.low, x.high)],
        [(y(s), f"{100 * s:.1f}\u00a0%") for s in steps],
        [],
        marks,
    )


def _round_between(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, 50 … as far as they lie between."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [step * 10.0**decade for decade in decades for step in _PER_DECADE]
    return [step for step in steps if low <= step <= high]
