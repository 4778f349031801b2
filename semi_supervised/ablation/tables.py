"""The tables of an ablation, as Markdown. What was not run says so."""

from collections.abc import Callable, Mapping
from typing import Any

from tabulate import tabulate

from edge_runtime.metrics import Metric
from semi_supervised.ablation.figures import Difference, Measured, Row, difference
from semi_supervised.ablation.plan import Labels, Plan

BASE = "supervised"  # what every other method is compared with
NOT_RUN = "not run"

Rows = Mapping[Row, Measured]


def labels_text(labels: Labels) -> str:
    """Name a number of labels: ``5 labels``, ``all labels``."""
    return f"{labels} labels"


def accuracy_table(plan: Plan, rows: Rows) -> str:
    """Methods over labels per class: mean ± standard deviation over seeds."""
    return _matrix(plan, rows, _accuracy)


def minutes_table(plan: Plan, rows: Rows) -> str:
    """Methods over labels per class: median time of a training."""
    return _matrix(plan, rows, lambda _, found: f"{found.minutes:.1f} min")


def comparison_table(plan: Plan, rows: Rows) -> str:
    """Every method against `BASE` with the same labels, and what else was measured."""
    table = []
    for labels in plan.labels:
        base = rows.get((BASE, labels, ""))
        for method in plan.methods:
            found = rows.get((method, labels, ""))
            if found and is_another(found):
                continue
            compared = difference(found, base) if found and base and method != BASE else None
            table.append([labels, method, *_figures(found), *_compared(compared)])
    headers = [
        "labels",
        "method",
        "seeds",
        "accuracy",
        "95 % interval",
        "ignoring case",
        "gate lets in",
        f"minus {BASE}",
        "95 % interval",
        "McNemar's p",
    ]
    return _table(headers, table)


def ingredient_table(plan: Plan, rows: Rows) -> str:
    """The recipe, and the recipe without each of its ingredients."""
    table = []
    for labels in plan.recipe_labels:
        whole = rows.get((plan.recipe, labels, ""))
        for name in ("", *plan.ingredients):
            found = rows.get((plan.recipe, labels, name))
            compared = difference(found, whole) if found and whole and name else None
            what = f"without {name}" if name else f"{plan.recipe}, whole"
            minutes = f"{found.minutes:.1f} min" if found else ""
            table.append([labels, what, *_figures(found), minutes, *_compared(compared)])
    headers = [
        "labels",
        "recipe",
        "seeds",
        "accuracy",
        "95 % interval",
        "ignoring case",
        "gate lets in",
        "time",
        "minus whole",
        "95 % interval",
        "McNemar's p",
    ]
    return _table(headers, table)


def generator_table(plan: Plan, rows: Rows) -> str:
    """For the README: with the generator and with the GAN off, whatever it says."""
    kinds = {
        "sgan": "with the GAN (`sgan`)",
        BASE: f"GAN off (`{BASE}`)",
        "consistency": "GAN off, unlabeled crops used (`consistency`)",
    }
    table = [
        [title, *(_cell(plan, rows, method, labels, _accuracy) for labels in plan.labels)]
        for method, title in kinds.items()
    ]
    return _table(["", *(f"{labels_text(n)} per class" for n in plan.labels)], table)


def is_another(found: Measured) -> bool:
    """Whether another row's trainings are these: with all labels, consistency has no image."""
    return found.trained_as != found.row


def points(value: float) -> str:
    """Percentage points with their sign: ``+0.3``, ``−1.2``."""
    return f"{value:+.1f}".replace("-", "−")


def interval(metric: Metric) -> str:
    """Interval of a difference: ``−0.2 to +0.8``."""
    return f"{points(metric.low)} to {points(metric.high)}"


def _cell(
    plan: Plan, rows: Rows, method: str, labels: Labels, show: Callable[[Plan, Measured], str]
) -> str:
    found = rows.get((method, labels, ""))
    if found is None:
        return NOT_RUN
    return f"as {found.trained_as[0]}" if is_another(found) else show(plan, found)


def _matrix(plan: Plan, rows: Rows, show: Callable[[Plan, Measured], str]) -> str:
    table = [
        [method, *(_cell(plan, rows, method, labels, show) for labels in plan.labels)]
        for method in plan.methods
    ]
    return _table(["method", *(f"{labels_text(n)} per class" for n in plan.labels)], table)


def _accuracy(plan: Plan, found: Measured) -> str:
    spread = f" ± {100 * found.deviation:.1f}" if found.deviation is not None else ""
    lacking = len(found.seeds) < len(plan.seeds)
    of = f" ({len(found.seeds)} of {len(plan.seeds)} seeds)" if lacking else ""
    return f"{100 * found.accuracy.value:.1f}{spread} %{of}"


def _figures(found: Measured | None) -> list[Any]:
    if found is None:
        return ["0", NOT_RUN, "", "", ""]
    spread = f" ± {100 * found.deviation:.1f}" if found.deviation is not None else ""
    return [
        len(found.seeds),
        f"{100 * found.accuracy.value:.1f}{spread} %",
        found.accuracy.interval,
        f"{100 * found.mean_of('top1_36'):.1f} %",
        "" if found.let_in is None else f"{100 * found.let_in:.1f} %",
    ]


def _compared(found: Difference | None) -> list[str]:
    if found is None:
        return ["", "", ""]
    mark = "**" if found.is_clear else ""
    tests = ", ".join(f"{test.p:.2g}" for test in found.tests)
    return [f"{mark}{points(found.points.value)}{mark}", interval(found.points), tests]


def _table(headers: list[str], rows: list[list[Any]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
