"""What a study has found: the best settings as a preset, all trials as JSON, plots."""

from pathlib import Path
from typing import Any

import optuna
from tabulate import tabulate

from edge_runtime.errors import EdgeGlyphError
from edge_runtime.files import write_json
from semi_supervised.figure import COLORS, new_figure, save_figure
from semi_supervised.preset_file import write_preset
from semi_supervised.tune.space import point_of, settings_at
from semi_supervised.tune.study import Search, finished

_COLUMNS = 4
Trial = optuna.trial.FrozenTrial


def write_report(study: optuna.Study, search: Search, output: Path) -> str:
    """Write ``best.toml``, ``tune.json`` and plots into ``output``; return what to print.

    Raises
    ------
    EdgeGlyphError
        No trial has been trained to its end.
    """
    done = finished(study)
    complete = [trial for trial in done if trial.value is not None and trial.state.name != "PRUNED"]
    if not complete:
        raise EdgeGlyphError(f"study {search.name!r}: no trial has been trained to its end yet")
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
    base = point_of(search.base, search.space)
    first = next((t for t in complete if t.params == base), None)
    comment = [
        f"Trial {best.number}, the best of {len(done)} of study {search.name} "
        f"({len(done) - len(complete)} pruned): {100 * (best.value or 0):.2f} % on the validation",
        "images, which chose it, so that it reads others less well. `make PRESET=` this file.",
    ]
    write_preset(output / "best.toml", settings_at(search.base, best.params), comment)
    write_json(output / "tune.json", _record(study, search, best))
    _history(output / "history.svg", done)
    _parameters(output / "parameters.svg", complete, search)
    _courses(output / "courses.svg", done)
    rows = [
        [name, "" if base is None else _text(base[name]), _text(best.params[name])]
        for name in search.space
    ]
    start = "" if first is None or first.value is None else f"{100 * first.value:.2f} %"
    rows.append(["validation accuracy", start, f"{100 * (best.value or 0):.2f} %"])
    headers = ["setting", "preset", f"best (trial {best.number} of {len(done)})"]
    table = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    return f"{table}\n\n{output / 'best.toml'}"


def _record(study: optuna.Study, search: Search, best: Trial) -> dict[str, Any]:
    return {
        "schema": 1,
        "study": search.name,
        "identity": study.user_attrs["identity"],
        "best": best.number,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "validation_accuracy": trial.value,
                "settings": trial.params,
                "course": {str(k): v for k, v in sorted(trial.intermediate_values.items())},
                "seconds": trial.duration.total_seconds() if trial.duration else None,
            }
            for trial in study.get_trials(deepcopy=False)
        ],
    }


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _history(path: Path, done: list[Trial]) -> None:
    """Each trial's accuracy, and the best so far."""
    figure = new_figure(6.4, 3.6)
    panel = figure.subplots()
    for state, color, marker in (("COMPLETE", COLORS[0], "o"), ("PRUNED", COLORS[1], "x")):
        own = [t for t in done if t.state.name == state and t.value is not None]
        values = [100 * (t.value or 0) for t in own]
        panel.plot([t.number for t in own], values, marker, color=color, label=state.lower())
    complete = [t for t in done if t.state.name == "COMPLETE" and t.value is not None]
    best = [max(100 * (u.value or 0) for u in complete[: k + 1]) for k in range(len(complete))]
    panel.step([t.number for t in complete], best, where="post", color=COLORS[5], label="best")
    panel.set_xlabel("trial")
    panel.set_ylabel("validation accuracy, %")
    panel.grid(alpha=0.3)
    panel.legend()
    save_figure(path, figure)


def _parameters(path: Path, complete: list[Trial], search: Search) -> None:
    """Accuracy over each setting."""
    lines = -(-len(search.space) // _COLUMNS)
    figure = new_figure(2.6 * _COLUMNS, 2.3 * lines)
    panels = figure.subplots(lines, _COLUMNS, sharey=True, squeeze=False)
    for panel, (name, one) in zip(panels.flat, search.space.items(), strict=False):
        values = [trial.params[name] for trial in complete]
        shown = [str(v) for v in values] if one.choices else values
        accuracies = [100 * (trial.value or 0) for trial in complete]
        numbers = [trial.number for trial in complete]
        panel.scatter(shown, accuracies, c=numbers, cmap="viridis", s=14)  # later ones lighter
        panel.set_xscale("log" if one.log else panel.get_xscale())
        panel.set_title(name.removeprefix("train."), fontsize=9)
        panel.grid(alpha=0.3)
    for panel in list(panels.flat)[len(search.space) :]:
        panel.set_axis_off()
    for panel in panels[:, 0]:
        panel.set_ylabel("validation, %")
    save_figure(path, figure)


def _courses(path: Path, done: list[Trial]) -> None:
    """Accuracy in the course of each trial; those cut short were pruned."""
    figure = new_figure(6.4, 3.6)
    panel = figure.subplots()
    for trial in done:
        steps = sorted(trial.intermediate_values)
        values = [100 * trial.intermediate_values[step] for step in steps]
        pruned = trial.state.name == "PRUNED"
        panel.plot(steps, values, color=COLORS[1 if pruned else 0], alpha=0.5, linewidth=1)
    panel.set_xlabel("tenth of the training (red: pruned)")
    panel.set_ylabel("validation accuracy, %")
    panel.grid(alpha=0.3)
    save_figure(path, figure)
