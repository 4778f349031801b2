"""Measure the audit's search for wrong labels: plant some, and count how many it names.

Labels of a random share of the images are exchanged for another symbol. Where the set has wrong
labels of its own, naming them counts as a mistake here, so the precision is a lower bound.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_runtime.alphabet import ALPHABET_62, Alphabet, parse_alphabet
from edge_runtime.console import run_command
from edge_runtime.errors import SettingsError
from edge_runtime.files import write_json
from edge_runtime.labeled_images import LabeledImage, find_labeled_images
from semi_supervised.audit.command import audit
from semi_supervised.splits import write_manifest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="measure_audit", description=__doc__)
    parser.add_argument("images", type=Path, help="labeled images that are trusted")
    parser.add_argument("--share", type=float, default=0.03, help="of the labels to make wrong")
    parser.add_argument("--seed", type=int, default=74)
    parser.add_argument("--alphabet", help="the classes in order (default: 0-9A-Za-z)")
    parser.add_argument("--output", type=Path, default=Path("build/audit-measured"))
    return run_command(_run, parser, arguments)


def _run(options: argparse.Namespace) -> int:
    if not 0 < options.share < 1:
        raise SettingsError(f"--share must be between 0 and 1, not {options.share}")
    alphabet = parse_alphabet(options.alphabet) if options.alphabet else ALPHABET_62
    images = find_labeled_images(options.images, alphabet)
    planted = plant(images, alphabet, options.share, options.seed)
    wrong = {p.path.resolve() for i, p in zip(images, planted, strict=True) if i.label != p.label}
    if not wrong:
        raise SettingsError(f"--share {options.share} of {len(images):,} images is none of them")
    table = options.output / "planted.csv"
    write_manifest(table, planted)
    record = audit([str(table)], alphabet)
    check = record["label_check"]
    named = [Path(s["file"]).resolve() for s in check["wrong"]]
    hits = sum(path in wrong for path in named)
    result = {
        "images": check["images"],
        "planted": len(wrong),
        "named": len(named),
        "recall": round(hits / len(wrong), 4),
        "precision": round(hits / max(1, len(named)), 4),
        "precision_of_first_100": round(
            sum(path in wrong for path in named[:100]) / max(1, len(named[:100])), 4
        ),
        "accuracy": check["accuracy"],
        "accuracy_alike": check["accuracy_alike"],
        "share": options.share,
        "seed": options.seed,
        "settings": check["settings"],
    }
    write_json(options.output / "measured.json", result)
    for key in ("images", "planted", "named", "recall", "precision", "precision_of_first_100"):
        print(f"{key:24}{result[key]}")
    return 0


def plant(
    images: Sequence[LabeledImage], alphabet: Alphabet, share: float, seed: int
) -> list[LabeledImage]:
    """Exchange the labels of a share of the images for any other symbol, evenly."""
    rng = np.random.default_rng(seed)
    planted = list(images)
    for k in rng.choice(len(images), round(share * len(images)), replace=False):
        away = int(rng.integers(1, len(alphabet)))
        place = (alphabet.index(images[k].label) + away) % len(alphabet)
        planted[k] = replace(images[k], label=alphabet.symbols[place])
    return planted


if __name__ == "__main__":
    sys.exit(main())
