"""One cell's process: ``python -m semi_supervised.ablation.cell``, which `schedule` starts.

Trains by the settings in the cell's folder, or goes on training, and then measures on the test
split, which no training has read.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.console import run_command
from edge_runtime.files import read_memory, write_json
from edge_runtime.tensorflow_import import import_tensorflow
from semi_supervised.ablation.cells import MEASURED
from semi_supervised.ablation.code import code_digest
from semi_supervised.settings import load_settings

_RECORD = "cell.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="ablation cell", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    return run_command(_run, parser, arguments)


def _run(options: argparse.Namespace) -> int:
    train_and_measure(options.folder, options.manifest, options.workers)
    return 0


def train_and_measure(folder: Path, manifest: Path, workers: int) -> None:
    """Train by ``folder/settings.toml`` into ``folder/training``; write ``measured.json``."""
    import_tensorflow()
    from semi_supervised.ablation.measure import measure
    from semi_supervised.training.checkpoints import set_aside
    from semi_supervised.training.trainer import train

    settings = load_settings(str(folder / "settings.toml"))
    code = {"code": code_digest()}
    if read_memory(folder / _RECORD) not in ({}, code):  # no weights from two kinds of code
        for name in ("training-teacher", "training"):
            set_aside(folder / name)
    write_json(folder / _RECORD, code)
    result = train(manifest, folder / "training", settings, workers)
    write_json(folder / MEASURED, measure(manifest, result.weights) | code)


def end_with_parent() -> None:
    """End this process with the one that started it, which holds its standard input open."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    while os.read(0, 1024):  # not by sys.stdin, whose lock a thread must not hold at the end
        pass
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
