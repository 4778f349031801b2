"""The data of an ablation: one test split for all, a manifest for each number of labels and seed.

The data stage runs once. Manifests stand beside each other in one folder, and so share
``negatives.csv`` and ``data.json``; what differs is which training images have their labels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import InputError, SettingsError
from edge_runtime.files import read_memory, sha256_of, write_json
from semi_supervised.ablation.plan import Labels, Plan
from semi_supervised.data import DataReport, make_data
from semi_supervised.settings import DataSettings
from semi_supervised.sources import SYNTHETIC, fingerprint, parse_sources, short_name
from semi_supervised.splits import DRAWN, write_manifest
from semi_supervised.splits.labels import limit_labels
from semi_supervised.splits.units import group_images

_RECORD = "budgets.json"


@dataclass(frozen=True)
class Budget:
    """The manifest of a number of labels per class and a seed, and its training images' numbers."""

    manifest: Path
    labeled: int
    unlabeled: int


@dataclass(frozen=True)
class Budgets:
    """All manifests of an ablation.

    of : by labels per class and seed
    about : where the images are from and how many are held out, for JSON
    """

    of: Mapping[tuple[Labels, int], Budget]
    about: dict[str, Any]


def make_budgets(
    source: str | Sequence[str] | None,
    photographs: Sequence[str],
    output: Path,
    alphabet: Alphabet,
    plan: Plan,
    cache: Path | None = None,
) -> Budgets:
    """Write the data of all cells into ``output``, or find it there.

    Labels nest: those of a smaller number are among those of a larger one with the same seed.
    Without a ``source``, only find it.

    Raises
    ------
    InputError
        No real images: what all methods draw themselves cannot tell what they are worth.
    """
    record = read_memory(output / _RECORD)
    if source is None and record:
        return _read(record, output, plan)
    sources, scenes = parse_sources(source or SYNTHETIC), parse_sources(photographs)
    if sources == [SYNTHETIC]:
        raise SettingsError(
            "an ablation is measured on real crops, which every method is given in part: name "
            "labeled images with --source (make: DATA=…, or CHARS74K=… ICDAR=…)"
        )
    settings = plan.data_settings().data
    stamp = {
        "settings": asdict(settings) | {"train_sources": [], "test_sources": []},
        "sources": sources,
        "photographs": scenes,
        "content": fingerprint([*sources, *scenes]),
        "alphabet": list(alphabet.symbols),
        "labels": list(plan.labels) + list(plan.recipe_labels),
        "seeds": list(plan.seeds),
    }
    if record.get("stamp") != stamp:
        report = make_data(sources, output, alphabet, settings, False, (), scenes, cache)
        record = {"stamp": stamp, "about": _about(report, sources, scenes)}
        record["budgets"] = _write_manifests(report, output, alphabet, plan, settings)
        write_json(output / _RECORD, record)
    return _read(record, output, plan)


def _about(report: DataReport, sources: list[str], scenes: list[str]) -> dict[str, Any]:
    counts = Counter(image.split for image in report.images if image.source != DRAWN)
    return {
        "source": ", ".join(map(short_name, sources)),
        "photographs": ", ".join(map(short_name, scenes)),
        "sources": sorted({i.source for i in report.images} - {DRAWN}),
        "training": counts["train"],
        "validation": counts["validation"],
        "test": counts["test"],
        "near_identical_groups": len(report.near),
    }


def _write_manifests(
    report: DataReport, output: Path, alphabet: Alphabet, plan: Plan, settings: DataSettings
) -> dict[str, Any]:
    """Write the manifests; return what the record says of them."""
    groups = group_images(report.images, report.near)
    written = {}
    for labels in dict.fromkeys((*plan.labels, *plan.recipe_labels)):
        for seed in plan.seeds:
            name = _name(labels, seed)
            split = [image.split for image in report.images]
            own = replace(settings, labels_per_class=labels, seed=seed)
            notes = limit_labels(report.images, groups, split, own, alphabet)
            images = [replace(i, split=s) for i, s in zip(report.images, split, strict=True)]
            write_manifest(output / name, images)
            counts = Counter(image.split for image in images if image.source != DRAWN)
            written[name] = {
                "sha256": sha256_of(output / name),
                "labeled": counts["train"],
                "unlabeled": counts["unlabeled"],
                "notes": notes,
            }
    return written


def _read(record: dict[str, Any], output: Path, plan: Plan) -> Budgets:
    of = {}
    for labels in dict.fromkeys((*plan.labels, *plan.recipe_labels)):
        for seed in plan.seeds:
            name = _name(labels, seed)
            told, path = record["budgets"].get(name, {}), output / name
            if not path.is_file() or sha256_of(path) != told.get("sha256"):
                raise InputError(f"{path}: missing or changed; remove {output} to make it anew")
            of[labels, seed] = Budget(path, told["labeled"], told["unlabeled"])
    return Budgets(of, record["about"])


def _name(labels: Labels, seed: int) -> str:
    # Every label is the same ones for every seed.
    return "manifest-all.csv" if labels == "all" else f"manifest-{labels}-{seed}.csv"
