"""Which trainings an ablation is made of, and in which order."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge_runtime.errors import SettingsError
from edge_runtime.presets import read_toml
from semi_supervised.settings import METHODS, Settings, load_settings

Labels = int | Literal["all"]

_KEYS: Final = ("preset", "methods", "labels", "seeds", "recipe", "recipe_labels", "threads")
# What a method is where no image is without its label: consistency learns from those alone.
_NOTHING_UNLABELED: Final = {"consistency": "supervised", "sgan-consistency": "sgan"}


@dataclass(frozen=True)
class Cell:
    """One training of the table.

    labels : per class
    without : the ingredient that is removed, or ""
    """

    method: str
    labels: Labels
    seed: int
    without: str = ""

    @property
    def row(self) -> tuple[str, Labels, str]:
        """The same for all seeds of a cell of the table."""
        return self.method, self.labels, self.without

    @property
    def name(self) -> str:
        """As in logs and folders: ``sgan-5-1``, ``sgan-without-averaging-all-1``."""
        without = f"without-{self.without}-" if self.without else ""
        return f"{self.method}-{without}{self.labels}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """The ablation as a whole.

    settings : changes to the preset, ``table.key=value`` lines
    without : ingredient → further changes that remove it
    """

    preset: str
    methods: tuple[str, ...]
    labels: tuple[Labels, ...]
    seeds: tuple[int, ...]
    recipe: str
    recipe_labels: tuple[Labels, ...]
    threads: int
    settings: tuple[str, ...]
    without: Mapping[str, tuple[str, ...]]

    def cells(self) -> list[Cell]:
        """All cells in the order in which they are run: the first seed of each comes first."""
        return [cell for seed in self.seeds for cell in self._of_seed(seed)]

    def _of_seed(self, seed: int) -> Iterator[Cell]:
        for labels in self.labels:
            yield from (Cell(method, labels, seed) for method in self.methods)
        for labels in self.recipe_labels:
            base = Cell(self.recipe, labels, seed)
            if base not in (Cell(m, n, seed) for m in self.methods for n in self.labels):
                yield base
            yield from (Cell(self.recipe, labels, seed, name) for name in self.ingredients)

    @property
    def ingredients(self) -> tuple[str, ...]:
        """The ingredients that the recipe has, so that removing them changes something."""
        whole = self.settings_of(Cell(self.recipe, "all", 1), unlabeled=True)
        return tuple(
            name
            for name in self.without
            if self.settings_of(Cell(self.recipe, "all", 1, name), unlabeled=True) != whole
        )

    def settings_of(self, cell: Cell, unlabeled: bool) -> Settings:
        """Resolve a cell's settings; ``unlabeled`` says whether there are images without labels."""
        method = cell.method if unlabeled else _NOTHING_UNLABELED.get(cell.method, cell.method)
        own = (f"train.method={method}", f"train.seed={cell.seed}")
        without = self.without[cell.without] if cell.without else ()
        return load_settings(self.preset, [*self.settings, *own, *without])

    def data_settings(self) -> Settings:
        """Settings of the data stage, which is run once for all cells."""
        return load_settings(self.preset, [*self.settings, "data.protocol=budget"])


def read_plan(path: Path | None = None) -> Plan:
    """Read a plan from a TOML file, by default the one that comes with the project.

    Raises
    ------
    SettingsError
        No such file, no TOML, an unknown key or a value that a setting cannot have.
    """
    where = str(path) if path else "ablation.toml"
    tables = read_toml(path, "semi_supervised.ablation", "ablation.toml")
    unknown = sorted(set(tables) - {"plan", "settings", "without"})
    if unknown:
        raise SettingsError(f"{where}: no table [{unknown[0]}]; there are plan, settings, without")
    plan = _parse(tables, where)
    for cell in plan.cells():
        plan.settings_of(cell, unlabeled=True)  # refuses what no training could be given
    plan.data_settings()
    return plan


def _parse(tables: dict[str, Any], where: str) -> Plan:
    own = tables.get("plan", {})
    for key in own:
        if key not in _KEYS:
            raise SettingsError(f"{where}: no key {key!r} in [plan]; there are {', '.join(_KEYS)}")
    lacking = [key for key in _KEYS if key not in own]
    if lacking:
        raise SettingsError(f"{where}: [plan] lacks {lacking[0]}")
    for key in ("methods", "labels", "seeds", "recipe_labels"):
        if not isinstance(own[key], list) or (not own[key] and key != "recipe_labels"):
            raise SettingsError(f"{where}: {key} must be a list of one or more")
        if len(set(own[key])) < len(own[key]):
            raise SettingsError(f"{where}: {key} names something twice")
    for method in (*own["methods"], own["recipe"]):
        if method not in METHODS:
            raise SettingsError(f"{where}: no method {method!r}; there are {', '.join(METHODS)}")
    for number in (*own["labels"], *own["recipe_labels"]):
        if number != "all" and (type(number) is not int or number < 0):
            raise SettingsError(f"{where}: labels per class are a number or 'all', not {number!r}")
    for number in (*own["seeds"], own["threads"]):
        if type(number) is not int or number < 1:
            raise SettingsError(f"{where}: seeds and threads are numbers from 1 on, not {number!r}")
    without = tables.get("without", {})
    return Plan(
        own["preset"],
        tuple(own["methods"]),
        tuple(own["labels"]),
        tuple(own["seeds"]),
        own["recipe"],
        tuple(own["recipe_labels"]),
        own["threads"],
        _lines(tables.get("settings", {}), f"{where} [settings]"),
        {name: _lines(changes, f"{where} [without.{name}]") for name, changes in without.items()},
    )


def _lines(tables: Any, where: str) -> tuple[str, ...]:
    """Nested tables as ``table.key=value`` lines."""
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise SettingsError(f"{where}: holds tables of settings, such as [{where}.train]")
    return tuple(
        f"{table}.{key}={json.dumps(value)}"
        for table, values in tables.items()
        for key, value in values.items()
    )


def chosen(cells: Sequence[Cell], filters: Sequence[str]) -> list[Cell]:
    """Keep the cells that any of the filters names; all where there is no filter.

    A filter is ``key=value`` pairs with commas between, all of which must hold; keys are method,
    labels, seed and without (an ingredient; ``none`` is nothing removed).

    Raises
    ------
    SettingsError
        A filter that is none, or that no cell fulfils.
    """
    if not filters:
        return list(cells)
    kept: set[Cell] = set()
    for text in filters:
        wanted = _parse_filter(text)
        found = {c for c in cells if all(_value(c, key) == v for key, v in wanted.items())}
        if not found:
            values = {key: sorted({_value(c, key) for c in cells}) for key in wanted}
            known = "; ".join(f"{key}: {', '.join(v)}" for key, v in values.items())
            raise SettingsError(f"--only {text}: there is no such cell ({known})")
        kept |= found
    return [cell for cell in cells if cell in kept]


def _parse_filter(text: str) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or key not in ("method", "labels", "seed", "without"):
            raise SettingsError(
                f"--only takes method=…, labels=…, seed=… and without=… with commas between, not "
                f"{text!r}"
            )
        wanted[key] = value
    return wanted


def _value(cell: Cell, key: str) -> str:
    return (cell.without or "none") if key == "without" else str(getattr(cell, key))
