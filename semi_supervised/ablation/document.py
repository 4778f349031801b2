"""All that an ablation tells, as one block of Markdown, and as JSON; written between markers."""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import InputError
from edge_runtime.files import replacing, write_json, write_text
from semi_supervised.ablation.budgets import Budgets
from semi_supervised.ablation.cells import Job
from semi_supervised.ablation.conclusions import comparisons, conclusions
from semi_supervised.ablation.figures import Measured, gather
from semi_supervised.ablation.plan import Cell, Plan
from semi_supervised.ablation.plots import draw_plots
from semi_supervised.ablation.tables import (
    Rows,
    accuracy_table,
    comparison_table,
    generator_table,
    ingredient_table,
    is_another,
    minutes_table,
)

# What is written between `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a document: all, what
# methods and ingredients are worth, one table.
_WHOLE, _SUMMARY, _SHORT = "ablation", "methods", "generator"
_PLOTS = "ablation"  # the folder beside a document that the plots are copied to
_NOTHING: Final = "No training of the ablation has been run yet: `make ablation`."


def write_documents(
    plan: Plan,
    jobs: Mapping[Cell, Job],
    budgets: Budgets,
    output: Path,
    documents: Sequence[Path],
) -> str:
    """Write ``ablation.md``, ``ablation.json`` and plots into ``output``; return what to print.

    Each of ``documents`` gets what its markers ask for, and the plots and ``ablation.json`` into
    the folder ``ablation`` beside it.

    Raises
    ------
    InputError
        A document without markers.
    """
    rows = gather(plan, jobs)
    plots = draw_plots(plan, rows, jobs, output)
    record = _record(plan, jobs, budgets, rows)
    write_json(output / "ablation.json", record)
    write_text(output / "ablation.md", _block(plan, jobs, budgets, rows, plots, "") + "\n")
    for document in documents:
        text = _marked(document)
        if _begin(_WHOLE) in text or _begin(_SUMMARY) in text:
            for name in (*plots, "ablation.json"):
                with replacing(document.parent / _PLOTS / name) as temporary:
                    shutil.copyfile(output / name, temporary)
        if _begin(_WHOLE) in text:
            block = _block(plan, jobs, budgets, rows, plots, f"{_PLOTS}/")
            text = _replaced(document, text, _WHOLE, block)
        if _begin(_SUMMARY) in text:
            block = _summary(plan, jobs, rows, plots)
            text = _replaced(document, text, _SUMMARY, block)
        if _begin(_SHORT) in text:
            short = generator_table(plan, rows) if rows else _NOTHING
            text = _replaced(document, text, _SHORT, short)
        write_text(document, text)
    told = [accuracy_table(plan, rows), "", *conclusions(plan, rows), *_notes(plan, jobs, rows)]
    return "\n".join([*told, "", f"{output / 'ablation.md'}"])


def _block(
    plan: Plan,
    jobs: Mapping[Cell, Job],
    budgets: Budgets,
    rows: Rows,
    plots: Mapping[str, str],
    folder: str,
) -> str:
    if not rows:
        return _NOTHING
    about, train = budgets.about, jobs[plan.cells()[0]].settings.train
    n = next(iter(rows.values())).accuracy.n
    parts = [
        f"{about['source']}: {about['training']:,} training images, {about['validation']:,} for "
        f"validation, {n:,} for test, the same for every cell. {train.steps:,} steps a run, of "
        f"preset {plan.preset}; the last epoch is kept. Accuracy: all classes apart, mean ± "
        f"standard deviation over the seeds {_listed(plan.seeds)}.",
        accuracy_table(plan, rows),
        "\n".join(f"- {sentence}" for sentence in conclusions(plan, rows)),
        "\n".join(_notes(plan, jobs, rows)),
        *(f"![{what}]({folder}{name})" for name, what in plots.items()),
        "### Every method",
        comparison_table(plan, rows),
        "### Without an ingredient",
        ingredient_table(plan, rows),
        "### Time of a run",
        minutes_table(plan, rows),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(plan: Plan, jobs: Mapping[Cell, Job], rows: Rows, plots: Mapping[str, str]) -> str:
    if not rows:
        return _NOTHING
    parts = [
        accuracy_table(plan, rows),
        "\n".join(f"- {sentence}" for sentence in conclusions(plan, rows)),
        " ".join(_notes(plan, jobs, rows)),
        *(f"![{what}]({_PLOTS}/{name})" for name, what in plots.items()),
    ]
    return "\n\n".join(parts)


def _notes(plan: Plan, jobs: Mapping[Cell, Job], rows: Rows) -> list[str]:
    """How far the figures can be trusted."""
    trainings = set(jobs.values())
    missing = sum(job.measured() is None for job in trainings)
    stale = sum(job.is_stale for job in trainings)
    versions = {str(record["with"]) for found in rows.values() for record in found.records}
    count = len(comparisons(plan, rows))
    notes = [
        "A difference is called clear (bold) where its 95 % interval, over images and two seeds or "
        f"more, excludes 0; of {count} comparisons about {count / 20:.1f} would be called so by "
        "chance alone."
    ]
    if missing:
        notes.append(f"{missing} of {len(trainings)} trainings have not been run.")
    if stale:
        notes.append(
            f"{stale} trainings are by other code than this version's: `make ablation RENEW=1` "
            "trains them anew."
        )
    if len(versions) > 1:
        notes.append(f"The trainings are by {len(versions)} versions of TensorFlow or Keras.")
    return notes


def _record(plan: Plan, jobs: Mapping[Cell, Job], budgets: Budgets, rows: Rows) -> dict[str, Any]:
    return {
        "schema": 1,
        "plan": dataclasses.asdict(plan),
        "data": budgets.about,
        "trainings": len(set(jobs.values())),
        "rows": [_row(found, jobs) for found in rows.values()],
        "differences": [
            {"of": first, "minus": second, "labels": labels} | compared.as_json()
            for first, second, labels, compared in comparisons(plan, rows)
        ],
        "in_words": conclusions(plan, rows) + _notes(plan, jobs, rows),
    }


def _row(found: Measured, jobs: Mapping[Cell, Job]) -> dict[str, Any]:
    method, labels, without = found.row
    return {
        "method": method,
        "labels": labels,
        "without": without or None,
        "trained_as": found.trained_as[0] if is_another(found) else None,
        "accuracy": found.accuracy.as_json(),
        "deviation": None if found.deviation is None else round(found.deviation, 6),
        "seeds": [
            {
                "seed": seed,
                "folder": jobs[Cell(method, labels, seed, without)].folder.name,
                **{key: record[key] for key in ("accuracy", "metrics", "gate", "seconds", "steps")},
                **{key: record[key] for key in ("weights_sha256", "manifest_sha256", "code")},
            }
            for seed, record in zip(found.seeds, found.records, strict=True)
        ],
    }


def _begin(name: str) -> str:
    return f"<!-- {name}: begin -->"


def _marked(document: Path) -> str:
    try:
        text = document.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{document}: cannot be read ({error.strerror})") from None
    if not any(_begin(name) in text for name in (_WHOLE, _SUMMARY, _SHORT)):
        raise InputError(
            f"{document}: lacks the markers {_begin(_WHOLE)} and <!-- {_WHOLE}: end -->"
        )
    return text


def _replaced(document: Path, text: str, name: str, block: str) -> str:
    before, begin, rest = text.partition(_begin(name))
    end = f"<!-- {name}: end -->"
    _, found, after = rest.partition(end)
    if not found:
        raise InputError(f"{document}: lacks the marker {end}")
    return f"{before}{begin}\n{block}\n{end}{after}"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
