"""Plots of an ablation: accuracy over labels, learning curves, ingredients, generated images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from semi_supervised.ablation.cells import Job
from semi_supervised.ablation.conclusions import comparisons
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
        _curves(folder / "curves.svg", plan, rows)
        drawn["curves.svg"] = "Validation accuracy over epochs, the mean of the seeds"
    if any(" without " in first for first, *_ in comparisons(plan, rows)):
        _ingredients(folder / "ingredients.svg", plan, rows)
        drawn["ingredients.svg"] = "The recipe without an ingredient minus the whole one, in points"
    if _generated(folder / "generated.svg", jobs):
        drawn["generated.svg"] = "What the generator draws from the same vectors as it learns"
    return drawn


def _accuracy(path: Path, plan: Plan, rows: Rows) -> None:
    figure = new_figure(6.4, 4)
    panel = figure.subplots()
    for k, method in enumerate(plan.methods):
        own = [(x, rows.get((method, n, ""))) for x, n in enumerate(plan.labels)]
        shown = [(x + 0.06 * (k - 1.5), m.accuracy) for x, m in own if m and not is_another(m)]
        if not shown:
            continue
        places, found = zip(*shown, strict=True)
        panel.errorbar(
            places,
            [100 * m.value for m in found],
            [
                [100 * (m.value - m.low) for m in found],
                [100 * (m.high - m.value) for m in found],
            ],
            color=COLORS[k],
            linestyle=DASHES[k],
            marker="o",
            markersize=3,
            capsize=3,
            label=method,
        )
    panel.set_xticks(range(len(plan.labels)), [str(n) for n in plan.labels])
    panel.set_xlabel("labels per class")
    panel.set_ylabel("test accuracy, %")
    panel.grid(alpha=0.3)
    panel.legend()
    save_figure(path, figure)


def _curves(path: Path, plan: Plan, rows: Rows) -> None:
    figure = new_figure(3.2 * len(plan.labels), 3.2)
    panels = figure.subplots(1, len(plan.labels), sharey=True, squeeze=False)[0]
    for panel, labels in zip(panels, plan.labels, strict=True):
        for k, method in enumerate(plan.methods):
            found = rows.get((method, labels, ""))
            if found is None or is_another(found):
                continue
            curves = np.array(
                [[row["validation_accuracy"] for row in r["history"]] for r in found.records]
            )
            epochs = [row["epoch"] for row in found.records[0]["history"]]
            mean = 100 * curves.mean(axis=0)
            panel.plot(epochs, mean, DASHES[k], color=COLORS[k], label=method)
        panel.set_title(f"{labels_text(labels)} per class", fontsize=10)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("validation accuracy, %")
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
