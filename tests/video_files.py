"""Small videos of drawn characters, and what stands in them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 240, 120
METER = (20, 30, 200, 60)  # x, y, width, height
ROI = "meter=20,30,200,60:cells=5"
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "FFV1"}


def meter(text: str, ink: int = 235, ground: int = 30, size: tuple[int, int] = (WIDTH, HEIGHT)):
    """A meter of equal cells, in Pillow's own font; a space is an empty cell. RGB."""
    image = Image.new("RGB", size, (120, 125, 130))
    pen = ImageDraw.Draw(image)
    x, y, width, height = METER
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=(ground,) * 3)
    font = ImageFont.load_default(44)
    for i, symbol in enumerate(text):
        middle = (x + (i + 0.5) * width / len(text), y + height / 2)
        pen.text(middle, symbol, fill=(ink,) * 3, font=font, anchor="mm")
    return image


def noisy(images: Iterable[Image.Image], seed: int = 0) -> list[np.ndarray]:
    """The images as frames, blue first, with a camera's noise."""
    rng = np.random.default_rng(seed)
    frames = []
    for image in images:
        pixels = np.asarray(image)[..., ::-1] + rng.normal(0, 3, (image.height, image.width, 3))
        frames.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return frames


def write_video(path: Path, frames: Sequence[np.ndarray], rate: float = 25.0) -> Path:
    """Encode frames; odd sides only as OpenCV's own Motion JPEG, at whole rates."""
    height, width = frames[0].shape[:2] if frames else (HEIGHT, WIDTH)
    odd = width % 2 or height % 2
    writer = cv2.VideoWriter(
        str(path),
        cv2.CAP_OPENCV_MJPEG if odd else cv2.CAP_FFMPEG,
        cv2.VideoWriter.fourcc(*CODECS[path.suffix]),
        rate,
        (width, height),
    )
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def read_video(path: Path) -> tuple[list[np.ndarray], float]:
    """All frames, by decoding them, and the rate."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        found, frame = capture.read()
        if not found:
            break
        frames.append(frame)
    return frames, capture.get(cv2.CAP_PROP_FPS)
