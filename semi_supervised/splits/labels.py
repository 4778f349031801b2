"""Label budgets: the labels of N training images per class are used, the others are hidden."""

from collections.abc import Mapping, Sequence

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import LabelError
from edge_runtime.labeled_images import LabeledImage
from semi_supervised.settings import DataSettings
from semi_supervised.splits.protocols import DRAWN
from semi_supervised.splits.units import in_label_order


def limit_labels(
    images: Sequence[LabeledImage],
    groups: Sequence[Sequence[int]],
    split: list[str],
    settings: DataSettings,
    alphabet: Alphabet,
) -> list[str]:
    """Change ``split`` of the images beyond the budget; return what a user should know.

    The budget is of real images; of drawn ones only where they are all there is to train on. A
    smaller budget's labels are among a larger one's.

    Raises
    ------
    LabelError
        Nothing is left with a label.
    """
    budget = settings.labels_per_class
    train = [i for i, name in enumerate(split) if name == "train"]
    if budget == "all":
        return []
    counted = {i for i in train if images[i].source != DRAWN} or set(train)
    ordered = in_label_order(images, groups, counted, settings.seed)
    for members in ordered.values():
        for i in members[budget:]:
            split[i] = settings.left_over
    if "train" not in split:
        raise LabelError(
            "labels_per_class 0 leaves no image with a label: it is for real images, beside which "
            "characters are drawn (--set data.added_per_class=N)"
        )
    fewer = {symbol: len(ordered.get(symbol, [])) for symbol in alphabet.symbols}
    fewer = {symbol: count for symbol, count in fewer.items() if count < budget}
    if not fewer:
        return []
    return [f"fewer than {budget} labeled training images: {class_counts(fewer, alphabet)}"]


def class_counts(counts: Mapping[str, int], alphabet: Alphabet) -> str:
    """Counts of classes in one line: ``4 (13), q (9)``; short where all have the same."""
    if len(counts) == len(alphabet) > 1 and len(set(counts.values())) == 1:
        return f"all {len(alphabet)} classes ({next(iter(counts.values()))})"
    return ", ".join(f"{symbol} ({count})" for symbol, count in counts.items())
