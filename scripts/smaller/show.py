"""The curve as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edge_runtime.errors import MissingDependencyError
from edge_runtime.files import replacing
from edge_runtime.metrics import Metric
from smaller.measure import CORE, Measured

_PRUNED, _OTHER = "#1f6f8b", "#c2571a"


def table(points: Sequence[Measured], form: str = "simple") -> str:
    """A row a network."""
    rows = [
        [
            each.point.title,
            ",".join(map(str, each.channels)),
            f"{each.multiply_adds / 1e6:.2f} M",
            each.float_network.percent,
            each.int8.percent,
            each.int8.interval,
            f"{each.against.p:.2g}" if each.against else "",
            f"{each.time.median:.1f}" if each.time else "",
            f"{each.cycles:,}" if each.cycles else "",
            f"{each.point.bundle.stat().st_size / 1024:.0f}",
        ]
        for each in points
    ]
    headers = ["multiply-adds", "channels", "number", "float", "int8", "95 % interval", "p"]
    headers += ["µs", f"{CORE} cycles", "KiB"]
    align = ("left", "left", *["right"] * 8)
    return tabulate(rows, headers, tablefmt=form, disable_numparse=True, colalign=align)


def draw(points: Sequence[Measured], title: str, folder: Path) -> list[Path]:
    """Write curve.svg and curve.png: int8 accuracy over multiply-adds, and over time."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "the picture needs Matplotlib: pip install 'edgeglyph[report]'"
        ) from None
    timed = all(each.time for each in points)
    figure = Figure(figsize=(5.2 * (1 + timed), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 1 + timed, sharey=True, squeeze=False)[0]
    _panel(panels[0], points, [each.multiply_adds / 1e6 for each in points])
    panels[0].set_xlabel("million multiply-adds an image")
    panels[0].set_ylabel(f"int8 accuracy on {points[0].int8.n:,} validation images, %")
    if timed:
        times = [each.time for each in points if each.time]
        spread = [[t.median - t.low for t in times], [t.high - t.median for t in times]]
        _panel(panels[1], points, [t.median for t in times], spread)
        panels[1].set_xlabel("µs an image, one thread")
    panels[0].legend(loc="lower right", frameon=False)
    figure.suptitle(title, fontsize=11)
    paths = [folder / f"curve.{suffix}" for suffix in ("svg", "png")]
    for path in paths:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=110)
    return paths


def _panel(panel: Any, points: Sequence[Measured], at: Sequence[float], spread: Any = None) -> None:
    for nothing, color, mark, label in (
        (False, _PRUNED, "o-", "pruned and trained on"),
        (True, _OTHER, "s", "same shape, from nothing"),
    ):
        chosen = [i for i, each in enumerate(points) if each.point.from_nothing is nothing]
        if not chosen:
            continue
        wide = None if spread is None else [[side[i] for i in chosen] for side in spread]
        metrics = [points[i].int8 for i in chosen]
        panel.errorbar(
            [at[i] for i in chosen], [100 * m.value for m in metrics],
            yerr=_bars(metrics), xerr=wide, fmt=mark, color=color, capsize=3, label=label,
        )  # fmt: skip
    for each, x in zip(points, at, strict=True):
        if not each.point.from_nothing:
            name = "as trained" if each.point.share == 1 else each.point.title
            panel.annotate(
                name, (x, 100 * each.int8.high), (0, 4), textcoords="offset points",
                ha="center", fontsize=8,
            )  # fmt: skip
    panel.set_xlim(left=0, right=1.1 * max(at))
    panel.margins(y=0.09)  # room for the names
    panel.grid(alpha=0.3)


def _bars(metrics: Sequence[Metric]) -> list[list[float]]:
    """Distances down and up to the interval's ends, in points."""
    return [
        [100 * (m.value - m.low) for m in metrics],
        [100 * (m.high - m.value) for m in metrics],
    ]
