"""Command line: ``python -m edge_runtime classify | evaluate``."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_runtime.console import run_command
from edge_runtime.errors import ImageError, InputError
from edge_runtime.evaluate import evaluate
from edge_runtime.files import write_json
from edge_runtime.images import IMAGE_SUFFIXES
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import BACKENDS
from edge_runtime.scores import Prediction, decimal, decimals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge_runtime", description="Classify characters, and measure how well."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    classify = commands.add_parser("classify", help="classify images, a line each")
    classify.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="image files, or folders of them"
    )
    _add_network(classify, several=False)
    classify.add_argument("--json", action="store_true", help="print JSON lines")
    classify.add_argument(
        "--top-k", type=int, default=3, metavar="K", help="how many classes to name (default: 3)"
    )

    measure = commands.add_parser("evaluate", help="accuracy on labeled images")
    _add_network(measure, several=True)
    measure.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="class folders, a .csv, a list file, a manifest, an archive, or ICDAR 2003",
    )
    measure.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where archives are unpacked (default: the user's cache folder)",
    )
    measure.add_argument(
        "--split", choices=("train", "validation", "test"), help="use only this split of a manifest"
    )
    measure.add_argument("--json", type=Path, metavar="OUT", help="write the figures to a file")
    measure.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="count and leave out unreadable images instead of stopping",
    )
    return parser


def _add_network(parser: argparse.ArgumentParser, several: bool) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    if several:
        parser.add_argument(
            "--backend",
            action="append",
            choices=BACKENDS,
            help="may be given several times, to compare (default: int8)",
        )
    else:
        parser.add_argument("--backend", default="int8", choices=BACKENDS)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model of a float or onnx back end (default: beside the bundle)",
    )


def _run(options: argparse.Namespace) -> int:
    if options.command == "classify":
        return _classify(options)
    evaluation = evaluate(
        options.bundle,
        options.backend or ["int8"],
        options.images,
        options.split,
        options.model,
        options.skip_unreadable,
        options.cache,
    )
    for line in evaluation.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if options.json:
        write_json(options.json, evaluation.as_json())
    print(evaluation.table())
    return 0


def _classify(options: argparse.Namespace) -> int:
    if options.top_k < 1:
        raise InputError("--top-k must be at least 1")
    recognizer = Recognizer.open(options.bundle, options.backend, options.model)
    failed = 0
    for path, answer in recognizer.classify_files(_files(options.images), options.top_k):
        if isinstance(answer, ImageError):
            failed += 1
            print(
                json.dumps({"path": str(path), "error": str(answer)}, ensure_ascii=False)
                if options.json
                else f"{path}: error: {answer}"
            )
        else:
            print(json_line(path, answer) if options.json else _readable(path, answer))
    return 2 if failed else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield files as they are given, and the images of a folder sorted by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise InputError(f"{path}: no image in this folder")
        yield from inside


def json_line(path: Path, p: Prediction) -> str:
    """One line of JSON, the same text on every platform: probabilities have six decimals."""
    top = ", ".join(f"[{_text(label)}, {decimal(value)}]" for label, value in p.top)
    return (
        f'{{"path": {_text(str(path))}, "label": {_text(p.label)}, '
        f'"confidence": {decimal(p.confidence)}, "p_real": {decimal(p.p_real)}, '
        f'"top": [{top}], "logits": [{decimals(p.logits)}]}}'
    )


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _readable(path: Path, p: Prediction) -> str:
    others = ", ".join(f"{label} {value / 10_000:.1f} %" for label, value in p.top[1:])
    return f"{path}: {p.label}  {p.confidence / 10_000:.1f} %" + (
        f"  (then {others})" if others else ""
    )


if __name__ == "__main__":
    sys.exit(main())
