"""The race as a chart: a bar for each engine, with the middle half of the rounds."""

from pathlib import Path

from edge_runtime.bench.report import Report
from edge_runtime.files import replacing
from edge_runtime.formats.format import need

_OURS, _PEER = "#1f6f8b", "#c9a26b"


def draw_chart(report: Report, folder: Path) -> list[Path]:
    """Write bench.svg and bench.png; `MissingDependencyError` without matplotlib."""
    need("matplotlib").use("agg")
    pyplot = need("matplotlib.pyplot")
    shown = [task for task in report.tasks if task.load.threads == 1]
    figure, panels = pyplot.subplots(
        1, len(shown), figsize=(4.2 * len(shown), 3.6), squeeze=False, layout="constrained"
    )
    for panel, task in zip(panels[0], shown, strict=True):
        bars = [(e, s) for e in reversed(report.entries) if (s := report.summary(e, task))]
        medians = [summary.median for _, summary in bars]
        spread = [
            [summary.median - summary.low for _, summary in bars],
            [summary.high - summary.median for _, summary in bars],
        ]
        panel.barh(
            [entry.engine.title for entry, _ in bars],
            medians,
            xerr=spread,
            color=[_OURS if entry.engine.ours else _PEER for entry, _ in bars],
        )
        for row, (_, summary) in enumerate(bars):
            panel.annotate(f" {summary.median:.0f}", (summary.high, row), va="center", fontsize=8)
        panel.set_title(task.title, fontsize=10)
        panel.set_xlabel("µs an image")
        panel.margins(x=0.15)
        if panel is not panels[0][0]:
            panel.set_yticklabels([])
    machine = report.about["machine"]
    figure.suptitle(f"{report.about['network']['name']} on {machine['processor']}", fontsize=11)
    paths = [folder / f"bench.{suffix}" for suffix in ("svg", "png")]
    for path in paths:
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=110)
    pyplot.close(figure)
    return paths
