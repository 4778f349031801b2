"""Pictures on a terminal: two pixels a character, the upper and the lower half of a block."""

import os
from pathlib import Path
from typing import TextIO

import numpy as np

from edge_runtime.layers import Int8
from edge_runtime.lines import gate_remark, look_alikes_remark, percent
from edge_runtime.scores import MILLION, Prediction

_DARKEST, _LIGHTEST = 232, 255  # the 24 grays of a terminal's 256 colors
_BAR = 24  # characters of a full bar


def shows_pictures(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal with colors and Unicode."""
    plain = os.environ.get("TERM") in (None, "dumb") or os.environ.get("NO_COLOR")
    return stream.isatty() and not plain and "utf" in (stream.encoding or "").lower()


def half_blocks(inputs: Int8) -> list[str]:
    """Rows of text that show a network's input, int8 [height, width, 1] of even height."""
    levels = inputs[..., 0].astype(np.int64) + 128
    grays = _DARKEST + levels * (_LIGHTEST - _DARKEST + 1) // 256
    return [
        "".join(f"\x1b[38;5;{u};48;5;{d}m▀" for u, d in zip(upper, lower, strict=True)) + "\x1b[0m"
        for upper, lower in zip(grays[::2], grays[1::2], strict=True)
    ]


def card(path: Path, inputs: Int8, p: Prediction, threshold: int | None) -> str:
    """The input as the network saw it, and beside it all that it says."""
    width = max(len(label) for label, _ in p.top)
    said = [str(path), ""]
    for label, probability in p.top:
        bar = "█" * round(_BAR * probability / MILLION) or "▏"
        said.append(f"{label:<{width}}  {percent(probability):>7}  {bar}")
    said += ["", look_alikes_remark(p), f"p_real {percent(p.p_real)}", gate_remark(p, threshold)]
    picture = half_blocks(inputs)
    blank = " " * inputs.shape[1]
    picture += [blank] * (len(said) - len(picture))
    said += [""] * (len(picture) - len(said))
    return "\n".join(f"{left}  {right}".rstrip() for left, right in zip(picture, said, strict=True))
