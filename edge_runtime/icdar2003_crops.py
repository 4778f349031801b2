"""Cut characters and words out of ICDAR 2003's photographs, once, into the cache."""

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from edge_runtime.archives import default_cache
from edge_runtime.files import replacing_folder, write_json, write_text
from edge_runtime.icdar2003 import SOURCE, Box, Word, read_words
from edge_runtime.images import Gray, read_gray

log = logging.getLogger(__name__)

MIN_SIDE = 3  # pixels; a thinner crop shows nothing
_VERSION = 1  # of how crops are cut: another one is cut anew
_COLUMNS = ("file", "label", "source")
_Row = tuple[str, str, str]


def cut_photographs(xml: Path, cache: Path | None = None) -> Path:
    """Cut the characters and words of the photographs that ``xml`` lists; return the folder.

    The folder holds ``characters/characters.csv`` and ``words/words.csv`` (file, label, source)
    with a gray PNG for each row, and ``cut.json`` with what was left out and why. Characters are
    cut where a word's cuts are one fewer than its characters and ascend; what goes past the
    picture is clipped.

    Raises
    ------
    SourceError, ImageError
        XML or photographs that cannot be used. Nothing half-written is left behind.
    """
    photographs = read_words(xml)
    folder = (cache or default_cache()) / f"{xml.parent.name}-cut-{_fingerprint(xml, photographs)}"
    if folder.is_dir():
        log.info("%s: cut before into %s", xml, folder)
        return folder
    with replacing_folder(folder) as temporary:
        cutter = _Cutter(temporary)
        for photograph, found in tqdm(
            photographs.items(), desc="cut", unit="photograph", disable=None, leave=False
        ):
            cutter.cut(read_gray(photograph), found)
        cutter.finish()
    log.info(
        "%s: cut %d characters and %d words into %s; left out: %s",
        xml,
        len(cutter.characters),
        len(cutter.words),
        folder,
        ", ".join(f"{reason} {n}" for reason, n in cutter.left_out.items()) or "none",
    )
    return folder


def read_cut_characters(folder: Path) -> list[tuple[Path, str]]:
    """List the characters of a folder of `cut_photographs`: each one's file and tag."""
    table = folder / "characters/characters.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        return [(table.parent / row["file"], row["label"]) for row in csv.DictReader(stream)]


class _Cutter:
    """Writes the crops of one picture after the other below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.characters: list[_Row] = []
        self.words: list[_Row] = []
        self.left_out: Counter[str] = Counter()
        self._seen = 0
        for kind in ("characters", "words"):
            (folder / kind).mkdir()

    def cut(self, gray: Gray, words: list[Word]) -> None:
        for word in words:
            stem = f"{self._seen:05d}"
            self._seen += 1
            if word.rotation or not word.tag:
                self.left_out["words that are rotated" if word.tag else "words without tag"] += 1
                continue
            if self._save("words", stem, gray, word.box):
                self.words.append((f"{stem}.png", word.tag, SOURCE))
            parts = word.characters()
            if not parts:
                self.left_out["words whose cuts do not fit the tag"] += 1
            for i, (symbol, box) in enumerate(parts):
                if self._save("characters", f"{stem}-{i:02d}", gray, box):
                    self.characters.append((f"{stem}-{i:02d}.png", symbol, SOURCE))

    def _save(self, kind: str, stem: str, gray: Gray, box: Box) -> bool:
        crop = clip(gray, box)
        if min(crop.shape) < MIN_SIDE:
            self.left_out[f"{kind} below {MIN_SIDE} pixels or outside the picture"] += 1
            return False
        Image.fromarray(crop).save(self.folder / kind / f"{stem}.png")
        return True

    def finish(self) -> None:
        """Write the tables."""
        for kind, rows in (("characters", self.characters), ("words", self.words)):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([_COLUMNS, *rows])
            write_text(self.folder / kind / f"{kind}.csv", text.getvalue())
        counts = {"characters": len(self.characters), "words": len(self.words)}
        write_json(self.folder / "cut.json", {"schema": 1, **counts, "left_out": self.left_out})


def clip(gray: Gray, box: Box) -> Gray:
    """Return the part of a picture, uint8 [height, width], that a box covers; it may be empty."""
    height, width = gray.shape
    left, right = (min(max(round(v), 0), width) for v in (box.x, box.x + box.width))
    top, bottom = (min(max(round(v), 0), height) for v in (box.y, box.y + box.height))
    return gray[top:bottom, left:right]


def _fingerprint(xml: Path, photographs: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{_VERSION}\n".encode() + xml.read_bytes())
    for path in photographs:
        status = path.stat()
        digest.update(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]
