"""Draw characters as they look when cut out of a photographed word.

A glyph with its neighbours is drawn by FreeType, seen at a slant, painted in two gray levels
over an uneven ground, blurred, shrunk, and given noise and JPEG traces. Image i depends on the
seed and on i alone.
"""

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edge_runtime.alphabet import Alphabet
from edge_runtime.files import write_bytes
from edge_runtime.images import Gray
from semi_supervised.fonts import Face, load_face

_FONT_SIZE = 56  # pixels an em is drawn at
_MIN_SIDE, _MAX_SIDE = 14, 64  # height of the finished crop, pixels

Mask = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Synthesizer:
    """Draws image i of an endless, seeded series; class ``i % len(alphabet)``."""

    alphabet: Alphabet
    faces: tuple[Face, ...]
    seed: int

    def label(self, i: int) -> str:
        """Symbol that image ``i`` shows."""
        return self.alphabet.symbols[i % len(self.alphabet)]

    def draw(self, i: int) -> Gray:
        """Draw image ``i``: uint8 [height, width], 14 to 64 pixels high."""
        rng = np.random.default_rng([self.seed, i])
        face = self._pick_face(rng)
        mask = _slant(_draw_glyphs(self.label(i), self._neighbours(rng), face, rng), rng)
        return _photograph(_paint(mask, rng), rng)

    def _pick_face(self, rng: np.random.Generator) -> Face:
        # A family first: one with eighteen files should not be seen eighteen times as often.
        faces = self._families[rng.integers(len(self._families))]
        return faces[rng.integers(len(faces))]

    @functools.cached_property
    def _families(self) -> list[list[Face]]:
        names = sorted({face.family for face in self.faces})
        return [[face for face in self.faces if face.family == name] for name in names]

    def _neighbours(self, rng: np.random.Generator) -> tuple[str, str]:
        symbols = self.alphabet.symbols
        before, after = (
            symbols[rng.integers(len(symbols))] if rng.random() < 0.6 else "" for _ in range(2)
        )
        return before, after


def _draw_glyphs(
    symbol: str, neighbours: tuple[str, str], face: Face, rng: np.random.Generator
) -> Mask:
    """Ink in 0..1 of one symbol, cropped with uneven margins into which neighbours may reach."""
    font = load_face(face, _FONT_SIZE)
    before, after = neighbours
    start = font.getlength(before) if before else 0.0
    spacing = rng.uniform(-0.02, 0.12) * _FONT_SIZE
    left, top, right, bottom = font.getbbox(symbol)
    height, width = bottom - top, right - left
    low, high = -0.04 * height, 0.22 * height
    margins = rng.uniform(low, high, 4) * (1.0, 1.0, 0.6, 0.6)  # left, right, top, bottom
    origin = start + spacing if before else 0.0
    pad = 2 * _FONT_SIZE
    canvas = Image.new("L", (int(origin + width + 3 * pad), int(bottom + 2 * pad)), 0)
    pen = ImageDraw.Draw(canvas)
    if before:
        pen.text((pad, pad), before, fill=255, font=font)
    pen.text((pad + origin, pad), symbol, fill=255, font=font)
    if after:
        pen.text((pad + origin + font.getlength(symbol) + spacing, pad), after, fill=255, font=font)
    x0 = int(pad + origin + left - margins[0])
    x1 = max(x0 + 3, int(pad + origin + right + margins[1]))
    y0 = int(pad + top - margins[2])
    y1 = max(y0 + 3, int(pad + bottom + margins[3]))
    crop = np.asarray(canvas)[max(y0, 0) : y1, max(x0, 0) : x1]
    return crop.astype(np.float32) / np.float32(255)


def _slant(mask: Mask, rng: np.random.Generator) -> Mask:
    """Rotate, shear and see from the side: every corner moves by up to a tenth."""
    if rng.random() < 0.25:
        return mask
    height, width = mask.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    angle = np.deg2rad(rng.normal(0, 5))
    shear = rng.normal(0, 0.12)
    center = np.array([width / 2, height / 2], np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle) + shear], [np.sin(angle), np.cos(angle)]])
    moved = (corners - center) @ turn.T.astype(np.float32) + center
    moved += rng.normal(0, 0.04, (4, 2)) * (width, height)
    moved = moved.astype(np.float32)
    low, high = moved.min(axis=0), moved.max(axis=0)
    # Keep the box of the moved corners, pulled in a little: crops are cut tightly.
    low, high = low + 0.25 * (corners[0] - low), high + 0.25 * (corners[2] - high)
    size = np.maximum(np.round(high - low), 3).astype(int)
    matrix = cv2.getPerspectiveTransform(corners, moved - low.astype(np.float32))
    warped = cv2.warpPerspective(mask, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.float32)


