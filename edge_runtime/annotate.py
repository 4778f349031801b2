"""A sheet of images with what was read in them, as one PNG."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from edge_runtime.errors import ImageError
from edge_runtime.files import replacing
from edge_runtime.images import decode_gray, read_image_bytes
from edge_runtime.lines import Answer, percent

MOST_CELLS = 400
_PICTURE = 112  # pixels of an image's longer side
_WIDTH, _HEIGHT, _EDGE = 144, 204, 12
_PAPER, _CARD, _INK, _FAINT = "#eef0f3", "#ffffff", "#1b1f24", "#5d6673"
TONES = {"plain": "#d5d9e0", "good": "#217a3f", "doubtful": "#8f5a00", "bad": "#b92c22"}


@dataclass(frozen=True)
class Cell:
    """One image of a sheet.

    picture : RGB, at most 112 pixels a side; None where the file could not be read
    label, said, note : in large letters; beside them; in small ones below
    tone : color of the frame, one of `TONES`
    """

    picture: Image.Image | None
    label: str
    said: str
    note: str
    tone: str = "plain"


def cell_of(path: Path, answer: Answer, threshold: int | None) -> Cell:
    """Read an image again and put its answer beside it."""
    if isinstance(answer, ImageError):
        return Cell(None, "–", "unreadable", path.name, "bad")
    doubtful = threshold is not None and answer.p_real < threshold
    note = "perhaps no character" if doubtful else path.name
    tone = "doubtful" if doubtful else "plain"
    return Cell(thumbnail(path), answer.label, percent(answer.confidence), note, tone)


def thumbnail(path: Path) -> Image.Image | None:
    """Small picture of a file in its own colors, over white; None if it cannot be read now."""
    try:
        data = read_image_bytes(path)
        gray = decode_gray(data, str(path))  # refuses what is hostile before Pillow sees it
    except ImageError:
        return None
    picture = _in_color(data) or Image.fromarray(gray).convert("RGB")
    scale = _PICTURE / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return picture.resize((width, height), kind)


def _in_color(data: bytes) -> Image.Image | None:
    """Decode over white; None for 16-bit samples, which Pillow clips, and what it cannot read."""
    try:
        picture = Image.open(io.BytesIO(data))
        if picture.mode.startswith(("I", "F")):
            return None
        clear = picture.convert("RGBA")
        clear.thumbnail((4 * _PICTURE, 4 * _PICTURE))  # a huge one is large twice over otherwise
    except (OSError, SyntaxError, ValueError):
        return None
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def draw_sheet(cells: Sequence[Cell], columns: int | None = None, title: str = "") -> Image.Image:
    """Draw cells in rows; nearly square where no number of columns is given."""
    columns = columns or min(16, max(1, math.ceil(math.sqrt(len(cells) * _HEIGHT / _WIDTH))))
    rows = math.ceil(len(cells) / columns)
    top = 64 if title else _EDGE
    sheet = Image.new("RGB", (columns * _WIDTH + 2 * _EDGE, top + rows * _HEIGHT + _EDGE), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((2 * _EDGE, top / 2), title, _INK, _font(24), anchor="lm")
    for i, cell in enumerate(cells):
        x, y = _EDGE + i % columns * _WIDTH, top + i // columns * _HEIGHT
        _draw_cell(sheet, pen, x, y, cell)
    return sheet


def write_sheet(
    path: Path, cells: Sequence[Cell], columns: int | None = None, title: str = ""
) -> None:
    """Draw cells and write the picture in one step."""
    with replacing(path) as temporary:
        draw_sheet(cells, columns, title).save(temporary, "PNG")


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, x: int, y: int, cell: Cell) -> None:
    box = (x + 4, y + 4, x + _WIDTH - 5, y + _HEIGHT - 5)
    width = 1 if cell.tone == "plain" else 3
    pen.rounded_rectangle(box, 10, _CARD, TONES[cell.tone], width)
    if cell.picture is not None:
        at = (
            x + (_WIDTH - cell.picture.width) // 2,
            y + 14 + (_PICTURE - cell.picture.height) // 2,
        )
        sheet.paste(cell.picture, at)
    base = y + 14 + _PICTURE + 28
    pen.text((x + 16, base), drawable(cell.label), _INK, _font(32), anchor="lm")
    pen.text((x + _WIDTH - 16, base), cell.said, _INK, _font(15), anchor="rm")
    note = _shortened(drawable(cell.note), _WIDTH - 28)
    color = _FAINT if cell.tone == "plain" else TONES[cell.tone]
    pen.text((x + 16, y + _HEIGHT - 22), note, color, _font(13), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def drawable(text: str) -> str:
    """Symbols that Pillow's own font may lack become their code: ``U+03A9``."""
    return "".join(c if c.isascii() or c == "–" else f"U+{ord(c):04X}" for c in text)


def _shortened(text: str, width: int) -> str:
    """Cut the middle out of a text that is too wide."""
    font = _font(13)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) // 2, 0, -1):
        shorter = f"{text[:kept]}...{text[-kept:]}"
        if font.getlength(shorter) <= width:
            return shorter
    return "..."
