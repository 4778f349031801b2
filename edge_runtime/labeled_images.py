"""Find labeled images: the official Chars74K layout, class folders, a CSV, a list file.

One reader for training, calibration and evaluation. Nothing is decoded here, so that a folder
of a million images is listed in seconds.
"""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.alphabet import FOLDER_FORMS, Alphabet
from edge_runtime.errors import LabelError
from edge_runtime.images import IMAGE_SUFFIXES

# Folders of the official Chars74K archives and the kind of character that each holds. The images of
# English/Hnd are in English/Hnd/Img, so Img is looked for last.
_CHARS74K_SOURCES = {"Hnd": "hand", "Fnt": "font", "Img": "scene"}
_NOT_IMAGES = frozenset({"Msk", "Trj"})  # masks and pen strokes of Chars74K
_WITHOUT_LABEL = frozenset({"unlabeled", "excluded"})  # splits whose label, if any, is not used


@dataclass(frozen=True)
class LabeledImage:
    """One image file, its label, the kind of source it is from and, in a manifest, its split."""

    path: Path
    label: str
    source: str
    split: str = ""
    sha256: str = ""


def find_labeled_images(
    path: Path,
    alphabet: Alphabet,
    split: str | None = None,
    problems: list[str] | None = None,
) -> list[LabeledImage]:
    """List the labeled images of a source, sorted by file name.

    Parameters
    ----------
    path : a folder with class folders (any depth, as in the Chars74K archives), a ``.csv`` with
        the header ``file,label`` (a manifest is one), or a text file of ``path label`` lines;
        relative names count from the file's own folder.
    alphabet : labels must be symbols of it.
    split : keep only this split of a manifest ("train", "validation", "test", "unlabeled").
        Without one, all but what is "excluded" or "unlabeled".
    problems : where given, all images of all splits are listed, and folders and lines that cannot
        be are told here instead of raised, for audits

    Raises
    ------
    LabelError
        Missing path, no images, a label outside the alphabet, one file with two labels.
    """
    if path.is_dir():
        if split is not None:
            raise LabelError(f"{path}: is a folder; only a manifest has the split {split!r}")
        images = list(_from_folder(path, alphabet, problems))
    elif path.is_file():
        rows = _from_csv(path) if path.suffix.lower() == ".csv" else _from_list(path)
        images = _checked(path, rows, alphabet, problems)
        if split is not None:
            images = select_split(path, images, split)
        elif problems is None:
            images = [image for image in images if image.split not in _WITHOUT_LABEL]
    else:
        raise LabelError(f"{path}: no such file or folder")
    if not images and not problems:
        raise LabelError(
            f"{path}: no labeled images found; expected class folders named {FOLDER_FORMS}, "
            "a .csv with the header file,label or a list of 'path label' lines"
        )
    return sorted(images, key=lambda image: str(image.path))


def read_manifest(path: Path, alphabet: Alphabet) -> list[LabeledImage]:
    """All rows of a manifest, whatever their split, sorted by file name."""
    if not path.is_file():
        raise LabelError(f"{path}: no such file; `make data` writes a manifest")
    return sorted(_checked(path, _from_csv(path), alphabet), key=lambda image: str(image.path))


def select_split(path: Path, images: list[LabeledImage], split: str) -> list[LabeledImage]:
    """Keep one split of a manifest's images; `LabelError` (naming ``path``) where it has none."""
    known = sorted({image.split for image in images} - {""})
    if not known:
        raise LabelError(f"{path}: has no column 'split'; `make data` writes a manifest with one")
    chosen = [image for image in images if image.split == split]
    if not chosen:
        raise LabelError(f"{path}: no image of split {split!r}; it has {', '.join(known)}")
    return chosen


def visible_folders(names: Iterable[str]) -> list[str]:
    """Sort the names of folders to look into: not the hidden ones, masks and pen strokes."""
    return sorted(name for name in names if name not in _NOT_IMAGES and not name.startswith("."))


