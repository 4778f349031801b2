"""Deal units out to splits: by share of each class and source, or by number of each class."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edge_runtime.alphabet import Alphabet
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings
from semi_supervised.splits.units import Stratum, Unit, in_label_order, rank

TEST_NUMBER = 15  # test images per class of Chars74K-15 and -5
Key = TypeVar("Key", Stratum, str)
Dealt = dict[int, str]  # image's position → split


def deal_shares(
    units: Sequence[Unit], shares: Mapping[str, float], seed: int, alphabet: Alphabet
) -> Dealt:
    """Give each split of ``shares`` its share of the images of every stratum; the rest is train.

    Each (source, label) stratum is ordered by itself, so that a class more leaves the others'
    splits as they were. A stratum with a unit for each split has one in each.
    """
    strata: dict[Stratum, list[Unit]] = defaultdict(list)
    for unit in units:
        strata[unit.home].append(unit)
    sizes: Counter[Stratum] = Counter()
    for unit in units:
        sizes.update(unit.counts)
    room = {split: Counter[Stratum]() for split in shares}
    for stratum, members in strata.items():
        left = sizes[stratum] - 1  # one is for training
        for split, share in shares.items():
            if len(members) > len(shares):
                room[split][stratum] = min(max(1, round(share * sizes[stratum])), left)
                left -= room[split][stratum]
    split_of: dict[str, str] = {}
    for stratum in sorted(strata):
        for unit in sorted(strata[stratum], key=lambda u: rank("split", seed, u.key)):
            fitting = (s for s in shares if take(unit.counts, room[s]))
            split_of[unit.key] = next(fitting, "train")
    _fill_empty(units, split_of, shares, alphabet)
    return {i: split_of[unit.key] for unit in units for i in unit.members}


def take(counts: Counter[Key], room: Counter[Key]) -> bool:
    """Take from ``room`` what a unit needs, if there is enough of all of it."""
    if any(room[key] < count for key, count in counts.items()):
        return False
    room.subtract(counts)
    return True


def by_label(unit: Unit) -> Counter[str]:
    """Count a unit's members per label, whatever their source."""
    counts: Counter[str] = Counter()
    for (_, label), count in unit.counts.items():
        counts[label] += count
    return counts


def _fill_empty(
    units: Sequence[Unit], split_of: dict[str, str], wanted: Iterable[str], alphabet: Alphabet
) -> None:
    """Fill a class's empty splits from training, where a class has few units in each source."""
    of_label: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        for label in unit.labels():
            of_label[label].append(unit)

    def can_go(unit: Unit) -> bool:
        """Whether training keeps a unit of each of its labels."""
        return split_of[unit.key] == "train" and all(
            sum(split_of[other.key] == "train" for other in of_label[label]) > 1
            for label in unit.labels()
        )

    for symbol in alphabet.symbols:
        for split in wanted:
            mine = of_label[symbol]
            if all(split_of[unit.key] != split for unit in mine):
                movable = [unit for unit in mine if can_go(unit)]
                if movable:
                    chosen = min(movable, key=lambda u: (len(u.labels()), len(u.members), u.key))
                    split_of[chosen.key] = split


@dataclass(frozen=True)
class Numbers:
    """What `deal_numbers` gave: position → split, notes, and the classes with too few images."""

    split_of: Dealt
    notes: list[str]
    fewer: dict[str, dict[str, int]]  # symbol → {"images", "train", "test"}


def deal_numbers(
    images: Sequence[LabeledImage],
    groups: Sequence[Sequence[int]],
    units: Sequence[Unit],
    number: int,
    settings: DataSettings,
    alphabet: Alphabet,
) -> Numbers:
    """Give test 15 and training ``number`` images of every class, validation some of what is left.

    The test images depend on no setting; the seed decides on the training images, of which a
    smaller number's are among a larger one's. A class with fewer than 30 images gives half of
    them at the most to each.
    """
    sizes: Counter[str] = Counter()
    for unit in units:
        sizes.update(by_label(unit))
    half = {s: min(TEST_NUMBER, sizes[s] // 2) for s in alphabet.symbols}
    test = _take_units(units, Counter(half), "test", 0)
    split_of = {i: "test" for unit in test for i in unit.members}
    rest = {i for unit in units for i in unit.members} - set(split_of)
    for label, members in in_label_order(images, groups, rest, settings.seed).items():
        split_of |= dict.fromkeys(members[: min(number, half[label])], "train")
    left = [unit for unit in units if not any(i in split_of for i in unit.members)]
    share = settings.validation_share
    validation = {s: max(1, round(share * sizes[s])) for s in alphabet.symbols}
    for unit in _take_units(left, Counter(validation), "split", settings.seed):
        split_of |= dict.fromkeys(unit.members, "validation")
    found = {s: Counter(split_of.get(i) for i in own) for s, own in _members(images, units).items()}
    split_of |= dict.fromkeys(rest - set(split_of), settings.left_over)
    fewer = {
        s: {"images": sizes[s], "train": found[s]["train"], "test": found[s]["test"]}
        for s in alphabet.symbols
        if sizes[s] < 2 * TEST_NUMBER or found[s]["test"] < TEST_NUMBER
    }
    notes = []
    if fewer:
        listed = (f"{s} ({n['images']}: {n['train']} + {n['test']})" for s, n in fewer.items())
        notes.append(
            f"fewer than {2 * TEST_NUMBER} images, so half of them at the most for training and "
            f"half for test (images: training + test): {', '.join(listed)}"
        )
    without = [s for s in alphabet.symbols if not found[s]["validation"]]
    if without:
        notes.append(f"no image is left for validation of {' '.join(without)}")
    return Numbers(split_of, notes, fewer)


def _take_units(units: Sequence[Unit], room: Counter[str], purpose: str, seed: int) -> list[Unit]:
    """Units, class by class in the order of ``purpose`` and ``seed``, as far as there is room."""
    ordered = sorted(units, key=lambda u: (u.home[1], rank(purpose, seed, u.key)))
    return [unit for unit in ordered if take(by_label(unit), room)]


def _members(images: Sequence[LabeledImage], units: Sequence[Unit]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for unit in units:
        for i in unit.members:
            members[images[i].label].append(i)
    return members
