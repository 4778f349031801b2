"""What is gained by framing a cell's character: the table of docs/video.md.

``python scripts/measure_cells.py`` draws digits in cells of a display, in one face of each font
family, and prints what share of them the shipped model reads with the cell as it is and framed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tabulate import tabulate

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.images import Gray
from edge_runtime.recognizer import Recognizer
from edge_runtime.video.ink import framed
from semi_supervised.synthesis.fonts import Face, find_faces, load_face

BUNDLE = Path(__file__).resolve().parents[1] / "models/scene62/scene62.egb"
WIDTH, HEIGHT = 48, 72
FILLED = (0.5, 0.7, 0.85)  # a digit's height, of the cell's
DIGITS = "0123456789"


def main() -> None:
    """Print the table."""
    recognizer = Recognizer.open(BUNDLE)
    faces = list({face.family: face for face in find_faces(ALPHABET_62)}.values())
    ways: dict[str, Callable[[Gray], Gray]] = {"the cell as it is": lambda cell: cell}
    ways["its character framed"] = framed
    rows = []
    for name, way in ways.items():
        row = [name]
        for filled in FILLED:
            rng = np.random.default_rng(0)
            cells = [draw(digit, face, filled, rng) for face in faces for digit in DIGITS]
            read = [p.label for p in recognizer.classify([way(cell) for cell in cells])]
            right = sum(a == b for a, b in zip(read, DIGITS * len(faces), strict=True))
            row.append(f"{100 * right / len(cells):.1f} %")
        rows.append(row)
    heads = [f"n = {len(faces) * len(DIGITS):,}", *(f"{100 * f:.0f} % high" for f in FILLED)]
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True))


def draw(digit: str, face: Face, filled: float, rng: np.random.Generator) -> Gray:
    """A light digit in the middle of a dark cell, or the other way round, with noise."""
    font = load_face(face, 64)
    left, top, right, bottom = font.getbbox(digit)
    glyph = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))), 0)
    ImageDraw.Draw(glyph).text((-left, -top), digit, 255, font=font)
    scale = min(filled * HEIGHT / glyph.height, (WIDTH - 4) / glyph.width)
    size = (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale)))
    cover = np.zeros((HEIGHT, WIDTH))
    y, x = (HEIGHT - size[1]) // 2, (WIDTH - size[0]) // 2
    cover[y : y + size[1], x : x + size[0]] = np.asarray(glyph.resize(size)) / 255
    ink, ground = (230, 30) if rng.random() < 0.5 else (25, 225)
    picture = ground + (ink - ground) * cover + rng.normal(0, 4, cover.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
