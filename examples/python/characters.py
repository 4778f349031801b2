"""From an image file to the network's bytes, and from logits to probabilities, as specified.

docs/preprocessing.md and docs/convert.md of EdgeGlyph say why each step is as it is.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def read_gray(path):
    """Gray pixels of an image file, uint8 [height, width]."""
    image = Image.open(path)
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    rgba = np.asarray(image.convert("RGBA")).astype(np.int64)
    color, alpha = rgba[..., :3], rgba[..., 3:]
    color = (color * alpha + 255 * (255 - alpha) + 127) // 255  # laid over white
    return ((color @ [4899, 9617, 1868] + 8192) >> 14).astype(np.uint8)


def preprocess(gray):
    """The network's input, int8 [1, 32, 32, 1]: exact area resize, then contrast."""

    def overlaps(length):
        cell, pixel = np.arange(32)[:, None] * length, np.arange(length)[None] * 32
        return np.maximum(np.minimum(cell + length, pixel + 32) - np.maximum(cell, pixel), 0)

    height, width = gray.shape
    sums = overlaps(height) @ gray.astype(np.int64) @ overlaps(width).T
    small = (2 * sums + height * width) // (2 * height * width)
    counts = np.bincount(small.ravel(), minlength=256).cumsum()
    low, high = np.argmax(counts * 50 >= 1024), np.argmax(counts * 50 >= 1024 * 49)
    span = high - low
    if span < 8:
        return np.zeros((1, 32, 32, 1), np.int8)
    stretched = np.clip(((small - low) * 255 + span // 2) // span, 0, 255)
    return (stretched - 128).astype(np.int8).reshape(1, 32, 32, 1)


def read_about(folder):
    """What convert.json says of the model in its folder, and the model's path."""
    about = json.loads((Path(folder) / "convert.json").read_text("utf-8"))
    name = next(name for name in about["files"] if not name.endswith(".bin"))
    return about, Path(folder) / name


def answer(about, output):
    """Label, its probability and p_real, of one image's raw output [classes]."""
    logits = (np.asarray(output, np.float64) - about["output"]["zero_point"]) * about["output"][
        "scale"
    ]
    z = logits / about["temperature"]
    log_sum = np.logaddexp.reduce(z)
    best = int(np.argmax(z))
    return about["alphabet"][best], np.exp(z[best] - log_sum), 1 / (1 + np.exp(-log_sum))


def main(run, about, paths):
    """Print a line for each image; ``run`` turns int8 [1, 32, 32, 1] into [1, classes]."""
    for path in paths:
        label, confidence, p_real = answer(about, run(preprocess(read_gray(path)))[0])
        print(f"{path}\t{label}\t{confidence:.6f}\t{p_real:.6f}")
