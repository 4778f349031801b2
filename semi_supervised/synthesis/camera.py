"""What happens between a painted word and a crop of its photograph."""

import cv2
import numpy as np

from edge_runtime.images import Gray
from semi_supervised.synthesis.lettering import Box, Mask

_MIN_SIDE = 10  # height in pixels of the smallest crop
_MEDIAN_SIDE = 40


def crop_slanted(picture: Mask, box: Box, rng: np.random.Generator) -> Mask:
    """Cut ``box`` out of the picture as seen at a slant: turned, sheared, from the side."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    size = (max(3, round(width)), max(3, round(height)))
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    if rng.random() < 0.85:
        spread = 4.0 if rng.random() < 0.75 else 12.0
        angle = np.deg2rad(np.clip(rng.normal(0, spread), -25, 25))
        shear = rng.normal(0, 0.12 if rng.random() < 0.8 else 0.35)
        turn = np.array([[np.cos(angle), -np.sin(angle) + shear], [np.sin(angle), np.cos(angle)]])
        center = corners.mean(axis=0)
        moved = (corners - center) @ turn.T + center
        moved += rng.normal(0, 0.05, (4, 2)) * (width, height)
        corners = moved.astype(np.float32)
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    seen = cv2.warpPerspective(
        picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.float32)


def photograph(picture: Mask, rng: np.random.Generator) -> Gray:
    """Blur, shrink to a photograph's resolution, add sensor noise and JPEG traces."""
    height, width = picture.shape
    kind = rng.random()
    if kind < 0.7:
        sigma = 0.3 + min(rng.exponential(0.03), 0.15) * height
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
    elif kind < 0.78:
        picture = np.asarray(cv2.filter2D(picture, -1, _motion(height, rng)), np.float32)
    side = max(_MIN_SIDE, _MEDIAN_SIDE * np.exp(rng.normal(0, 0.55)))
    scale = side / height
    if scale < 1:
        size = (max(3, round(width * scale)), max(3, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    noise = np.float32(min(rng.exponential(1.5), 15))
    picture = picture + rng.standard_normal(picture.shape, np.float32) * noise
    gray: Gray = np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
        _, encoded = cv2.imencode(".jpg", gray, quality)
        gray = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return gray


def _motion(height: int, rng: np.random.Generator) -> Mask:
    """Kernel of a camera that moved along a line while the shutter was open."""
    length = int(rng.integers(3, 4 + height // 10))
    kernel: Mask = np.zeros((length, length), np.float32)
    end = [int(v) for v in rng.integers(0, length, 4)]
    cv2.line(kernel, (end[0], end[1]), (end[2], end[3]), 1.0)
    kernel /= kernel.sum()
    return kernel
