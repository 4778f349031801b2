"""Draw the sample crops that come with the project: ``python scripts/draw_samples.py FOLDER``.

One picture of each of the 62 characters and two of what is none, from open-license fonts, in
colors, as cut from signs: turned and slanted a little, some blurred, with a camera's noise. Which
they are depends on the seed alone; nobody chose among them.
"""

import colorsys
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.files import replacing
from semi_supervised.synthesis.camera import crop_slanted
from semi_supervised.synthesis.fonts import find_faces
from semi_supervised.synthesis.lettering import Mask, crop_box, cut_out, set_word
from semi_supervised.synthesis.synthesizer import Synthesizer

SEED = 8
NO_CHARACTERS = {"other_ampersand": ["&"], "other_two": ["R", "k"]}
_CONTRAST = 90  # least difference of gray between ink and ground
_TO_GRAY = np.array([0.299, 0.587, 0.114])

Picture = npt.NDArray[np.uint8]  # RGB


def main(folder: Path) -> None:
    """Write all pictures into ``folder``, which need not be there yet."""
    synthesizer = Synthesizer(ALPHABET_62, find_faces(ALPHABET_62), SEED)
    wanted = {name_of(symbol): [symbol] for symbol in ALPHABET_62.symbols} | NO_CHARACTERS
    for number, (name, symbols) in enumerate(wanted.items()):
        picture = draw(symbols, synthesizer, np.random.default_rng([SEED, number]))
        with replacing(folder / f"{name}.png") as temporary:
            _, encoded = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
            temporary.write_bytes(encoded.tobytes())


def name_of(symbol: str) -> str:
    """File name that tells case apart where the file system does not: ``upper_A``."""
    kind = "digit" if symbol.isdigit() else "upper" if symbol.isupper() else "lower"
    return f"{kind}_{symbol}"


def draw(symbols: list[str], synthesizer: Synthesizer, rng: np.random.Generator) -> Picture:
    """Draw symbols in a row, as one crop: uint8 RGB [height, width, 3]."""
    word = set_word(symbols, synthesizer.pick_face(rng), rng)
    left, right = word.boxes[0][0], word.boxes[-1][2]
    top, bottom = min(box[1] for box in word.boxes), max(box[3] for box in word.boxes)
    around = crop_box((left, top, right, bottom), rng)
    wide = (min(around[0], left - 2), min(around[1], top - 2))
    wide += (max(around[2], right + 2), max(around[3], bottom + 2))
    ink = crop_slanted(*cut_out(word, wide), rng)
    return photograph(ink, *_colors(rng), rng)


def photograph(
    ink: Mask,
    color: npt.NDArray[np.float64],
    ground: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> Picture:
    """Paint in two colors with a little shade, blur and noise."""
    height, width = ink.shape
    cover = np.clip(ink, 0, 1)[..., np.newaxis]
    picture = color * cover + ground * (1 - cover)
    slope = np.linspace(-1, 1, height)[:, np.newaxis] * rng.normal(0, 14)
    slope = slope + np.linspace(-1, 1, width) * rng.normal(0, 14)
    picture = (picture + slope[..., np.newaxis]).astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 + rng.exponential(0.5)), np.float32)
    picture += rng.normal(0, 1 + rng.exponential(2.0), picture.shape).astype(np.float32)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def _colors(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ink and ground, far enough apart in gray."""
    while True:
        pair = [
            255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.random() ** 1.5, rng.random()))
            for _ in range(2)
        ]
        if abs((pair[0] - pair[1]) @ _TO_GRAY) > _CONTRAST:
            return pair[0], pair[1]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: draw_samples.py FOLDER")
    main(Path(sys.argv[1]))
