"""Crops of a small alphabet, as a user of `make adapt` would bring."""

from edge_runtime.alphabet import parse_alphabet
from semi_supervised.settings import load_settings
from tests.conftest import draw_character

SYMBOLS = parse_alphabet("0123Ω/")  # four that a digit reader knows, two new ones
GLYPHLESS = "𓀀𓀁"  # no installed font has them
_DATA = ("protocol=few", "added_per_class=2", "synthetic_per_class=4", "validation_share=0.4")
SETTINGS = load_settings("tiny", [f"data.{setting}" for setting in _DATA])


def write_crops(folder, symbols, per_class):
    """A list of crops; a file's name cannot be /, so it is a number."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,label"]
    for i, symbol in enumerate(symbols):
        shown = "AB"[i % 2] if symbol in GLYPHLESS else symbol  # Pillow has no such glyph
        for k in range(per_class[symbol] if isinstance(per_class, dict) else per_class):
            draw_character(shown, 22 + 4 * k, 12 * k, k % 3).save(folder / f"{i}-{k}.png")
            rows.append(f'{i}-{k}.png,"{symbol}"')
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "labels.csv"
