"""Deal images to folds, so that one fold at a time can be predicted from the others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_runtime.labeled_images import LabeledImage
from semi_supervised.splits.units import group_images, identity, rank


def deal_folds(
    images: Sequence[LabeledImage], groups: Sequence[Sequence[int]], count: int, seed: int
) -> npt.NDArray[np.int64]:
    """Number of each image's fold, 0 to ``count`` - 1; every class is spread over all folds.

    Images of a group (positions) share a fold: a network that knows the copy of an image knows
    its label. The result depends on contents and labels, not on the order.
    """

    def place(group: Sequence[int]) -> tuple[str, str]:
        return min((images[i].label, rank("fold", seed, identity(images[i]))) for i in group)

    folds = np.empty(len(images), np.int64)
    for k, group in enumerate(sorted(group_images(images, groups), key=place)):
        folds[group] = k % count
    return folds
