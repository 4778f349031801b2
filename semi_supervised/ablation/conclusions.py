"""What the figures say, in words: every sentence follows from numbers."""

from collections.abc import Sequence

import numpy as np

from edge_runtime.metrics import Metric
from semi_supervised.ablation.figures import (
    Difference,
    Measured,
    difference,
    gate_difference,
    together,
)
from semi_supervised.ablation.plan import Labels, Plan
from semi_supervised.ablation.tables import (
    BASE,
    Rows,
    interval,
    is_another,
    labels_text,
    points,
)

# Ingredient of a method → methods with it and without it.
_PAIRS = {
    "The generator (GAN)": (("sgan", BASE), ("sgan-consistency", "consistency")),
    "Consistency": (("consistency", BASE), ("sgan-consistency", "sgan")),
}


def conclusions(plan: Plan, rows: Rows) -> list[str]:
    """Sentences about methods, labels and ingredients; none about what was not run."""
    found = [_labels(plan, rows)]
    for name, pairs in _PAIRS.items():
        found += [_pair(name, with_it, without, plan, rows) for with_it, without in pairs]
    found += [_ingredients(plan, rows, labels) for labels in plan.recipe_labels]
    found += [_gate_of(name, pairs, plan, rows) for name, pairs in _PAIRS.items()]
    found += [_gate(plan, rows, labels) for labels in plan.recipe_labels]
    found += [_time(plan, rows)]
    return [sentence for sentence in found if sentence]


def comparisons(plan: Plan, rows: Rows) -> list[tuple[str, str, Labels, Difference]]:
    """All pairs that the sentences tell of: what, against what, labels per class, difference."""
    pairs = [rows_of for both in _PAIRS.values() for rows_of in _measured_pairs(both, plan, rows)]
    for labels in plan.recipe_labels:
        whole = rows.get((plan.recipe, labels, ""))
        parts = (rows.get((plan.recipe, labels, name)) for name in plan.ingredients)
        pairs += [
            (part, whole)
            for part in parts
            if part and whole and part.trained_as != whole.trained_as
        ]
    found = []
    for first, second in pairs:
        if (compared := difference(first, second)) is not None:
            method, labels, without = first.row
            title = f"{method} without {without}" if without else method
            found.append((title, second.row[0], labels, compared))
    return found


def _measured_pairs(
    both: Sequence[tuple[str, str]], plan: Plan, rows: Rows
) -> list[tuple[Measured, Measured]]:
    """Rows of methods with an ingredient and without it, by labels; each training once."""
    pairs = [
        (rows.get((a, labels, "")), rows.get((b, labels, "")))
        for a, b in both
        for labels in plan.labels
    ]
    return [(a, b) for a, b in pairs if a and b and not is_another(a) and not is_another(b)]


def _labels(plan: Plan, rows: Rows) -> str:
    """What labels are worth to the plain method."""
    own = [(n, rows[BASE, n, ""]) for n in plan.labels if (BASE, n, "") in rows]
    if len(own) < 2:
        return ""
    listed = ", ".join(f"{100 * m.accuracy.value:.1f} % with {labels_text(n)}" for n, m in own)
    return f"**Labels.** `{BASE}` reads {listed} per class."


def _pair(name: str, with_it: str, without: str, plan: Plan, rows: Rows) -> str:
    own = [
        (labels, compared)
        for first, second, labels, compared in comparisons(plan, rows)
        if (first, second) == (with_it, without)
    ]
    if not own:
        return ""
    listed = "; ".join(
        f"{points(d.points.value)} ({interval(d.points)}) with {labels_text(n)}" for n, d in own
    )
    sentence = f"**{name}**, `{with_it}` minus `{without}`, in points: {listed}. {_verdict(own)}"
    return f"{sentence}{_together([compared for _, compared in own])}"


