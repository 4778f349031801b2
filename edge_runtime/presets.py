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
    own = preset in PRESETS
    if not own and not Path(preset).is_file():
        raise SettingsError(
            f"no preset {preset!r}: there are {', '.join(PRESETS)}, or name a .toml file"
        )
    tables = read_toml(None if own else Path(preset), package, f"presets/{preset}.toml")
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise SettingsError(f"{preset}: {name!r} stands outside of a [table]")
    return tables


def read_toml(path: Path | None, package: str, name: str) -> dict[str, Any]:
    """Tables of the TOML file at ``path``, or of ``package``'s own file of that name.

    Raises
    ------
    SettingsError
        No such file, or no TOML.
    """
    where = str(path or name)
    try:
        return tomllib.loads((path or resources.files(package) / name).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{where}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: not a TOML file ({error})") from None
