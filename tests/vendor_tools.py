"""Puts stand-ins for the vendor's tools on a PATH; each refuses what the real one refuses."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "decent_q": "quantizer decent_q",
    "vai_q_tensorflow": "quantizer vai_q_tensorflow",
    "dnnc": "dnnc",
    "dnnc-dpu1.4.0": "dnnc",
    "vai_c_tensorflow": "vai_c",
    "docker": "docker",
    "podman": "docker",
}
DNNDK = ("decent_q", "dnnc")
VITIS_AI = ("vai_q_tensorflow", "vai_c_tensorflow")


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """Return an environment with a PATH of these folders, Python's and the system's programs."""
    path = ":".join(map(str, (*folders, Path(sys.executable).parent, "/usr/bin", "/bin")))
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **variables}


def install(folder: Path, *names: str) -> Path:
    """Write launchers of these tools into a folder; return it."""
    folder.mkdir(exist_ok=True)
    for name in names:
        command = f'exec {sys.executable} -m tests.stand_ins.{MODULES[name]} "$@"'
        (folder / name).write_text(f"#!/bin/sh\nPYTHONPATH={ROOT}\nexport PYTHONPATH\n{command}\n")
        (folder / name).chmod(0o755)
    return folder
