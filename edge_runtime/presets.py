"""Read a preset file: the settings of the stages, a TOML table for each group of them."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from edge_runtime.errors import SettingsError

PRESETS = ("tiny", "quick", "full", "adapt", "smaller")


def read_preset(package: str, preset: str) -> dict[str, dict[str, Any]]:
    """Tables of ``package``'s own preset of that name, or of the TOML file at that path.

    Raises
    ------
    SettingsError
        Neither exists, it is no TOML, or a key stands outside of a table.
    """
    if preset in PRESETS:
        text = (resources.files(package) / f"presets/{preset}.toml").read_text("utf-8")
    elif Path(preset).is_file():
        text = Path(preset).read_text("utf-8")
    else:
        raise SettingsError(
            f"no preset {preset!r}: there are {', '.join(PRESETS)}, or name a .toml file"
        )
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{preset}: not a TOML file ({error})") from None
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise SettingsError(f"{preset}: {name!r} stands outside of a [table]")
    return tables
