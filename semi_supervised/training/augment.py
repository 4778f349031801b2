"""Random changes of training images.

Training images wait as 64×64 gray canvases, twice the network's side; a changed canvas is halved
and normalized as in `edge_runtime.preprocess`, so that an unchanged one is what inference sees.
"""

import os

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.images import Gray
from edge_runtime.preprocess import SIDE, area_resize, normalize_contrast
from semi_supervised.settings import AugmentSettings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks a server for news at import
import albumentations as A  # noqa: N812

CANVAS = 2 * SIDE


class Augmenter:
    """A seeded chain of changes: turn, shift, zoom, shear, blur, noise, invert."""

    def __init__(self, settings: AugmentSettings) -> None:
        s = settings
        self._turned = s.quarter_turn_probability
        self._chain = A.Compose(
            [
                A.Affine(
                    rotate=(-s.rotation_degrees, s.rotation_degrees),
                    translate_percent=(-s.shift, s.shift),
                    scale=(s.zoom_out, s.zoom_in),
                    shear=(-s.shear_degrees, s.shear_degrees),
                    keep_ratio=False,
                    border_mode=cv2.BORDER_REPLICATE,
                    p=0.9,
                ),
                A.GaussianBlur(blur_limit=0, sigma_limit=(0.5, 2.5), p=s.blur_probability),
                A.GaussNoise(std_range=(0.01, 0.06), p=s.noise_probability),
                A.RandomGamma(gamma_limit=(60, 160), p=s.gamma_probability),
                A.CoarseDropout(
                    num_holes_range=(1, 3),
                    hole_height_range=(0.08, 0.25),
                    hole_width_range=(0.08, 0.25),
                    fill="random_uniform",
                    p=s.erase_probability,
                ),
                A.InvertImg(p=s.invert_probability),
            ]
        )

    def batch(self, canvases: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.int8]:
        """Change a batch.

        Parameters
        ----------
        canvases : uint8 [N, 64, 64]
        seed : the same seed gives the same batch

        Returns
        -------
        int8 [N, 32, 32, 1], network inputs at fix point 7
        """
        self._chain.set_random_seed(seed)
        out = np.empty((len(canvases), SIDE, SIDE, 1), np.int8)
        for i, canvas in enumerate(canvases):
            out[i, ..., 0] = normalize_contrast(halve(self._chain(image=canvas)["image"]))
        self.turn(out, seed)
        return out

    def turn(self, inputs: npt.NDArray[np.int8], seed: int) -> None:
        """Turn some of the inputs, int8 [N, 32, 32, 1], by 90 degrees to either side, in place.

        As signs look that were photographed with the camera on its side. Halving and contrast do
        not depend on it, so turned inputs are the inputs of a turned image.
        """
        rng = np.random.default_rng(seed)
        turned = rng.random(len(inputs)) < self._turned
        quarters = rng.choice([-1, 1], len(inputs))
        for i in np.flatnonzero(turned):
            inputs[i] = np.rot90(inputs[i], quarters[i])


_WEAK_SHIFT = 3  # pixels of the canvas, 5 % of its side


def weak_batch(canvases: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.int8]:
    """Shift each canvas, uint8 [N, 64, 64], by a few pixels at most; inputs as `Augmenter.batch`.

    The view by which an image's class is guessed: as `edge_runtime` would see it.
    """
    rng = np.random.default_rng(seed)
    shifts = rng.integers(0, 2 * _WEAK_SHIFT + 1, (len(canvases), 2))
    out = np.empty((len(canvases), SIDE, SIDE, 1), np.int8)
    for i, (canvas, (y, x)) in enumerate(zip(canvases, shifts, strict=True)):
        padded = np.pad(canvas, _WEAK_SHIFT, mode="edge")
        out[i, ..., 0] = normalize_contrast(halve(padded[y : y + CANVAS, x : x + CANVAS]))
    return out


def to_canvas(gray: Gray) -> Gray:
    """Stretch gray pixels of any size to the 64×64 canvas."""
    return area_resize(gray, CANVAS)


def halve(canvas: Gray) -> Gray:
    """Mean of each 2×2 block, rounded half up: the area resize from 64 to 32 pixels."""
    wide = canvas.astype(np.uint16)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    halved: Gray = ((total + 2) >> 2).astype(np.uint8)
    return halved
