"""What the result of a training depends on: the same identity, the same weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.files import sha256_of
from semi_supervised.data import chooses_epoch, read_alphabet
from semi_supervised.negatives import FILE_NAME as NEGATIVES_FILE
from semi_supervised.settings import Settings
from semi_supervised.splits import images_digest
from semi_supervised.synthesis import Synthesizer, synthesizer_if_possible

_SCHEMA = 3

Identity = dict[str, Any]


def find_synthesizer(manifest: Path, settings: Settings) -> Synthesizer | None:
    """What draws characters for a training; None where none are wanted or can be drawn."""
    train = settings.train
    return (
        synthesizer_if_possible(read_alphabet(manifest), train.seed) if train.batch_drawn else None
    )


def digests_of_images(manifest: Path) -> Identity:
    """Hash what a manifest, and the table of non-characters beside it, say of their images."""
    tables = {"manifest": manifest, "negatives": manifest.with_name(NEGATIVES_FILE)}
    return {
        f"{k}_images_sha256": images_digest(path) for k, path in tables.items() if path.exists()
    }


def training_identity(
    manifest: Path,
    settings: Settings,
    synthesizer: Synthesizer | None,
    others: Mapping[str, Path | None] | None = None,
) -> Identity:
    """Identify a training, for JSON: settings, and hashes of all that it reads.

    Parameters
    ----------
    others : further files that it reads, by what they are to it

    Raises
    ------
    InputError
        What `make data` writes beside the manifest is missing or damaged.
    """
    identity: Identity = {
        "schema": _SCHEMA,
        "drawing": synthesizer.identity if synthesizer else None,
        "alphabet": list(read_alphabet(manifest).symbols),
        "settings": {k: v for k, v in settings.as_dict().items() if k != "data"},
    } | digests_of_images(manifest)
    for name, other in (others or {}).items():
        if other and other.exists():
            identity[f"{name}_sha256"] = sha256_of(other)
    if not chooses_epoch(manifest):
        identity["keeps"] = "last epoch"
    return identity
