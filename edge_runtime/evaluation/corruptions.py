"""Fifteen corruptions of five severities, the same for the same picture on every machine.

After Hendrycks & Dietterich 2019, "Benchmarking neural network robustness to common corruptions and
perturbations", for gray crops of single characters. Parameters are in pixels of a picture whose
shorter side has 64, so that a severity means the same for small and large crops.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge_runtime.errors import MissingDependencyError
from edge_runtime.images import Gray

SIDE: Final = 64  # pixels of the shorter side when a corruption is applied
SEVERITIES: Final = (1, 2, 3, 4, 5)
_LONGEST: Final = 8 * SIDE

Apply = Callable[[Gray, float, np.random.Generator], Gray]


@dataclass(frozen=True)
class Corruption:
    """A family of corruptions.

    values : its parameter at severities 1 to 5;  parameter : what that is
    """

    name: str
    parameter: str
    values: tuple[float, float, float, float, float]
    apply: Apply

    def __call__(self, gray: Gray, severity: int) -> Gray:
        """Corrupt a picture, uint8 [height, width]; chance comes from the picture itself."""
        picture = np.ascontiguousarray(gray).tobytes()
        digest = hashlib.sha256(f"{self.name} {severity} {gray.shape}".encode() + picture).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        return self.apply(gray, self.values[severity - 1], rng)


def to_working_size(gray: Gray) -> Gray:
    """Scale so that the shorter side has 64 pixels; a long strip is shortened to 8 times that."""
    cv2 = _cv2()
    height, width = gray.shape
    scale = SIDE / min(height, width)
    size = (
        min(_LONGEST, max(1, round(width * scale))),
        min(_LONGEST, max(1, round(height * scale))),
    )
    found: Gray = cv2.resize(
        gray, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return found


def _cv2() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingDependencyError(
            "corruptions need OpenCV: pip install 'edgeglyph[report]'"
        ) from None
    return cv2


def _albumentations() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network otherwise
    try:
        import albumentations
    except ImportError:
        raise MissingDependencyError(
            "corruptions need albumentations: pip install 'edgeglyph[report]'"
        ) from None
    return albumentations


@functools.cache
def _transform(name: str, **options: Any) -> Any:
    return getattr(_albumentations(), name)(p=1.0, **options)


def _library(name: str, options: Callable[[float], dict[str, Any]]) -> Apply:
    """A transform of albumentations, with the options that a severity's value makes."""

    def apply(gray: Gray, value: float, rng: np.random.Generator) -> Gray:
        transform = _transform(name, **options(value))
        transform.set_random_seed(int(rng.integers(2**31)))
        found: Gray = transform(image=gray)["image"]
        return found.reshape(gray.shape)

    return apply


def _moved(matrix: Callable[[float, Gray], Any]) -> Apply:
    """An affine map [2, 2] and shift [2] in either direction; what comes in repeats the border."""

    def apply(gray: Gray, value: float, rng: np.random.Generator) -> Gray:
        cv2 = _cv2()
        height, width = gray.shape
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        linear, shift = matrix(value * rng.choice((-1.0, 1.0)), gray)
        if callable(shift):
            shift = shift(rng)
        offset = middle - linear @ middle + shift
        full = np.column_stack([linear, offset])
        found: Gray = cv2.warpAffine(
            gray, full, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return found

    return apply


def _shift(value: float, gray: Gray) -> tuple[Any, Any]:
    """Shift by a share of width and height, each to either side."""
    height, width = gray.shape

    def by(rng: np.random.Generator) -> Any:
        return np.array([value * width, abs(value) * rng.choice((-1.0, 1.0)) * height])

    return np.eye(2), by


def _rotation(degrees: float, _: Gray) -> tuple[Any, Any]:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn, np.zeros(2)


def _shear(value: float, _: Gray) -> tuple[Any, Any]:
    return np.array([[1.0, value], [0.0, 1.0]]), np.zeros(2)


def _brightness(gray: Gray, value: float, rng: np.random.Generator) -> Gray:
    """Lighter or darker by a share of the range; what leaves it is lost."""
    moved = gray.astype(np.float64) + 255 * value * rng.choice((-1.0, 1.0))
    return _gray(moved)


def _contrast(gray: Gray, value: float, _: np.random.Generator) -> Gray:
    """All but ``value`` of the contrast is gone, and the rest rounded to whole gray values."""
    mean = float(gray.mean())
    return _gray(mean + (gray - mean) * value)


def _pixels(gray: Gray, value: float, _: np.random.Generator) -> Gray:
    """As many pixels on the shorter side as ``value``, enlarged again."""
    cv2 = _cv2()
    height, width = gray.shape
    scale = value / min(height, width)
    few = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(gray, few, interpolation=cv2.INTER_AREA)
    found: Gray = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return found


def _gray(values: Any) -> Gray:
    found: Gray = np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)
    return found


