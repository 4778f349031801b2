"""Seeded splits by one of several protocols, in which like images stay together; the manifest.

Reading order: ``units`` (what must not part) → ``protocols`` (the role of each image) → ``deal``
(units to splits) → ``labels`` (budgets) → `split_images` here, which joins them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings
from semi_supervised.splits.deal import deal_numbers, deal_shares
from semi_supervised.splits.labels import limit_labels
from semi_supervised.splits.manifest import images_digest, write_manifest
from semi_supervised.splits.protocols import DRAWN, Roles, assign_roles
from semi_supervised.splits.units import Unit, conflicting, group_images, make_units

__all__ = ["DRAWN", "SPLITS", "Splits", "images_digest", "split_images", "write_manifest"]

SPLITS = ("train", "unlabeled", "validation", "test", "excluded")
_HELD_OUT = ("validation", "test")
_SHARED_OUT = ("random", "budget")  # protocols with test_share and validation_share
_TRAINING_NUMBERS = {"chars74k-15": 15, "chars74k-5": 5}


@dataclass(frozen=True)
class Splits:
    """The images with their splits, in the order given, and how these came about.

    notes : what a user should know, a line each
    resolved : the protocol with all that followed from it, for JSON
    """

    images: list[LabeledImage]
    notes: list[str]
    resolved: dict[str, Any]


def split_images(
    images: Iterable[LabeledImage],
    alphabet: Alphabet,
    settings: DataSettings,
    near: Sequence[Sequence[int]] = (),
) -> Splits:
    """Give every image a split by the protocol of the settings.

    Byte-identical images, and those of a group of ``near`` (positions in ``images``), are on one
    side: in training (labeled or not), validation or test. Byte-identical ones with different
    labels teach nothing true and become ``excluded``, as do images for training of which
    validation or test holds a copy. Images without a label become ``unlabeled``. The result
    depends on the images' contents and the settings, not on the order or on names.

    Raises
    ------
    LabelError
        Too few images of a class for the protocol, or images that it has no use for.
    """
    images = list(images)
    groups = group_images(images, near)
    roles = assign_roles(images, settings)
    notes = list(roles.notes)
    split = _by_rule(images, groups, roles, notes)
    dealt = {i for i, role in enumerate(roles.of) if role == "dealt" and not split[i]}
    dealt = {i for i in dealt if images[i].label}
    units = make_units(images, groups, dealt)
    resolved = dict(roles.resolved)
    _check_classes(images, units, alphabet, settings)
    if settings.protocol in _TRAINING_NUMBERS:
        number = _TRAINING_NUMBERS[settings.protocol]
        numbers = deal_numbers(images, groups, units, number, settings, alphabet)
        given, resolved["classes_with_fewer"] = numbers.split_of, numbers.fewer
        notes += numbers.notes
    else:
        given = deal_shares(units, _shares(settings), _seed(settings), alphabet)
    for i, name in given.items():
        split[i] = name
    _place_the_rest(images, groups, split, notes)
    if "validation" not in split:
        raise LabelError(
            f"protocol {settings.protocol} leaves no image for validation: give more images of "
            "each class, or take another --protocol"
        )
    notes += limit_labels(images, groups, split, settings, alphabet)
    found = [replace(image, split=name) for image, name in zip(images, split, strict=True)]
    return Splits(found, notes, _record(found, settings, resolved, notes))


def _shares(settings: DataSettings) -> dict[str, float]:
    validation = {"validation": settings.validation_share}
    has_test = settings.protocol in _SHARED_OUT
    return {"test": settings.test_share} | validation if has_test else validation


def _seed(settings: DataSettings) -> int:
    # What these hold out is the same for every seed.
    return 0 if settings.protocol in ("all", "budget") else settings.seed


def _by_rule(
    images: Sequence[LabeledImage],
    groups: Sequence[Sequence[int]],
    roles: Roles,
    notes: list[str],
) -> list[str]:
    """Splits of conflicting images and of those that the protocol places; "" for the others."""
    split = [role if role in ("test", "excluded") else "" for role in roles.of]
    conflicts = conflicting(images)
    if roles.keeps_conflicts:
        conflicts = {i for i in conflicts if roles.of[i] != "test"}
    for i in conflicts:
        split[i] = "excluded"
    if conflicts:
        names = ", ".join(sorted("/".join(images[i].path.parts[-2:]) for i in conflicts)[:4])
        notes.append(
            f"left out {len(conflicts):,} images, of which an identical file has another label: "
            f"{names}{', …' if len(conflicts) > 4 else ''}"
        )
    apart = 0
    for group in groups:
        if any(split[i] == "test" for i in group):
            copies = [i for i in group if images[i].label and not split[i]]
            apart += len(copies)
            for i in copies:
                split[i] = "excluded"
    if apart:
        notes.append(
            f"left out {apart:,} training images: the protocol's test half has (nearly) the same"
        )
    return split


def _place_the_rest(
    images: Sequence[LabeledImage],
    groups: Sequence[Sequence[int]],
    split: list[str],
    notes: list[str],
) -> None:
    """Place unlabeled and added images in training, unless a copy is held out."""
    apart = 0
    for group in groups:
        held_out = any(split[i] in _HELD_OUT for i in group)
        for i in group:
            if not split[i]:
                split[i] = "excluded" if held_out else "train" if images[i].label else "unlabeled"
                apart += held_out
    if apart:
        notes.append(
            f"left out {apart:,} unlabeled or added images: a held-out one is (nearly) the same"
        )


def _check_classes(
    images: Sequence[LabeledImage],
    units: Sequence[Unit],
    alphabet: Alphabet,
    settings: DataSettings,
) -> None:
    """Raise `LabelError` where a class has fewer different images than the protocol needs."""
    different: Counter[str] = Counter(label for unit in units for label in unit.labels())
    taught = {i.label for i in images} if settings.protocol == "few" else set(different)
    absent = [symbol for symbol in alphabet.symbols if symbol not in taught]
    if absent:
        raise LabelError(
            f"no image of {len(absent)} of the {len(alphabet)} classes ({' '.join(absent[:20])}); "
            "add some, or name the symbols you have with --alphabet"
        )
    if settings.protocol == "few":
        return
    splits = ["training"]
    splits += ["validation"] if settings.protocol in _SHARED_OUT else []
    splits += ["test"] if settings.protocol in (*_SHARED_OUT, *_TRAINING_NUMBERS) else []
    few = [symbol for symbol in alphabet.symbols if different[symbol] < len(splits)]
    if few:
        every = {images[i].sha256 for u in units for i in u.members if images[i].label == few[0]}
        near = f", nearly identical ones (of {len(every)}) counted as one"
        raise LabelError(
            f"class {few[0]!r} has {different[few[0]]} different image(s)"
            f"{near if len(every) > different[few[0]] else ''}; "
            f"each needs {len(splits)}, one for {', '.join(splits[:-1])} and {splits[-1]}"
        )


def _record(
    images: Sequence[LabeledImage],
    settings: DataSettings,
    resolved: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    per_class = {
        split: dict(sorted(Counter(i.label for i in images if i.split == split).items()))
        for split in SPLITS
    }
    return {
        "protocol": settings.protocol,
        "seed": settings.seed,
        "labels_per_class": settings.labels_per_class,
        "left_over": settings.left_over,
        **resolved,
        "per_class": per_class,
        "notes": notes,
    }
