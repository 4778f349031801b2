"""From whatever a user names to a list of images: folders, tables, archives, ICDAR 2003.

Nothing is fetched from the network here: a board evaluates what is on its disk.
"""

import logging
import os
import re
from pathlib import Path

from edge_runtime.alphabet import Alphabet
from edge_runtime.archives import is_archive, kind_of_content, unpack
from edge_runtime.errors import LabelError, SourceError
from edge_runtime.icdar2003 import (
    PHOTOGRAPH_XMLS,
    Photograph,
    find_photographs,
    find_xml,
    keep_alphabet,
    read_characters,
)
from edge_runtime.icdar2003_crops import cut_photographs, read_cut_characters
from edge_runtime.images import IMAGE_SUFFIXES
from edge_runtime.labeled_images import (
    LabeledImage,
    find_labeled_images,
    image_names,
    visible_folders,
)

log = logging.getLogger(__name__)

_URL = re.compile(r"(https?|ftp|file):/", re.IGNORECASE)  # a Path has swallowed the second slash


def is_url(source: str | Path) -> bool:
    """Whether a source is an address on the network (or pretends to be a path that is one)."""
    return _URL.match(str(source)) is not None


def find_source_images(
    path: Path,
    alphabet: Alphabet,
    split: str | None = None,
    cache: Path | None = None,
    problems: list[str] | None = None,
) -> list[LabeledImage]:
    """List the labeled images of any source, sorted by file name.

    Parameters
    ----------
    path : what `find_labeled_images` takes; or an archive of it (.tgz, .tar.gz, .tar, .zip), or a
        folder or XML file of ICDAR 2003, whose tags outside the alphabet are counted and left out
    split : keep only this split of a manifest
    cache : where archives are unpacked and characters are cut; by default the user's cache folder
    problems : as `find_labeled_images`

    Raises
    ------
    InputError
        As `find_labeled_images`, `unpack` and `cut_photographs`.
    """
    folder = _on_disk(path, cache)
    if split is not None and folder != path:
        raise LabelError(f"{path}: is an archive; only a manifest has the split {split!r}")
    tables = find_xml(folder)
    if not tables:
        return find_labeled_images(folder, alphabet, split, problems)
    if split is not None:
        raise LabelError(f"{path}: is ICDAR 2003; only a manifest has the split {split!r}")
    tagged = [pair for xml in tables for pair in _tagged(xml, cache)]
    return sorted(keep_alphabet(path, tagged, alphabet), key=lambda image: str(image.path))


def find_unlabeled_images(path: Path, cache: Path | None = None) -> list[Path]:
    """List the crops at or below a folder, in an archive, or in ICDAR 2003's photographs.

    Hidden files and folders and the masks and pen strokes of Chars74K are left out. No label is
    read, whatever the folders are called.

    Raises
    ------
    InputError
        Nothing there, or no image in it.
    """
    folder = _on_disk(path, cache)
    tables = find_xml(folder)
    if tables:
        found = [crop for xml in tables for crop, _ in _tagged(xml, cache)]
    elif folder.is_dir():
        found = _images_below(folder)
    elif folder.suffix.lower() in IMAGE_SUFFIXES and folder.is_file():
        found = [folder]
    elif folder.exists():
        raise SourceError(f"{path}: unlabeled images are a folder or an archive of image files")
    else:
        raise SourceError(f"{path}: no such file or folder")
    if not found:
        raise SourceError(f"{path}: no image in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(set(found))


def find_source_photographs(path: Path, cache: Path | None = None) -> list[Photograph]:
    """List photographs with their text boxes, as `find_photographs`, from an archive too."""
    return find_photographs(_on_disk(path, cache))


def _on_disk(path: Path, cache: Path | None) -> Path:
    """Return the folder that an archive was unpacked into, and any other path as it is."""
    if is_url(path):
        raise SourceError(
            f"{path}: is an address, and nothing is downloaded here; `make data DATA=URL` does it, "
            "or download it yourself and name the file"
        )
    if is_archive(path) and not path.exists():
        raise SourceError(
            f"{path}: no such file; an archive is never fetched by its name alone: download it "
            "from its official page (docs/data.md names it), or give its whole address"
        )
    if not path.is_file():
        return path
    if is_archive(path):
        return unpack(path, cache)
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        _refuse_other_names(path)
    return path


def _refuse_other_names(path: Path) -> None:
    """Say so where a file that would be taken for a table is an archive of another name."""
    with path.open("rb") as stream:
        kind = kind_of_content(stream.read(512))
    if kind:
        right = {"gzip": ".tgz", "tar": ".tar", "zip": ".zip"}[kind]
        raise SourceError(f"{path}: its content is a {kind} archive; let its name end in {right}")


def _tagged(xml: Path, cache: Path | None) -> list[tuple[Path, str]]:
    if xml.name in PHOTOGRAPH_XMLS:
        return read_cut_characters(cut_photographs(xml, cache))
    return read_characters(xml)


def _images_below(root: Path) -> list[Path]:
    found = []
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = visible_folders(subfolders)
        found += [Path(folder) / name for name in image_names(files)]
    return found
