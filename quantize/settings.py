"""Settings of a quantization: dataclass defaults ← TOML preset ← command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edge_runtime.errors import SettingsError
from edge_runtime.presets import read_preset
from quantize.methods import HEADS, METHODS

BIAS_READINGS = ("board", "evaluation")
_TABLE = "quantize"
# One file may set every stage.
_TABLES_OF_OTHERS = frozenset({"data", "augment", "train", "teacher"})


@dataclass(frozen=True)
class Settings:
    """What a quantization may be told; values are checked here.

    method : one of `quantize.methods.METHODS`
    head : where the last layer runs, one of `quantize.methods.HEADS`
    bias : how a bias that is finer than its sums is read, one of `BIAS_READINGS`
    align_pool : give a pool's input the fix point of its output
    calibration_count : images sampled for calibration; an .npz is used as it is
    calib_batch_size : images per calibration batch, each of which finds positions by itself
    max_accuracy_loss : points of accuracy that int8 may lose on the validation images
    report_only : measure the loss, and do not limit it
    seed : of the calibration sample
    """

    method: str = "best"
    head: str = "auto"
    bias: str = "board"
    align_pool: bool = False
    calibration_count: int = 512
    calib_batch_size: int = 64
    max_accuracy_loss: float = 1.0
    report_only: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"no method {self.method!r}; there are {', '.join(METHODS)}")
        if self.head not in HEADS:
            raise SettingsError(f"no head {self.head!r}; there are {', '.join(HEADS)}")
        if self.bias not in BIAS_READINGS:
            raise SettingsError(f"no bias {self.bias!r}; there are {', '.join(BIAS_READINGS)}")
        for name, smallest in (("calibration_count", 1), ("calib_batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < smallest:
                raise SettingsError(f"{name} must be an integer of at least {smallest}: {value!r}")
        loss = self.max_accuracy_loss
        if type(loss) not in (int, float) or not 0 <= loss <= 100:
            raise SettingsError(f"max_accuracy_loss must lie in 0..100 points: {loss!r}")
        for name in ("report_only", "align_pool"):
            if type(getattr(self, name)) is not bool:
                raise SettingsError(f"{name} must be true or false: {getattr(self, name)!r}")

    def as_json(self) -> dict[str, Any]:
        """Return the resolved settings as JSON values."""
        return asdict(self)


def load_settings(preset: str | None = None, **overrides: Any) -> Settings:
    """Settings of a preset with changes; an override of None leaves what the preset says.

    Parameters
    ----------
    preset : one of `edge_runtime.presets.PRESETS`, the path of a TOML file with a table
        [quantize], or None

    Raises
    ------
    SettingsError
        Unknown preset, table or key, or a value out of range.
    """
    values = _read(preset) if preset is not None else {}
    given = {key: value for key, value in overrides.items() if value is not None}
    return parse_settings({**values, **given}, f"{preset} [{_TABLE}]" if preset else "settings")


def parse_settings(values: Mapping[str, Any], where: str) -> Settings:
    """Build settings from keys and values, refusing keys that do not exist."""
    known = [field.name for field in fields(Settings)]
    for key in values:
        if key not in known:
            raise SettingsError(f"{where}: no setting {key!r}; there are {', '.join(known)}")
    return Settings(**values)


def _read(preset: str) -> dict[str, Any]:
    tables = read_preset("quantize", preset)
    for name in tables:
        if name != _TABLE and name not in _TABLES_OF_OTHERS:
            raise SettingsError(f"{preset}: no table [{name}]; this stage reads [{_TABLE}]")
    return dict(tables.get(_TABLE, {}))
