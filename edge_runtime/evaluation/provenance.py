"""Where figures come from: command, versions, hashes, date."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge_runtime import __version__
from edge_runtime.files import content_hash
from edge_runtime.ladder.rungs import Rung

_PACKAGES: Final = (
    "numpy", "pillow", "onnxruntime", "tensorflow", "tensorflow-cpu", "opencv-python-headless",
    "albumentations",
)  # fmt: skip


def provenance(command: str, rungs: Sequence[Rung], images: Path) -> dict[str, Any]:
    """Tell how figures were made; a source that is one file is named by its hash, too."""
    files = {file for rung in rungs for file in (rung.bundle, *rung.files)}
    return {
        "command": command,
        "date": _now(),
        "edgeglyph": __version__,
        "python": platform.python_version(),
        "packages": _versions(),
        "images": {
            "path": str(images),
            "sha256": content_hash(images) if images.is_file() else None,
        },
        "files": {str(file): content_hash(file) for file in sorted(files) if file.exists()},
    }


def command_line() -> str:
    """The command line as it was given, to be repeated."""
    return shlex.join(["python", "-m", "edge_runtime", *sys.argv[1:]])


def _now() -> str:
    """Time of now, or of SOURCE_DATE_EPOCH where that is set (reproducible-builds.org)."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    zone = datetime.UTC
    moment = (
        datetime.datetime.fromtimestamp(int(given), zone) if given else datetime.datetime.now(zone)
    )
    return moment.isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
