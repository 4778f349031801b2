"""Characters, words and photographs of the ICDAR 2003 robust reading competitions.

Two layouts. Characters: ``char.xml`` lists the files beside it, each with its tag. Photographs:
``words.xml``, ``locations.xml`` and ``segmentation.xml`` give boxes of words in whole pictures, the
last one also where to cut each word into characters (`edge_runtime.icdar2003_crops` does it).
"""

import itertools
import logging
import math
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import SourceError
from edge_runtime.labeled_images import LabeledImage
from edge_runtime.safe_xml import parse_xml

log = logging.getLogger(__name__)

CHARACTERS_XML = "char.xml"
PHOTOGRAPH_XMLS = ("segmentation.xml", "words.xml", "locations.xml")
SOURCE = "icdar2003"
_DEPTH = 2  # folders below the one named by the user in which the XML files are looked for
_TAGS_SHOWN = 40


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels, from the left and the top; it may go past the picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Word:
    """A word's box as it is written in the XML, its tag and the cuts between its characters.

    cuts : x offsets from the box's left side, ascending
    offset : by how many pixels the box leans (italics)
    """

    box: Box
    tag: str = ""
    cuts: tuple[float, ...] = ()
    offset: float = 0.0
    rotation: float = 0.0

    def area(self) -> Box:
        """Upright box that surely holds the word, leaning and rotation included."""
        box = self.box
        more = abs(self.offset)
        if self.rotation:  # about whatever point of the box: nothing is farther than its diagonal
            more += math.hypot(box.width, box.height)
        up = more if self.rotation else 0.0
        return Box(box.x - more, box.y - up, box.width + 2 * more, box.height + 2 * up)

    def characters(self) -> list[tuple[str, Box]]:
        """Cut the box into one box a character; empty where cuts and tag do not fit together."""
        edges = [0.0, *self.cuts, self.box.width]
        parts = list(itertools.pairwise(edges))
        if len(parts) != len(self.tag) or any(a >= b for a, b in parts) or self.rotation:
            return []
        return [
            (symbol, Box(self.box.x + a, self.box.y, b - a, self.box.height))
            for symbol, (a, b) in zip(self.tag, parts, strict=True)
        ]


@dataclass(frozen=True)
class Photograph:
    """A picture file and the boxes of all text in it, from all of the XML files beside it."""

    path: Path
    boxes: tuple[Box, ...]


def find_xml(path: Path) -> list[Path]:
    """List the XML files of ICDAR 2003 at or below ``path``, one for each folder; often none.

    A folder's ``char.xml`` stands before the XML files of its photographs, since the characters
    are already cut there.
    """
    if path.is_file():
        if path.name in PHOTOGRAPH_XMLS:
            return _first_of(path.parent, PHOTOGRAPH_XMLS)
        return [path] if path.suffix.lower() == ".xml" else []
    found = []
    for folder, subfolders, files in os.walk(path, followlinks=True):
        here = Path(folder)
        deep = len(here.relative_to(path).parts) >= _DEPTH
        subfolders[:] = [] if deep else sorted(n for n in subfolders if not n.startswith("."))
        if not {CHARACTERS_XML, *PHOTOGRAPH_XMLS}.isdisjoint(files):
            found += _first_of(here, (CHARACTERS_XML, *PHOTOGRAPH_XMLS))
    return found


def _first_of(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()][:1]


def read_characters(xml: Path) -> list[tuple[Path, str]]:
    """Read ``char.xml``: each character's file and its tag, whatever that is.

    Raises
    ------
    SourceError
        Bad XML, a name that leads out of the folder, missing files, one file with two tags.
    """
    found: dict[Path, str] = {}
    missing = []
    for image in parse_xml(xml).iter("image"):
        name, tag = image.get("file"), image.get("tag")
        if name is None or tag is None:
            raise SourceError(f"{xml}: every <image> needs the attributes file and tag")
        path = xml.parent / _inside(xml, name)
        if found.setdefault(path, tag) != tag:
            raise SourceError(f"{xml}: {name} has the tags {found[path]!r} and {tag!r}")
        if not path.is_file():
            missing.append(name)
    if missing:
        raise SourceError(
            f"{xml}: {len(missing):,} of its {len(found):,} files are missing, the first is "
            f"{missing[0]}; unpack the images beside {xml.name}"
        )
    if not found:
        raise SourceError(f'{xml}: no <image file="char/1/1.jpg" tag="s" /> in it')
    return list(found.items())