def image_names(names: Iterable[str]) -> list[str]:
    """Sort the names of image files, leaving out hidden ones."""
    return sorted(
        name
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
    )


def _from_folder(
    root: Path, alphabet: Alphabet, problems: list[str] | None
) -> Iterator[LabeledImage]:
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = visible_folders(subfolders)
        names = image_names(files)
        here = Path(folder)
        try:
            symbol = _class_of(here, names, alphabet, empty=not files and not subfolders)
        except LabelError as error:
            _tell(error, problems)
            continue
        if symbol is None:
            continue
        source = _source_of(here)
        for name in names:
            yield LabeledImage(here / name, symbol, source)


def _class_of(folder: Path, names: list[str], alphabet: Alphabet, empty: bool) -> str | None:
    """Symbol of a folder with images; None for one that only holds folders."""
    if not names:
        if empty and _symbol_of(folder, alphabet):
            raise LabelError(f"{folder}: this class folder is empty; fill it or remove it")
        return None
    symbol = _symbol_of(folder, alphabet)
    if symbol is None:
        raise LabelError(
            f"{folder}: holds {names[0]} but its name is no class; name it {FOLDER_FORMS}"
        )
    return symbol


def _tell(error: LabelError, problems: list[str] | None) -> None:
    """Raise an error, or only note it where problems are collected."""
    if problems is None:
        raise error
    problems.append(str(error))


def _symbol_of(folder: Path, alphabet: Alphabet) -> str | None:
    try:
        return alphabet.symbol_of_folder(folder.name)
    except LabelError as error:
        raise LabelError(
            f"{folder}: {error}; name more symbols with --alphabet, or leave the folder out"
        ) from None


def _source_of(folder: Path) -> str:
    """Kind of source from the official folder names above: scene, hand, font or folder."""
    above = folder.resolve().parts[-5:-1]  # English/Img/GoodImg/Bmp/SampleNNN at the most
    return next((kind for name, kind in _CHARS74K_SOURCES.items() if name in above), "folder")


def _from_csv(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(_lines(path), strict=True)
    try:
        if not {"file", "label"} <= set(reader.fieldnames or []):
            raise LabelError(f"{path}: the first line must name the columns file,label")
        for row in reader:
            if row["file"] is None or row["label"] is None:
                raise LabelError(f"{path}:{reader.line_num}: a file and a label are needed")
            yield reader.line_num, row
    except csv.Error as error:
        raise LabelError(f"{path}:{reader.line_num}: not a CSV line ({error})") from None


def _from_list(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().rsplit(maxsplit=1)
        if len(parts) != 2:
            raise LabelError(f"{path}:{number}: expected 'path label', found {line.strip()!r}")
        yield number, {"file": parts[0], "label": parts[1]}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError:
        raise LabelError(f"{path}: not a UTF-8 text file of labels") from None


def _checked(
    path: Path,
    rows: Iterator[tuple[int, dict[str, str]]],
    alphabet: Alphabet,
    problems: list[str] | None = None,
) -> list[LabeledImage]:
    found: dict[Path, LabeledImage] = {}
    for number, row in rows:
        try:
            image = _labeled(path, row, alphabet)
            earlier = found.setdefault(image.path, image)
            if earlier.label != image.label:
                raise LabelError(
                    f"{image.path} is labeled {image.label!r} here and {earlier.label!r} before"
                )
        except LabelError as error:
            _tell(LabelError(f"{path}:{number}: {error}"), problems)
        else:
            found[image.path] = image
    return list(found.values())


def _labeled(path: Path, row: dict[str, str], alphabet: Alphabet) -> LabeledImage:
    """The image of a row; `LabelError` without the place where its label or file is wrong."""
    label = row["label"]
    hidden = not label and row.get("split") in _WITHOUT_LABEL
    if not hidden:
        alphabet.require(label)
    file = path.parent / row["file"]
    if not file.is_file():
        raise LabelError(f"{file}: no such file")
    return LabeledImage(
        file,
        label,
        row.get("source") or "list",
        row.get("split") or "",
        row.get("sha256") or "",
    )
