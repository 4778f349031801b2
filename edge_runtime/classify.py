"""``python -m edge_runtime classify``: a line, a picture or a row of a sheet for each image."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from edge_runtime.errors import ImageError, InputError
from edge_runtime.images import IMAGE_SUFFIXES
from edge_runtime.layers import Int8
from edge_runtime.lines import Answer, csv_header, csv_line, json_line, text_line
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import BACKENDS
from edge_runtime.terminal import card, shows_pictures
from edge_runtime.watch import FolderWatch

_MOST_PICTURES = 12  # on a terminal, unless asked for more


@dataclass(frozen=True)
class Printer:
    """How answers are printed.

    form : text, json, csv or picture
    """

    form: str
    top_k: int
    threshold: int | None

    def header(self) -> None:
        """Print what stands above all lines."""
        if self.form == "csv":
            print(csv_header(self.top_k), flush=True)

    def answer(self, path: Path, inputs: Int8 | None, answer: Answer) -> None:
        """Print one answer."""
        if self.form == "json":
            line = json_line(path, answer)
        elif self.form == "csv":
            line = csv_line(path, answer, self.threshold, self.top_k)
        elif self.form == "picture" and inputs is not None and not isinstance(answer, ImageError):
            line = card(path, inputs, answer, self.threshold) + "\n"
        else:
            line = text_line(path, answer, self.threshold)
        print(line)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of them, or - for an image on standard input",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--backend", choices=BACKENDS, help="(default: native where it is built, else int8)"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model of a float or onnx back end (default: beside the bundle)",
    )
    parser.add_argument(
        "--isa",
        metavar="I",
        help="instruction set of back end native: scalar, avx2, avx512vnni, neon or neon-dot "
        "(default: the fastest that this processor has)",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON lines")
    forms.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.add_argument(
        "--picture",
        choices=("auto", "always", "never"),
        default="auto",
        help="show what the network saw in the terminal "
        f"(auto: on a terminal with colors, up to {_MOST_PICTURES} images)",
    )
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="OUT.png",
        help="also draw a sheet of the images with their answers",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on with images that appear in the folders, until Ctrl-C",
    )
    parser.add_argument(
        "--top-k", type=int, default=3, metavar="K", help="how many classes to name (default: 3)"
    )


def run(options: argparse.Namespace) -> int:
    """Classify; return 0, or 2 where an image could not be read."""
    if options.top_k < 1:
        raise InputError("--top-k must be at least 1")
    if options.watch:
        return _watch(options)
    if options.annotate and "-" in options.images:
        raise InputError("--annotate needs images in files, not on standard input")
    recognizer = Recognizer.open(options.bundle, options.backend, options.model, options.isa)
    files = list(files_of(options.images))
    printer = _printer(options, recognizer, len(files))
    printer.header()
    answers = recognizer.see_files(_with_bar(files), options.top_k)
    if options.annotate:
        answers = _annotated(answers, options.annotate, printer.threshold)
    failed = 0
    for path, inputs, answer in answers:
        failed += isinstance(answer, ImageError)
        printer.answer(path, inputs, answer)
    if failed and len(files) > 1:
        print(f"{failed:,} of {len(files):,} images could not be read", file=sys.stderr)
    return 2 if failed else 0


def files_of(given: Sequence[str]) -> Iterator[Path | None]:
    """Yield files as they are given, and the images of a folder sorted by name; None for ``-``."""
    for name in given:
        path = Path(name)
        if name == "-" or not path.is_dir():
            yield None if name == "-" else path
            continue
        found = (p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        inside = sorted(p for p in found if not p.is_dir())
        if not inside:
            raise InputError(f"{path}: no image in this folder")
        yield from inside


def _printer(options: argparse.Namespace, recognizer: Recognizer, count: int) -> Printer:
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold any bytes
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    form = "json" if options.json else "csv" if options.csv else "text"
    few = count <= _MOST_PICTURES and shows_pictures(sys.stdout)
    if form == "text" and (options.picture == "always" or (options.picture == "auto" and few)):
        form = "picture"
    return Printer(form, options.top_k, recognizer.bundle.threshold)


def _with_bar(files: Sequence[Path | None]) -> Iterable[Path | None]:
    """Show progress on standard error, unless lines on a terminal do so themselves."""
    hidden = True if sys.stdout.isatty() or len(files) < 2 else None  # None: not on a terminal
    return tqdm(files, desc="classify", unit="image", disable=hidden)


def _annotated(
    answers: Iterator[tuple[Path, Int8 | None, Answer]], sheet: Path, threshold: int | None
) -> Iterator[tuple[Path, Int8 | None, Answer]]:
    """Yield the answers as they are, and draw them on a sheet at the end."""
    from edge_runtime.annotate import MOST_CELLS, cell_of, write_sheet

    cells, count = [], 0
    for path, inputs, answer in answers:
        count += 1
        if count <= MOST_CELLS:
            cells.append(cell_of(path, answer, threshold))
        yield path, inputs, answer
    write_sheet(sheet, cells)
    some = f" (the first {MOST_CELLS} of {count:,} images)" if count > MOST_CELLS else ""
    print(f"the sheet is {sheet}{some}", file=sys.stderr)


def _watch(options: argparse.Namespace) -> int:
    if options.annotate:
        raise InputError("--annotate and --watch do not go together: a watch has no end")
    folders = [Path(name) for name in options.images]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: not a folder; --watch takes folders alone")
    recognizer = Recognizer.open(options.bundle, options.backend, options.model, options.isa)
    printer = _printer(options, recognizer, count=1)
    printer.header()
    print(f"watching {', '.join(map(str, folders))}; Ctrl-C ends", file=sys.stderr)
    watch = FolderWatch(folders)
    with contextlib.suppress(KeyboardInterrupt):
        for path, final in watch.files():
            ((_, inputs, answer),) = recognizer.see_files([path], options.top_k)
            if isinstance(answer, ImageError) and not final:
                continue  # half written, perhaps
            watch.done(path)
            if not isinstance(answer, ImageError) or os.path.lexists(path):  # else taken away
                printer.answer(path, inputs, answer)
                sys.stdout.flush()
    return 0
