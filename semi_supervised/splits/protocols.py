"""What a protocol makes of each image before units are dealt out: its role."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings
from semi_supervised.splits.kaggle import HALVES, official_name, training_half

DRAWN = "drawn"  # the source of characters that we drew ourselves

# dealt: training and held-out splits are dealt from these;  added: for training only;
# test: in the test split by the protocol's rule;  excluded: in no split.
Role = Literal["dealt", "added", "test", "excluded"]


@dataclass(frozen=True)
class Roles:
    """The role of every labeled image, and what a user should know of how it came about.

    keeps_conflicts : the test split is a published one, so that it stays as it is even where
        identical images have different labels
    """

    of: list[Role]
    resolved: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    keeps_conflicts: bool = False


def assign_roles(images: Sequence[LabeledImage], settings: DataSettings) -> Roles:
    """Give every image the role that the protocol has for it; drawn ones are for training.

    Where there are no labeled real images for training, drawn ones take their place.

    Raises
    ------
    LabelError
        The protocol has no use for these images, or a source that it names is not there.
    """
    rules: dict[str, Callable[[Sequence[LabeledImage], DataSettings], Roles]] = {
        "kaggle": _kaggle,
        "cross-source": _cross_source,
        "few": _few,
    }
    rule = rules.get(settings.protocol)
    roles = rule(images, settings) if rule else Roles(["dealt"] * len(images))
    real = any(
        role == "dealt" and image.label and image.source != DRAWN
        for role, image in zip(roles.of, images, strict=True)
    )
    if real:
        for i, image in enumerate(images):
            if roles.of[i] == "dealt" and image.source == DRAWN:
                roles.of[i] = "added"
    return roles


def _kaggle(images: Sequence[LabeledImage], settings: DataSettings) -> Roles:
    names = [official_name(image.path) if image.label else None for image in images]
    half = training_half()
    of: list[Role] = ["added" if n is None else "dealt" if n in half else "test" for n in names]
    present = {role: of.count(role) for role in ("dealt", "test")}
    if not present["dealt"]:
        raise LabelError(
            "protocol kaggle: none of these images is of its training half; give the folder "
            "English/Img of Chars74K with its folders GoodImg and BadImag"
        )
    notes = [
        f"protocol kaggle: {present['dealt']:,} of the {HALVES[0]:,} images of the training half, "
        f"{present['test']:,} of the {HALVES[1]:,} of the test half"
    ]
    if not present["test"]:
        notes.append(
            "no image of the test half is here: there is no test split; validation is all that "
            "is held out, so measure elsewhere"
        )
    resolved = {"training_half": present["dealt"], "test_half": present["test"]}
    return Roles(of, resolved, notes, keeps_conflicts=True)


def _cross_source(images: Sequence[LabeledImage], settings: DataSettings) -> Roles:
    counts = Counter(image.source for image in images if image.label)
    named = {*settings.train_sources, *settings.test_sources}
    absent = sorted(named - set(counts))
    if absent:
        hint = "; characters are drawn with --set data.added_per_class=N" if DRAWN in absent else ""
        raise LabelError(
            f"protocol cross-source: no labeled image of source {absent[0]!r}; there are "
            f"{', '.join(sorted(counts)) or 'none'}{hint}"
        )
    if DRAWN in settings.test_sources and set(counts) != {DRAWN}:
        raise LabelError("protocol cross-source: drawn characters are for training, not for test")
    train = set(settings.train_sources) or set(counts) - set(settings.test_sources)
    test = set(settings.test_sources) or set(counts) - train - {DRAWN}
    if not train or not test:
        raise LabelError(
            "protocol cross-source: needs sources for training and others for test; there are "
            f"{', '.join(sorted(counts))}"
        )
    roles: dict[str, Role] = dict.fromkeys(counts, "excluded")
    roles.update(dict.fromkeys(train, "dealt"))
    roles.update(dict.fromkeys(test, "test"))
    return Roles(
        [roles[image.source] if image.label else "dealt" for image in images],
        {"train_sources": sorted(train), "test_sources": sorted(test)},
        [f"protocol cross-source: training on {_listed(train)}, test on {_listed(test)}"],
    )


def _few(images: Sequence[LabeledImage], settings: DataSettings) -> Roles:
    """Few labels: some of each class with two images are held out; if there is none, drawn ones."""
    counts = Counter(i.label for i in images if i.label and i.source != DRAWN)
    if counts and max(counts.values()) > 1:
        return Roles(["dealt"] * len(images))
    of: list[Role] = ["dealt" if i.source == DRAWN else "added" for i in images]
    why = "no class has two labeled images" if counts else "there is no labeled image"
    return Roles(of, notes=[f"{why}: the held-out characters are drawn ones"])


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
