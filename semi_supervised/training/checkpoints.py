"""What a training leaves on disk: a checkpoint to go on from, the best weights, the history."""

import itertools
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError, SettingsError
from edge_runtime.files import replacing, sha256_of, write_text
from semi_supervised.training.networks import Discriminator, widened

log = logging.getLogger(__name__)

_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, SettingsError)


def save_checkpoint(path: Path, variables: Mapping[str, tf.Variable]) -> None:
    """Save all of a training's state by name."""
    _save_arrays(path, {name: variable.numpy() for name, variable in variables.items()})


def restore_checkpoint(path: Path, variables: Mapping[str, tf.Variable]) -> None:
    """Load what `save_checkpoint` wrote; nothing happens where there is none yet."""
    if not path.exists():
        return
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            for name, variable in variables.items():
                variable.assign(arrays[name])
    except _DAMAGE as error:
        raise InputError(
            f"{path}: damaged checkpoint ({error}); remove {path.parent} to start over"
        ) from None


def save_best(path: Path, network: Discriminator, alphabet: Alphabet, epoch: int) -> None:
    """Save a discriminator with its alphabet and its layers' channels."""
    arrays = {f"{i:02d}": v.numpy() for i, v in enumerate(network.variables)}
    meta = {"alphabet": list(alphabet.symbols), "epoch": epoch, "channels": network.channels}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    _save_arrays(path, arrays)


def load_best(path: Path) -> tuple[Discriminator, Alphabet, str]:
    """Read ``best.npz``: the averaged discriminator, its alphabet and the file's hash."""
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            meta = json.loads(bytes(arrays["meta"]))
            alphabet = Alphabet(tuple(meta["alphabet"]))
            # Older files tell a factor on all layers' channels.
            channels = meta.get("channels") or widened(meta.get("width", 1.0))
            network = Discriminator(len(alphabet), 0.0, 0, channels)
            for i, variable in enumerate(network.variables):
                variable.assign(arrays[f"{i:02d}"])
    except FileNotFoundError:
        raise InputError(f"{path}: no trained weights; run `make train` first") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged weights ({error}); train again") from None
    return network, alphabet, sha256_of(path)


def _save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def set_aside_if_different(output: Path, identity: dict[str, Any]) -> None:
    """Rename the folder of a training with other settings or data to ``output.1``, ``output.2``."""
    described = output / "training.json"
    if not output.exists() or not any(output.iterdir()):
        return
    if described.exists():
        try:
            same = json.loads(described.read_text("utf-8")) == json.loads(json.dumps(identity))
        except ValueError:
            same = False
        if same:
            return
    log.warning("settings or data changed: the earlier training is kept in %s", set_aside(output))


def set_aside(folder: Path) -> Path:
    """Rename a folder, if there is one, to the first free of ``folder.1``, ``folder.2``."""
    places = (folder.with_name(f"{folder.name}.{n}") for n in itertools.count(1))
    aside = next(place for place in places if not place.exists())
    if folder.exists():
        folder.rename(aside)
    return aside


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of ``metrics.jsonl``, one per epoch."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def append_history(path: Path, row: dict[str, Any]) -> None:
    """Add an epoch's row; rows of it and of later epochs are from a run that was cut off."""
    rows = [old for old in read_history(path) if old["epoch"] < row["epoch"]]
    write_text(path, "".join(json.dumps(r) + "\n" for r in [*rows, row]))