def _verdict(own: Sequence[tuple[Labels, Difference]]) -> str:
    helps = [labels_text(n) for n, d in own if d.is_clear and d.points.value > 0]
    harms = [labels_text(n) for n, d in own if d.is_clear and d.points.value < 0]
    neither = [labels_text(n) for n, d in own if not d.is_clear]
    parts = []
    if helps:
        parts.append(f"it helps with {_listed(helps)}")
    if harms:
        parts.append(f"it harms with {_listed(harms)}")
    if neither:
        parts.append(f"there is no clear difference with {_listed(neither)}")
    text = "; ".join(parts)
    few = [labels_text(n) for n, d in own if len(d.seeds) < 2]
    note = f" One seed alone is no proof ({_listed(few)})." if few else ""
    return f"{text[0].upper()}{text[1:]}.{note}"


def _together(own: Sequence[Difference]) -> str:
    """All numbers of labels taken together: more pairs of trainings than any of them has."""
    if len(own) < 2:
        return ""
    pairs, all_of_them = sum(len(d.seeds) for d in own), together(own)
    return f" All {pairs} pairs of trainings together: {_judged(all_of_them)}."


def _ingredients(plan: Plan, rows: Rows, labels: Labels) -> str:
    own = [
        (first.removeprefix(f"{plan.recipe} without "), compared)
        for first, _, n, compared in comparisons(plan, rows)
        if n == labels and " without " in first
    ]
    if not own:
        return ""
    own.sort(key=lambda item: item[1].points.value)
    listed = "; ".join(
        f"{name} {points(d.points.value)} ({interval(d.points)}"
        f"{'' if d.is_clear else ', not clear'})"
        for name, d in own
    )
    return (
        f"**Ingredients.** What `{plan.recipe}` with {labels_text(labels)} per class gains or "
        f"loses in points by doing without: {listed}."
    )


def _gate_of(name: str, both: Sequence[tuple[str, str]], plan: Plan, rows: Rows) -> str:
    """What an ingredient does to the gate, over all pairs of trainings with and without it."""
    found = gate_difference(_measured_pairs(both, plan, rows))
    if found is None:
        return ""
    return (
        f"**The gate.** {name} changes the share of non-characters that pass where 95 % of the "
        f"characters do by {_judged(found, ' points')}, all pairs of trainings together."
    )


def _judged(found: Metric, unit: str = "") -> str:
    """Show a mean over pairs of trainings with its interval, and say where that holds 0."""
    clear = "" if found.low > 0 or found.high < 0 else ", not clear"
    return f"{points(found.value)}{unit} ({interval(found)}{clear})"


def _gate(plan: Plan, rows: Rows, labels: Labels) -> str:
    whole = rows.get((plan.recipe, labels, ""))
    without = rows.get((plan.recipe, labels, "negatives"))
    if not whole or not without or whole.let_in is None or without.let_in is None:
        return ""
    return (
        f"**The gate.** Where 95 % of the characters pass, so do {100 * whole.let_in:.1f} % of the "
        f"non-characters with `{plan.recipe}` and {labels_text(labels)} per class; "
        f"{100 * without.let_in:.1f} % where no non-characters were trained on."
    )


def _time(plan: Plan, rows: Rows) -> str:
    """What a method costs beside the plain one: medians over numbers of labels and seeds."""
    seconds = {
        method: [
            float(record["seconds"])
            for labels in plan.labels
            if (own := rows.get((method, labels, ""))) and not is_another(own)
            for record in own.records
        ]
        for method in plan.methods
    }
    minutes = {method: float(np.median(own)) / 60 for method, own in seconds.items() if own}
    if BASE not in minutes:
        return ""
    plain = minutes.pop(BASE)
    listed = "".join(
        f"; `{method}` {own:.1f} ({100 * own / plain:.0f} % of that)"
        for method, own in minutes.items()
    )
    return f"**Time.** Minutes of a training, the median: `{BASE}` {plain:.1f}{listed}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
