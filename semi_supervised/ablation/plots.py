"""Plots of an ablation: accuracy over labels, learning curves, ingredients, generated images."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.metrics import Metric
from semi_supervised.ablation.cells import Job
from semi_supervised.ablation.conclusions import comparisons
from semi_supervised.ablation.figures import Measured
from semi_supervised.ablation.plan import Cell, Plan
from semi_supervised.ablation.tables import Rows, is_another, labels_text
from semi_supervised.figure import COLORS, DASHES, new_figure, save_figure

_SHEETS = 5  # of the generator, from the first epoch to the last
_SHEET_HEIGHT = 64  # pixels: two rows of characters


def draw_plots(plan: Plan, rows: Rows, jobs: Mapping[Cell, Job], folder: Path) -> dict[str, str]:
    """Write the plots that the figures allow; return their file names with what they show."""
    drawn = {}
    if any(not row[2] for row in rows):
        _accuracy(folder / "accuracy.svg", plan, rows)
        drawn["accuracy.svg"] = "Test accuracy over labels per class; bars: 95 % intervals"
        _gate(folder / "gate.svg", plan, rows)
        drawn["gate.svg"] = (
            "Test non-characters that pass the gate where 95 % of the characters do; bars: from "
            "the least to the most of the seeds"
        )
        _curves(folder / "curves.svg", plan, rows)
        drawn["curves.svg"] = "Validation accuracy over epochs, the mean of the seeds"
    if any(" without " in first for first, *_ in comparisons(plan, rows)):
        _ingredients(folder / "ingredients.svg", plan, rows)
        drawn["ingredients.svg"] = "The recipe without an ingredient minus the whole one, in points"
    if _generated(folder / "generated.svg", jobs):
        drawn["generated.svg"] = "What the generator draws from the same vectors as it learns"
    return drawn


def _accuracy(path: Path, plan: Plan, rows: Rows) -> None:
    def value(found: Measured) -> Metric:
        return _scaled(found.accuracy)

    _over_labels(path, plan, rows, value, "test accuracy, %")


def _gate(path: Path, plan: Plan, rows: Rows) -> None:
    def value(found: Measured) -> Metric | None:
        shares = found.let_in_of_seeds().values()
        if not shares:
            return None
        return _scaled(Metric(sum(shares) / len(shares), len(shares), min(shares), max(shares)))

    _over_labels(path, plan, rows, value, "non-characters that pass, %")


def _over_labels(
    path: Path, plan: Plan, rows: Rows, value: Callable[[Measured], Metric | None], what: str
) -> None:
    figure = new_figure(6.4, 4)
    panel = figure.subplots()
    for k, method in enumerate(plan.methods):
        own = [(x, rows.get((method, n, ""))) for x, n in enumerate(plan.labels)]
        metrics = [(x, value(m)) for x, m in own if m and not is_another(m)]
        shown = [(x + 0.06 * (k - 1.5), m) for x, m in metrics if m]
        if not shown:
            continue
        places, found = zip(*shown, strict=True)
        panel.errorbar(
            places,
            [m.value for m in found],
            [[m.value - m.low for m in found], [m.high - m.value for m in found]],
            color=COLORS[k],
            linestyle=DASHES[k],
            marker="o",
            markersize=3,
            capsize=3,
            label=method,
        )
    panel.set_xticks(range(len(plan.labels)), [str(n) for n in plan.labels])
    panel.set_xlabel("labels per class")
    panel.set_ylabel(what)
    panel.grid(alpha=0.3)
    panel.legend()
    save_figure(path, figure)


def _scaled(found: Metric) -> Metric:
    """A share as percent."""
    return Metric(100 * found.value, found.n, 100 * found.low, 100 * found.high)


def _curves(path: Path, plan: Plan, rows: Rows) -> None:
    lines = -(-len(plan.labels) // 2)
    figure = new_figure(7.2, 0.5 + 2.5 * lines)
    panels = list(figure.subplots(lines, 2, sharex=True, sharey=True, squeeze=False).flat)
    later = []  # the first fifth of the epochs rises so far that it would hide the rest
    for panel, labels in zip(panels, plan.labels, strict=False):
        for k, method in enumerate(plan.methods):
            found = rows.get((method, labels, ""))
            if found is None or is_another(found):
                continue
            curves = np.array(
                [[row["validation_accuracy"] for row in r["history"]] for r in found.records]
            )
            epochs = [row["epoch"] for row in found.records[0]["history"]]
            mean = 100 * curves.mean(axis=0)
            later += list(mean[len(mean) // 5 :])
            panel.plot(epochs, mean, DASHES[k], color=COLORS[k], label=method)
        panel.set_title(f"{labels_text(labels)} per class", fontsize=10)
        panel.grid(alpha=0.3)
    for panel in panels[len(plan.labels) :]:
        panel.remove()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("validation accuracy, %", fontsize=10)
    if later:
        panels[0].set_ylim(min(later) - 1, max(later) + 1)
    handles = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=len(plan.methods))
    save_figure(path, figure)


def _ingredients(path: Path, plan: Plan, rows: Rows) -> None:
    own = [
        (f"{first.split(' without ')[1]} ({labels_text(labels)})", compared)
        for first, _, labels, compared in comparisons(plan, rows)
        if " without " in first
    ]
    own.sort(key=lambda item: -item[1].points.value)
    figure = new_figure(6.4, 0.9 + 0.4 * len(own))
    panel = figure.subplots()
    values = [d.points for _, d in own]
    panel.barh(
        [f"without {name}" for name, _ in own],
        [v.value for v in values],
        xerr=[[v.value - v.low for v in values], [v.high - v.value for v in values]],
        color=[COLORS[0] if d.is_clear else "#b9c4cc" for _, d in own],
        capsize=3,
    )
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel("points of test accuracy (pale: not clear), 95 % intervals")
    panel.grid(alpha=0.3, axis="x")
    save_figure(path, figure)


def _generated(path: Path, jobs: Mapping[Cell, Job]) -> bool:
    """Show sheets of the last finished training with a generator; False where there is none."""
    done = [job for cell, job in jobs.items() if job.measured() and not cell.without]
    folders = [job.folder / "training/generated" for job in done]
    of_each = [sorted(folder.glob("epoch-*.png")) for folder in folders]
    sheets = next((found for found in reversed(of_each) if found), [])
    if not sheets:
        return False
    # Most happens early: epochs on a logarithmic scale.
    places = np.unique(np.geomspace(1, len(sheets), _SHEETS).round().astype(int) - 1)
    figure = new_figure(6.4, 1.05 * len(places))
    panels = figure.subplots(len(places), 1, squeeze=False)[:, 0]
    for panel, place in zip(panels, places, strict=True):
        with Image.open(sheets[place]) as sheet:
            panel.imshow(np.asarray(sheet)[:_SHEET_HEIGHT], cmap="gray", vmin=0, vmax=255)
        panel.set_ylabel(f"epoch {place + 1}", fontsize=8)
        panel.set_xticks([])
        panel.set_yticks([])
    save_figure(path, figure)
    return True
