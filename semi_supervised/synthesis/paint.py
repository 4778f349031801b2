"""Gray levels: ground, shadow, outline, ink, relief."""

import cv2
import numpy as np

from semi_supervised.synthesis.lettering import Mask


def paint(ink: Mask, rng: np.random.Generator) -> Mask:
    """Paint a piece of lettering: float32 [height, width], gray levels about 0..255.

    Ink and ground lie at least 25 levels apart, in either polarity.
    """
    contrast = rng.uniform(25, 225)
    dark = rng.uniform(0, 255 - contrast)
    light = dark + contrast
    level, ground = (dark, light) if rng.random() < 0.5 else (light, dark)
    picture = paint_ground(ink.shape, ground, contrast, rng)
    style = rng.random()
    if style < 0.14:
        picture = _over(picture, _shadow(ink, rng), rng.uniform(0, 255), rng.uniform(0.3, 1))
    elif style < 0.19:
        picture = _over(picture, _extruded(ink, rng), rng.uniform(0, 255), rng.uniform(0.5, 1))
    elif style < 0.30:
        picture = _over(picture, _wider(ink, rng), rng.uniform(0, 255), rng.uniform(0.5, 1))
    elif style < 0.34:  # hollow letters: their outline is the ink
        rim = _wider(ink, rng)
        hollow = np.maximum(rim - ink, 0)
        inside = rng.uniform(0, 1) * (level - ground) * 0.4
        return np.asarray(picture + inside * ink + (level - picture) * hollow, np.float32)
    inked = np.float32(level) + _shading(ink.shape, rng) * np.float32(
        rng.uniform(0, 0.25) * contrast
    )
    picture = picture + (inked - picture) * ink
    if rng.random() < 0.08:
        picture = picture + _relief(ink, rng) * np.float32(rng.uniform(0.2, 0.8) * contrast)
    if rng.random() < 0.12:
        picture = picture * _cast_shadow(ink.shape, rng)
    return np.asarray(picture, np.float32)


def paint_ground(
    shape: tuple[int, int], level: float, contrast: float, rng: np.random.Generator
) -> Mask:
    """What is behind: plain, shaded, cloudy, striped, or with the edge of a panel in it."""
    picture = np.full(shape, level, np.float32)
    picture += _shading(shape, rng) * np.float32(rng.uniform(0, 0.2) * contrast)
    kind = rng.random()
    if kind < 0.12:
        picture += _edge(shape, rng) * np.float32(rng.uniform(-1, 1) * contrast)
    elif kind < 0.2:
        picture += _stripes(shape, rng) * np.float32(rng.uniform(0.05, 0.4) * contrast)
    elif kind < 0.35:
        picture += _grain(shape, rng) * np.float32(rng.uniform(0.05, 0.35) * contrast)
    return picture


def _over(picture: Mask, mask: Mask, level: float, opacity: float) -> Mask:
    return picture + (np.float32(level) - picture) * (mask * np.float32(opacity))


def _moved(mask: Mask, dx: float, dy: float) -> Mask:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    height, width = mask.shape
    return np.asarray(cv2.warpAffine(mask, matrix, (width, height)), np.float32)


def _shadow(ink: Mask, rng: np.random.Generator) -> Mask:
    dx, dy = rng.uniform(-4, 4, 2)
    shadow = _moved(ink, dx, dy)
    if rng.random() < 0.5:
        shadow = np.asarray(cv2.blur(shadow, (3, 3)), np.float32)
    return shadow


def _extruded(ink: Mask, rng: np.random.Generator) -> Mask:
    """Letters with depth: the ink moved step by step in one direction."""
    angle = rng.uniform(0, 2 * np.pi)
    depth = ink
    for k in range(1, int(rng.integers(3, 7))):
        depth = np.maximum(depth, _moved(ink, k * np.cos(angle), k * np.sin(angle)))
    return depth


def _wider(ink: Mask, rng: np.random.Generator) -> Mask:
    size = int(rng.integers(3, 8))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(ink, kernel), np.float32)


def _relief(ink: Mask, rng: np.random.Generator) -> Mask:
    """Light on one side of the strokes, shade on the other, -1..1."""
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = 1.5 * np.cos(angle), 1.5 * np.sin(angle)
    return np.asarray(_moved(ink, dx, dy) - _moved(ink, -dx, -dy), np.float32)


def _shading(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Smooth light and dark, about -1..1: a gradient or cloudy spots."""
    cells = int(rng.integers(2, 7))
    coarse = rng.normal(0, 0.5, (cells, cells)).astype(np.float32)
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _grain(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Rough stone, plaster, bark: noise of one to five pixels, about -1..1."""
    fine = rng.uniform(1, 5)
    cells = (max(2, round(shape[0] / fine)), max(2, round(shape[1] / rng.uniform(1, fine + 1))))
    coarse = rng.standard_normal(cells, np.float32)
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _ramp(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Signed distance in pixels from a random line through the middle part."""
    angle = rng.normal(0, 0.15) + (np.pi / 2) * rng.integers(0, 4)
    x = np.arange(shape[1], dtype=np.float32) - np.float32(rng.uniform(0, 1) * shape[1])
    y = np.arange(shape[0], dtype=np.float32) - np.float32(rng.uniform(0, 1) * shape[0])
    return np.float32(np.cos(angle)) * x[None, :] + np.float32(np.sin(angle)) * y[:, None]


def _edge(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """0 on one side of a line, 1 beyond it, or on the line only: a panel's border."""
    ramp = _ramp(shape, rng)
    if rng.random() < 0.4:
        return np.asarray(np.abs(ramp) < rng.uniform(1, 4), np.float32)
    return np.clip(ramp, 0, 1)


def _stripes(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    return np.asarray(np.sin(_ramp(shape, rng) * np.float32(2 * np.pi / rng.uniform(4, 20))))


def _cast_shadow(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Factor of brightness: something stands in the light on one side of a line."""
    soft = np.clip(_ramp(shape, rng) / np.float32(rng.uniform(1, 12)), 0, 1)
    return np.asarray(1 - np.float32(rng.uniform(0.2, 0.6)) * soft, np.float32)
