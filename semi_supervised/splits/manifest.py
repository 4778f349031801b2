"""The manifest: every image with its label, split, source and hash, as a CSV."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_runtime.files import sha256_of, write_text
from edge_runtime.labeled_images import LabeledImage

_COLUMNS = ("file", "label", "split", "source", "sha256")


def write_manifest(path: Path, images: Iterable[LabeledImage]) -> None:
    """Write the manifest: a CSV of file, label, split, source, sha256, sorted by file."""
    rows = [(i.path, i.label, i.split, i.source, i.sha256) for i in images]
    write_table(path, _COLUMNS, rows)


def write_table(
    path: Path, columns: Sequence[str], rows: Iterable[tuple[Path, str, str, str, str]]
) -> None:
    """Write rows that begin with a file as a CSV, sorted by file.

    File names count from the table's folder, so that project and data may move together.
    """
    base = path.parent.resolve()
    named = [
        (Path(os.path.relpath(file.resolve(), base)).as_posix(), *rest) for file, *rest in rows
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(sorted(named))
    write_text(path, text.getvalue())


def images_digest(path: Path) -> str:
    """Hash what a table says of its images, row by row, without the names of files.

    It is the same after data or project have moved, as long as that leaves the rows in their
    order. Where a row does not tell the image's own hash, the name stands for it. A table that is
    no CSV has its file's hash: what is wrong with it is said by who reads it.
    """
    digest = hashlib.sha256()
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            for row in csv.DictReader(stream, restkey=""):
                named = row if not row.get("sha256") else {**row, "file": ""}
                digest.update(json.dumps(named, sort_keys=True).encode())
    except csv.Error:
        return sha256_of(path)
    return digest.hexdigest()