def keep_alphabet(
    where: Path, tagged: Iterable[tuple[Path, str]], alphabet: Alphabet
) -> list[LabeledImage]:
    """Keep the characters of the alphabet; count the others, in one line of the log."""
    kept: list[LabeledImage] = []
    others: Counter[str] = Counter()
    for path, tag in tagged:
        if tag in alphabet:
            kept.append(LabeledImage(path, tag, SOURCE))
        else:
            others[tag] += 1
    shown = " ".join(f"{tag!r}×{n}" for tag, n in others.most_common(_TAGS_SHOWN))
    if others:
        count = f"{others.total():,} of {others.total() + len(kept):,}"
        more = " …" if len(others) > _TAGS_SHOWN else ""
        log.info("%s: %s characters are outside the alphabet: %s%s", where, count, shown, more)
    if not kept:
        raise SourceError(f"{where}: none of its characters is in the alphabet (it has {shown})")
    return kept


def read_words(xml: Path) -> dict[Path, list[Word]]:
    """Read one of the photographs' XML files: the words of each picture.

    Raises
    ------
    SourceError
        Bad XML or numbers, a name that leads out of the folder, missing pictures.
    """
    found: dict[Path, list[Word]] = {}
    for image in parse_xml(xml).iter("image"):
        name = (image.findtext("imageName") or "").strip()
        if not name:
            raise SourceError(f"{xml}: an <image> without <imageName>")
        path = xml.parent / _inside(xml, name)
        words = [_word(xml, name, element) for element in image.iter("taggedRectangle")]
        found.setdefault(path, []).extend(words)
    missing = [path for path in found if not path.is_file()]
    if missing:
        raise SourceError(
            f"{xml}: {len(missing):,} of its {len(found):,} photographs are missing, the first is "
            f"{missing[0]}; unpack them beside {xml.name}"
        )
    if not found:
        raise SourceError(f"{xml}: no <image> with <imageName> and <taggedRectangles> in it")
    return found


def _word(xml: Path, name: str, element: ElementTree.Element) -> Word:
    def number(text: str | None) -> float:
        value = float(text or 0)
        if not abs(value) < 1e6:
            raise ValueError(f"{text} is out of range")
        return value

    try:
        x, y, width, height, offset, rotation = (
            number(element.get(key)) for key in ("x", "y", "width", "height", "offset", "rotation")
        )
        cuts = tuple(number(cut.text) for cut in element.iter("xOff"))
    except ValueError as error:
        raise SourceError(f"{xml}: a box of {name}: not a number ({error})") from None
    box = Box(min(x, x + width), min(y, y + height), abs(width), abs(height))
    return Word(box, (element.findtext("tag") or "").strip(), cuts, offset, rotation)


def find_photographs(path: Path) -> list[Photograph]:
    """List the photographs at or below ``path`` with the boxes of all text in them.

    ``path`` is a folder or one of the XML files; the boxes of all XML files beside each other are
    taken together, so that what is outside of them is background.

    Raises
    ------
    SourceError
        No such XML file, or one that cannot be used.
    """
    xmls = [xml for xml in _photograph_xmls(path) if xml.is_file()]
    if not xmls:
        raise SourceError(
            f"{path}: no photographs; expected {', '.join(PHOTOGRAPH_XMLS)} beside them"
        )
    boxes: dict[Path, dict[Box, None]] = {}
    for xml in xmls:
        for photograph, words in read_words(xml).items():
            boxes.setdefault(photograph, {}).update({word.area(): None for word in words})
    return [Photograph(photograph, tuple(found)) for photograph, found in sorted(boxes.items())]


def _photograph_xmls(path: Path) -> list[Path]:
    if path.is_file():
        return [path.parent / name for name in PHOTOGRAPH_XMLS]
    folders = [
        Path(folder)
        for folder, _, files in os.walk(path, followlinks=True)
        if not set(PHOTOGRAPH_XMLS).isdisjoint(files)
    ]
    return [folder / name for folder in sorted(folders) for name in PHOTOGRAPH_XMLS]


def _inside(xml: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SourceError(f"{xml}: the name {name!r} leads out of its folder")
    return path
