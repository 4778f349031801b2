"""Draw the images that `make test` climbs the exactness ladder with: ``ladder_images.py FOLDER``.

One character of each of the 62 classes, and pictures that drive sums to their bounds, make logits
tie, or lie at the limits of preprocessing: flat, faint, saturated, one pixel, very long, noise.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.files import replacing_folder
from semi_supervised.synthesis import Synthesizer
from semi_supervised.synthesis.fonts import find_faces

SEED = 20160610


def hostile() -> dict[str, np.ndarray]:
    """Pictures by name, uint8 [height, width]."""
    rng = np.random.default_rng(SEED)
    y, x = np.mgrid[:32, :32]
    dot = np.zeros((32, 32), np.uint8)
    dot[5, 7] = 255
    pictures = {
        "black": np.zeros((40, 30), np.uint8),
        "white": np.full((40, 30), 255, np.uint8),
        "one-pixel": np.full((1, 1), 77, np.uint8),
        "one-row": rng.integers(0, 256, (1, 300)).astype(np.uint8),
        "one-column": rng.integers(0, 256, (999, 1)).astype(np.uint8),
        "checkerboard": ((x + y) % 2 * 255).astype(np.uint8),
        "stripes": (x // 4 % 2 * 255).astype(np.uint8),
        "dot": dot,
        "ramp": np.tile(np.arange(256, dtype=np.uint8), (64, 1)),
    }
    for contrast in (6, 7, 8, 9):  # on both sides of what counts as flat
        pictures[f"faint-{contrast}"] = (100 + x % 2 * contrast).astype(np.uint8)
    for i in range(20):
        shape = rng.integers(1, 90, 2)
        pictures[f"noise-{i:02d}"] = rng.integers(0, 256, shape).astype(np.uint8)
        pictures[f"two-values-{i:02d}"] = rng.choice(np.array([0, 255], np.uint8), shape)
    return pictures


def main() -> int:
    """Draw all into one folder of classes."""
    output = Path(sys.argv[1])
    drawing = Synthesizer(ALPHABET_62, find_faces(ALPHABET_62), SEED)
    with replacing_folder(output) as folder:
        for number in range(len(ALPHABET_62)):
            _write(folder / f"Sample{number + 1:03d}", "drawn", drawing.draw(number))
        for name, picture in hostile().items():
            _write(folder / "Sample001", name, picture)
    return 0


def _write(folder: Path, name: str, picture: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(picture).save(folder / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
