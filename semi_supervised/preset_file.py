"""Settings as a preset file, which ``--preset`` (make: ``PRESET=``) takes."""

import json
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.files import write_text
from semi_supervised.settings import Settings


def write_preset(path: Path, settings: Settings, comment: Sequence[str] = ()) -> None:
    """Write every setting, a TOML table for each group, under lines of comment."""
    lines = [f"# {line}".rstrip() for line in comment]
    for table, values in settings.as_dict().items():
        lines += ["", f"[{table}]"]
        # What JSON calls a number, a text, true and a list of texts, TOML does, too.
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    write_text(path, "\n".join(lines).lstrip() + "\n")
