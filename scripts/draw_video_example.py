"""Draw docs/video.png: a drawn scene with a meter, a plate and a slanted display, as it is read.

    python scripts/draw_video_example.py --output docs/video.png

Everything is drawn with Pillow's own font; nothing is photographed.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.__main__ import main as edge_runtime
from edge_runtime.files import replacing

_WIDTH, _HEIGHT = 800, 450
_FRAMES, _CHANGE = 40, 20
_CORNERS = [[440, 90], [745, 150], [735, 245], [430, 175]]
_FIELDS = f"""
[[field]]
name = "meter"
box = [60, 120, 330, 84]
cells = 6
allow = "digits"

[[field]]
name = "plate"
box = [55, 300, 340, 96]
contours = true

[[field]]
name = "display"
corners = {_CORNERS}
cells = 5
allow = "digits"
"""


def main() -> None:
    """Draw a video, read it, and keep its last frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/scene62/scene62.egb"))
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fields.toml").write_text(_FIELDS)
        _write(folder / "scene.avi")
        arguments = [folder / "scene.avi", "--roi", folder / "fields.toml"]
        arguments += ["--output", folder / "read.mkv", "--bundle", options.bundle]
        if edge_runtime(["video", *map(str, arguments)]):
            raise SystemExit("the video could not be read")
        capture = cv2.VideoCapture(str(folder / "read.mkv"))
        last = None
        while (found := capture.read())[0]:
            last = found[1]
        assert last is not None
        with replacing(options.output) as temporary:
            Image.fromarray(last[..., ::-1]).save(temporary, "PNG", optimize=True)


def _write(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (_WIDTH, _HEIGHT))
    rng = np.random.default_rng(0)
    for i in range(_FRAMES):
        scene = np.asarray(_scene("004711" if i < _CHANGE else "004712"))[..., ::-1]
        noise = rng.normal(0, 3, scene.shape)
        writer.write(np.clip(scene + noise, 0, 255).astype(np.uint8))
    writer.release()


def _scene(count: str) -> Image.Image:
    """The meter shows ``count``."""
    scene = Image.new("RGB", (_WIDTH, _HEIGHT), (132, 138, 134))
    pen = ImageDraw.Draw(scene)
    pen.rectangle((48, 108, 402, 216), fill=(84, 88, 86))
    for i, digit in enumerate(count):
        left = 60 + 55 * i
        pen.rectangle((left + 1, 120, left + 53, 203), fill=(24, 24, 26))
        _middle(pen, digit, left + 27, 162, 58, (238, 238, 232))
    pen.rounded_rectangle((60, 305, 390, 391), 8, (244, 244, 240), (20, 20, 20), 4)
    _middle(pen, "HK 4729", 225, 348, 60, (18, 18, 18))
    display = Image.new("RGB", (300, 90), (18, 42, 30))
    for i, digit in enumerate("83625"):
        _middle(ImageDraw.Draw(display), digit, 30 + 60 * i, 45, 64, (120, 240, 150))
    pixels = np.asarray(display)
    square = np.array([(0, 0), (300, 0), (300, 90), (0, 90)], np.float32)
    into = cv2.getPerspectiveTransform(square, np.array(_CORNERS, np.float32))
    slanted = cv2.warpPerspective(pixels, into, (_WIDTH, _HEIGHT))
    where = cv2.warpPerspective(np.full((90, 300), 255, np.uint8), into, (_WIDTH, _HEIGHT))
    scene.paste(Image.fromarray(slanted), (0, 0), Image.fromarray(where))
    return scene


def _middle(
    pen: ImageDraw.ImageDraw, text: str, x: int, y: int, size: int, color: tuple[int, int, int]
) -> None:
    pen.text((x, y), text, color, ImageFont.load_default(size), anchor="mm")


if __name__ == "__main__":
    main()