def _pair(name: str, kind: type[Any] = float) -> Callable[[float], dict[str, Any]]:
    return lambda value: {name: (kind(value), kind(value))}


def _hole(value: float) -> dict[str, Any]:
    return {
        "num_holes_range": (1, 1),
        "hole_height_range": (value, value),
        "hole_width_range": (value, value),
        "fill": "random_uniform",
    }


CORRUPTIONS: Final = (
    Corruption(
        "gaussian noise", "standard deviation, share of the range", (0.05, 0.1, 0.15, 0.22, 0.3),
        _library("GaussNoise", lambda v: {"std_range": (v, v), "per_channel": False}),
    ),
    Corruption(
        "shot noise", "strength", (0.05, 0.1, 0.2, 0.35, 0.5),
        _library("ShotNoise", _pair("scale_range")),
    ),
    Corruption(
        "impulse noise", "share of the pixels", (0.03, 0.07, 0.12, 0.2, 0.3),
        _library("SaltAndPepper", _pair("amount")),
    ),
    Corruption(
        "gaussian blur", "standard deviation, pixels of 64", (1.0, 2.0, 3.0, 4.5, 6.0),
        _library("GaussianBlur", _pair("sigma_limit")),
    ),
    Corruption(
        "defocus", "radius, pixels of 64", (2, 4, 6, 8, 11),
        _library("Defocus", lambda v: {"radius": (int(v), int(v)), "alias_blur": (0.1, 0.1)}),
    ),
    Corruption(
        "motion blur", "length, pixels of 64", (5, 9, 13, 19, 27),
        _library("MotionBlur", _pair("blur_limit", int)),
    ),
    Corruption(
        "jpeg", "quality", (40, 25, 15, 8, 3),
        _library("ImageCompression", _pair("quality_range", int)),
    ),
    Corruption("contrast", "share that is left", (0.5, 0.25, 0.12, 0.07, 0.04), _contrast),
    Corruption("brightness", "share of the range", (0.1, 0.2, 0.3, 0.4, 0.5), _brightness),
    Corruption("pixelation", "pixels on the shorter side", (20, 14, 10, 8, 6), _pixels),
    Corruption("shift", "share of width and height", (0.05, 0.1, 0.15, 0.2, 0.25), _moved(_shift)),
    Corruption("rotation", "degrees", (3, 6, 9, 12, 15), _moved(_rotation)),
    Corruption("shear", "columns per row", (0.1, 0.2, 0.3, 0.4, 0.5), _moved(_shear)),
    Corruption(
        "occlusion", "share of width and height", (0.1, 0.2, 0.3, 0.4, 0.5),
        _library("CoarseDropout", _hole),
    ),
    Corruption(
        "inversion", "gray from which on it is inverted, share of the range",
        (0.8, 0.6, 0.4, 0.2, 0.0), _library("Solarize", _pair("threshold_range")),
    ),
)  # fmt: skip
