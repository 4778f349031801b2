"""The search space: which settings may be what, and the settings that a point of it stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from edge_runtime.errors import SettingsError
from edge_runtime.presets import read_toml
from semi_supervised.settings import AugmentSettings, Settings, TrainSettings

BATCH: Final = "batch"
AUGMENTATION: Final = "augmentation"
_PARTS: Final = (
    "batch_labeled",
    "batch_drawn",
    "batch_unlabeled",
    "batch_negatives",
    "batch_fake",
)
_OF_GENERATOR: Final = ("train.generator_learning_rate",)
_OF_CONSISTENCY: Final = ("train.weight_consistency", "train.threshold", "train.sharpening")
_LIMITS: Final = {"rotation_degrees": 15.0, "shift": 0.5, "shear_degrees": 90.0}

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Range:
    """What one setting may be: from ``low`` to ``high``, or one of ``choices``.

    log : even in the logarithm;  whole : integers alone
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        return value in self.choices if self.choices else bool(self.low <= value <= self.high)

    def suggest(self, trial: Any, name: str) -> Any:
        """Let an Optuna trial choose."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


Space = dict[str, Range]


def read_space(path: Path | None, base: Settings) -> Space:
    """Read a search space from a TOML file, by default ours, less what ``base`` does not use.

    Raises
    ------
    SettingsError
        No such file, no TOML, a setting that is none or that is no number, an empty range.
    """
    where = str(path) if path else "space.toml"
    tables = read_toml(path, "semi_supervised.tune", "space.toml")
    unused: list[str] = [] if base.train.has_generator else [*_OF_GENERATOR]
    unused += [] if base.train.has_consistency else _OF_CONSISTENCY
    space = {name: _range(name, table, where) for name, table in tables.items()}
    if not space:
        raise SettingsError(f"{where}: names no setting to search")
    for name, one in space.items():
        for value in one.choices or (one.low, one.high):
            settings_at(base, {name: value})  # refuses what no training could be given
    return {name: one for name, one in space.items() if name not in unused}


def _range(name: str, table: Any, where: str) -> Range:
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: {name!r} stands outside of a [table]")
    whole = False
    if name not in (BATCH, AUGMENTATION):
        defaults = {f"train.{f.name}": f.default for f in fields(TrainSettings)}
        if name not in defaults:
            raise SettingsError(
                f"{where}: nothing to search is called {name!r}; there are [{BATCH}], "
                f'[{AUGMENTATION}] and ["train.KEY"] of the presets'
            )
        whole = type(defaults[name]) is int
        if type(defaults[name]) not in (int, float) and "choices" not in table:
            raise SettingsError(f"{where}: {name} is no number: give choices")
    if set(table) == {"choices"} and isinstance(table["choices"], list) and table["choices"]:
        return Range(choices=tuple(table["choices"]))
    numbers = all(type(table.get(key)) in (int, float) for key in ("low", "high"))
    if not numbers or set(table) - {"low", "high", "log"} or table["low"] >= table["high"]:
        raise SettingsError(f"{where}: {name} needs low and high, low the lower one, or choices")
    log = table.get("log", False)
    if type(log) is not bool or (log and table["low"] <= 0):
        raise SettingsError(f"{where}: {name}: log is true or false, and true above 0 alone")
    return Range(table["low"], table["high"], log, whole=whole)


def settings_at(base: Settings, values: Values) -> Settings:
    """Resolve the settings that a point of the space stands for.

    Raises
    ------
    SettingsError
        A value that a setting cannot have.
    """
    own = {n.removeprefix("train."): v for n, v in values.items() if n.startswith("train.")}
    kinds = {f.name: type(f.default) for f in fields(TrainSettings)}
    given: dict[str, Any] = {n: float(v) if kinds[n] is float else v for n, v in own.items()}
    given |= scaled_batch(base.train, values.get(BATCH, 1.0))
    if "epochs" in given:
        given["pretrain_epochs"] = min(base.train.pretrain_epochs, given["epochs"] - 1)
    return replace(
        base,
        train=replace(base.train, **given),
        augment=strengthened(base.augment, values.get(AUGMENTATION, 1.0)),
    )


def point_of(base: Settings, space: Space) -> dict[str, Any] | None:
    """Find the point that stands for ``base`` itself; None where it lies outside of the space."""
    point = {
        name: 1.0
        if name in (BATCH, AUGMENTATION)
        else getattr(base.train, name.removeprefix("train."))
        for name in space
    }
    return point if all(space[name].holds(value) for name, value in point.items()) else None


def scaled_batch(train: TrainSettings, factor: float) -> dict[str, int]:
    """Every part of a batch times a factor, where there is any at least 1."""
    parts = {name: getattr(train, name) for name in _PARTS}
    return {name: max(1, round(count * factor)) for name, count in parts.items() if count}


def strengthened(augment: AugmentSettings, factor: float) -> AugmentSettings:
    """Every random change times a factor, as far as its limits allow."""
    values = {}
    for name, value in vars(augment).items():
        if name == "zoom_out":
            values[name] = max(0.5, 1 - (1 - value) * factor)
        elif name == "zoom_in":
            values[name] = min(2.0, 1 + (value - 1) * factor)
        else:
            values[name] = min(_LIMITS.get(name, 1.0), value * factor)
    return AugmentSettings(**values)