def _paint(mask: Mask, rng: np.random.Generator) -> Mask:
    """Ink and ground in gray levels 0..255, at least 30 apart, either polarity."""
    height, width = mask.shape
    contrast = rng.uniform(30, 220)
    dark = rng.uniform(0, 255 - contrast)
    ink, ground = (dark, dark + contrast) if rng.random() < 0.5 else (dark + contrast, dark)
    picture = np.full(mask.shape, ground, np.float32)
    picture += _unevenness(height, width, rng) * rng.uniform(0, 0.35) * contrast
    if rng.random() < 0.3:  # a shadow or a rim
        shift = rng.integers(-3, 4, 2)
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        rim = mask
        if rng.random() < 0.5:
            size = int(rng.integers(2, 5))
            rim = np.asarray(cv2.dilate(mask, np.ones((size, size), np.uint8)), np.float32)
        shadow = cv2.warpAffine(rim, matrix, (width, height))
        level = rng.uniform(0, 255)
        picture += (level - picture) * shadow * rng.uniform(0.2, 0.8)
    inked = np.float32(ink) + _unevenness(height, width, rng) * rng.uniform(0, 0.2) * contrast
    return np.asarray(picture + (inked - picture) * mask, np.float32)


def _unevenness(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Smooth light and dark, about -1..1: a gradient or cloudy spots."""
    cells = int(rng.integers(2, 7))
    coarse = rng.normal(0, 0.5, (cells, cells)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def _photograph(picture: Mask, rng: np.random.Generator) -> Gray:
    """Blur, shrink, add sensor noise and JPEG traces."""
    height, width = picture.shape
    if rng.random() < 0.5:
        sigma = rng.uniform(0.3, 0.05 * height + 0.3)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
    elif rng.random() < 0.2:  # the camera moved
        length = int(rng.integers(2, 3 + height // 12))
        kernel = np.zeros((length, length), np.float32)
        end = rng.integers(0, length, 4)
        cv2.line(kernel, (int(end[0]), int(end[1])), (int(end[2]), int(end[3])), 1.0)
        picture = np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)
    side = np.exp(rng.uniform(np.log(_MIN_SIDE), np.log(_MAX_SIDE)))
    scale = min(side / height, 1.0)
    size = (max(3, round(width * scale)), max(3, round(height * scale)))
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    picture += rng.normal(0, rng.uniform(0, 9), picture.shape).astype(np.float32)
    gray = np.clip(np.round(picture), 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        _, encoded = cv2.imencode(".jpg", gray, quality)
        gray = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return gray


def write_characters(
    synthesizer: Synthesizer, count: int, folder: Path, workers: int
) -> Iterator[Path]:
    """Write images 0..count-1 as ``folder/SampleNNN/NNNNNN.png``; yield each path when it is there.

    Images that exist already are kept, so that an interrupted run goes on where it was.
    """
    paths = [_path_of(synthesizer, i, folder) for i in range(count)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    yield from (path for path in paths if path.exists())
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    chunks = [missing[k : k + 256] for k in range(0, len(missing), 256)]
    with context.Pool(workers) as pool:
        jobs = [(synthesizer, chunk, folder) for chunk in chunks]
        for done in pool.imap(_write_some, jobs):
            yield from done


def _path_of(synthesizer: Synthesizer, i: int, folder: Path) -> Path:
    name = synthesizer.alphabet.folder_of_symbol(synthesizer.label(i))
    return folder / name / f"{i:06d}.png"


def _write_some(job: tuple[Synthesizer, Sequence[int], Path]) -> list[Path]:
    synthesizer, indices, folder = job
    cv2.setNumThreads(1)
    written = []
    for i in indices:
        path = _path_of(synthesizer, i, folder)
        _, encoded = cv2.imencode(".png", synthesizer.draw(i), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        write_bytes(path, encoded.tobytes())
        written.append(path)
    return written
