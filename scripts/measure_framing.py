"""How drawn lines should be framed and how wide they should be: the table of docs/classify.md.

``python scripts/measure_framing.py English/Hnd/Img`` takes Chars74K's hand-drawn characters, which
are black lines on white, widens and frames them in several ways, and prints what share of them the
shipped model reads. It was trained on most of them, so the rows compare ways, not models.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.images import Gray, read_gray
from edge_runtime.recognizer import Recognizer

BUNDLE = Path(__file__).resolve().parents[1] / "models/scene62/scene62.egb"
IMAGES = 1000
WIDER = (0, 2, 10)  # pixels; the lines are about 5 wide, in 128×128
FRAMES = {"square, 83 % filled": None, "tight, 12 % margin": 0.12, "tight, 6 % margin": 0.06}


def main(folder: Path) -> None:
    """Print the table."""
    files = sorted(folder.glob("Sample*/*.png"))
    chosen = np.random.default_rng(0).choice(len(files), min(IMAGES, len(files)), replace=False)
    paths = [files[i] for i in chosen]
    labels = [ALPHABET_62.symbol_of_folder(path.parent.name) for path in paths]
    recognizer = Recognizer.open(BUNDLE)
    rows = []
    for name, margin in FRAMES.items():
        row = [name]
        for wider in WIDER:
            pictures = [frame(widen(read_gray(path), wider), margin) for path in paths]
            read = [p.label for p in recognizer.classify(pictures)]
            right = sum(a == b for a, b in zip(read, labels, strict=True))
            row.append(f"{100 * right / len(paths):.1f} %")
        rows.append(row)
    print(
        tabulate(rows, ["framing", *(f"lines +{wider} px" for wider in WIDER)], tablefmt="github")
    )


def widen(gray: Gray, pixels: int) -> Gray:
    """Make dark lines wider."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pixels + 1, pixels + 1))
    return np.asarray(cv2.erode(gray, kernel), np.uint8)


def frame(gray: Gray, margin: float | None) -> Gray:
    """Leave a picture in its square, or cut it to its ink and a margin, a share of the height."""
    if margin is None:
        return gray
    rows, columns = (np.flatnonzero((gray < 128).any(axis=axis)) for axis in (1, 0))
    room = int(margin * (rows[-1] - rows[0] + 1))
    padded = np.pad(gray, room, constant_values=255)
    return padded[rows[0] : rows[-1] + 2 * room + 1, columns[0] : columns[-1] + 2 * room + 1]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: measure_framing.py English/Hnd/Img")
    main(Path(sys.argv[1]))
