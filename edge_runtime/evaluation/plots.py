"""Pictures of robustness and rejection, as PNG files."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.errors import MissingDependencyError
from edge_runtime.evaluation.corruptions import CORRUPTIONS, SEVERITIES, to_working_size
from edge_runtime.evaluation.robustness import Robustness
from edge_runtime.files import replacing
from edge_runtime.images import Gray

_COLUMNS: Final = 5
_COLORS: Final = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5fb0")  # told apart by dashes as well
_DASHES: Final = ("-", "--", ":", "-.")
_CELL, _GAP, _NAME = 72, 4, 120  # pixels of the contact sheet


def _figure(width: float, height: float) -> Any:
    """A figure that needs no display and leaves no global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            "plots need Matplotlib: pip install 'edgeglyph[report]'"
        ) from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_robustness(path: Path, found: Robustness) -> None:
    """Accuracy over severity, a panel for each corruption; severity 0 is the clean image."""
    rows = -(-len(CORRUPTIONS) // _COLUMNS)
    figure = _figure(2.4 * _COLUMNS, 2.0 * rows + 0.6)
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True)
    for i, (corruption, panel) in enumerate(zip(CORRUPTIONS, panels.flat, strict=False)):
        for k, rung in enumerate(found.rungs):
            values = [found.clean(k), *(found.accuracy(k, i, s) for s in SEVERITIES)]
            panel.plot(
                [0, *SEVERITIES], [100 * m.value for m in values],
                _DASHES[k % 4], color=_COLORS[k % 4], label=rung.title,
            )  # fmt: skip
            panel.fill_between(
                [0, *SEVERITIES], [100 * m.low for m in values], [100 * m.high for m in values],
                color=_COLORS[k % 4], alpha=0.15, linewidth=0,
            )  # fmt: skip
        panel.set_title(corruption.name, fontsize=10)
        panel.grid(alpha=0.3)
        panel.set_ylim(0, 100)
        panel.set_xticks([0, *SEVERITIES])
    for panel in panels[:, 0]:
        panel.set_ylabel("accuracy, %")
    for panel in panels[-1]:
        panel.set_xlabel("severity")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(found.rungs))
    _save(path, figure)


def plot_rejection(path: Path, curves: dict[str, dict[str, Any]], title: str) -> None:
    """Characters let in over others let in, a curve for each kind of non-character."""
    figure = _figure(6, 5)
    panel = figure.subplots()
    for k, (kind, one) in enumerate(curves.items()):
        _, others, characters = zip(*one["points"], strict=True)
        label = f"{kind}: {one['area']:.3f} (n = {one['n_others']:,})"
        # Ten kinds want more colors than the networks have.
        panel.plot(others, characters, _DASHES[k // 10 % 4], color=f"C{k % 10}", label=label)
    panel.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    panel.set_xlabel("share of non-characters let in")
    panel.set_ylabel("share of characters let in")
    panel.set_title(title, fontsize=10)
    panel.grid(alpha=0.3)
    panel.legend(title="area under the curve", fontsize=8, loc="lower right")
    _save(path, figure)


def _save(path: Path, figure: Any) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def contact_sheet(path: Path, gray: Gray) -> None:
    """Write one image in all corruptions: a row each, clean and then by severity."""
    clean = to_working_size(gray)
    height = (_CELL + _GAP) * len(CORRUPTIONS) + _GAP
    width = _NAME + (_CELL + _GAP) * (1 + len(SEVERITIES))
    sheet = Image.new("L", (width, height), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, corruption in enumerate(CORRUPTIONS):
        y = _GAP + row * (_CELL + _GAP)
        pen.text((_GAP, y + _CELL // 2 - 8), corruption.name, fill=0, font=font)
        for column in (0, *SEVERITIES):
            picture = corruption(clean, column) if column else clean
            cell = Image.fromarray(np.asarray(picture))
            cell.thumbnail((_CELL, _CELL))
            sheet.paste(cell, (_NAME + column * (_CELL + _GAP), y))
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG")
