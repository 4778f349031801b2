"""Text on frames, drawn once by Pillow and then copied: smooth letters at little cost a frame."""

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.annotate import drawable
from edge_runtime.video.geometry import Frame

Mask = npt.NDArray[np.uint8]
Color = tuple[int, int, int]  # blue, green, red


def write_text(
    frame: Frame, text: str, x: float, y: float, size: int, color: Color, anchor: str = "l"
) -> None:
    """Write with the left end, the middle or the right end at x (anchor l, m or r).

    ``y`` is the middle of the capitals. What leaves the frame is cut off.
    """
    mask = text_mask(text, size)
    height, width = mask.shape
    left = round(x - {"l": 0.0, "m": width / 2, "r": float(width)}[anchor])
    top = round(y - height / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(frame.shape[1], left + width), min(frame.shape[0], top + height)
    if x0 >= x1 or y0 >= y1:
        return
    weight = mask[y0 - top : y1 - top, x0 - left : x1 - left, np.newaxis].astype(np.uint16)
    under = frame[y0:y1, x0:x1].astype(np.uint16)
    over = np.array(color, np.uint16)
    frame[y0:y1, x0:x1] = (under * (255 - weight) + over * weight + 127) // 255


def text_width(text: str, size: int) -> int:
    """Width in pixels."""
    return int(text_mask(text, size).shape[1])


def shade(frame: Frame, x: float, y: float, width: float, height: float) -> None:
    """Darken a rectangle to a quarter, so that text on it can be read."""
    x0, y0 = max(0, round(x)), max(0, round(y))
    part = frame[y0 : max(0, round(y + height)), x0 : max(0, round(x + width))]
    part[:] = part // 4


@functools.lru_cache(maxsize=512)
def text_mask(text: str, size: int) -> Mask:
    """Coverage 0 to 255, [height, width]; capitals stand in the middle of the height."""
    font = _font(size)
    shown = drawable(text)
    width = max(1, round(font.getlength(shown)) + 1)
    height = 2 * size
    paper = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(paper)
    _, top, _, bottom = font.getbbox("H")
    pen.text((0, size - (top + bottom) / 2), shown, fill=255, font=font)
    mask = np.asarray(paper).copy()
    mask.setflags(write=False)
    return mask


@functools.lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
