"""Draw README's strip, crop to 32×32 to label, with a bundle: ``draw_strip.py BUNDLE OUT.png``."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from edge_runtime.annotate import thumbnail
from edge_runtime.files import replacing
from edge_runtime.images import read_gray
from edge_runtime.lines import percent
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer

SAMPLES = Path(__file__).resolve().parents[1] / "edge_runtime/samples"
# The first letter of our name, a digit, a small letter, and the look-alikes in one picture.
SHOWN = ("upper_E", "digit_5", "lower_g", "upper_O")
_SIDE, _GAP, _EDGE, _HEIGHT = 112, 34, 16, 168
_PAPER, _INK, _FAINT, _ACCENT = "#ffffff", "#17211f", "#55625f", "#0f6b66"


def main(bundle: Path, target: Path) -> None:
    """Draw all samples side by side, each read by the integers."""
    recognizer = Recognizer.open(bundle, "int8")
    wide = 2 * _EDGE + 2 * _SIDE + 2 * _GAP + 78
    strip = Image.new("RGB", (wide * 2, _HEIGHT * 2), _PAPER)
    for number, name in enumerate(SHOWN):
        corner = (wide * (number % 2) + _EDGE, _HEIGHT * (number // 2) + _EDGE)
        _draw(strip, corner, SAMPLES / f"{name}.png", recognizer)
    with replacing(target) as temporary:
        strip.save(temporary, "PNG", optimize=True)


def _draw(strip: Image.Image, corner: tuple[int, int], path: Path, recognizer: Recognizer) -> None:
    x, y = corner
    pen = ImageDraw.Draw(strip)
    crop, gray = thumbnail(path), read_gray(path)
    assert crop is not None, f"{path}: cannot be read"
    strip.paste(crop, (x + (_SIDE - crop.width) // 2, y + (_SIDE - crop.height) // 2))
    seen = Image.fromarray((preprocess(gray)[..., 0].astype("int16") + 128).astype("uint8"))
    second = x + _SIDE + _GAP
    strip.paste(seen.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (second, y))
    (found,) = recognizer.classify([gray])
    third = second + _SIDE + _GAP
    for start in (second, third):
        _arrow(pen, start - _GAP + 7, start - 7, y + _SIDE // 2)
    pen.text((third + 36, y + 42), found.label, _ACCENT, ImageFont.load_default(76), anchor="mm")
    said = ImageFont.load_default(17)
    pen.text((third + 36, y + 102), percent(found.confidence), _INK, said, anchor="mm")
    height, width = gray.shape
    small = ImageFont.load_default(14)
    pen.text((x + _SIDE // 2, y + 128), f"crop, {width} by {height}", _FAINT, small, anchor="mm")
    pen.text((second + _SIDE // 2, y + 128), "int8, 32 by 32", _FAINT, small, anchor="mm")


def _arrow(pen: ImageDraw.ImageDraw, left: int, right: int, y: int) -> None:
    pen.line([(left, y), (right, y)], _FAINT, 2)
    pen.polygon([(right, y), (right - 7, y - 5), (right - 7, y + 5)], _FAINT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
