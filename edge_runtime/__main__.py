"""Command line: ``python -m edge_runtime classify | evaluate | bench``."""

import argparse
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_runtime.bench import command as bench_command
from edge_runtime.console import run_command
from edge_runtime.errors import ImageError, InputError
from edge_runtime.evaluate import evaluate
from edge_runtime.files import write_json
from edge_runtime.images import IMAGE_SUFFIXES
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import BACKENDS, default_backend
from edge_runtime.scores import Prediction, decimal, decimals

SPLITS = ("train", "validation", "test")


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
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of them, or - for an image on standard input",
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
    measure.add_argument("--split", choices=SPLITS, help="use only this split of a manifest")
    measure.add_argument(
        "--against",
        type=Path,
        metavar="FILE.egb",
        help="a second bundle to compare with on the same images and back ends",
    )
    measure.add_argument(
        "--negatives",
        type=Path,
        metavar="CSV",
        help="non-characters (`make data` writes negatives.csv) to measure the gate on",
    )
    measure.add_argument(
        "--negatives-split",
        choices=SPLITS,
        default="test",
        help="which of the non-characters (default: test, the one with kinds never trained on)",
    )
    measure.add_argument("--json", type=Path, metavar="OUT", help="write the figures to a file")
    measure.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="count and leave out unreadable images instead of stopping",
    )

    bench_command.add_options(
        commands.add_parser("bench", help="race this engine against others, the same network")
    )
    return parser


def _add_network(parser: argparse.ArgumentParser, several: bool) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    if several:
        parser.add_argument(
            "--backend",
            action="append",
            choices=BACKENDS,
            help="may be given several times, to compare (default: native where built, else int8)",
        )
    else:
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


def _run(options: argparse.Namespace) -> int:
    if options.command == "classify":
        return _classify(options)
    if options.command == "bench":
        return bench_command.run(options)
    evaluation = evaluate(
        options.bundle,
        options.backend or [default_backend()],
        options.images,
        options.split,
        options.model,
        options.skip_unreadable,
        options.cache,
        against=options.against,
        negatives=options.negatives,
        negatives_split=options.negatives_split,
        isa=options.isa,
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
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold any bytes
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    recognizer = Recognizer.open(options.bundle, options.backend, options.model, options.isa)
    files = list(_files(options.images))
    failed = 0
    for path, answer in recognizer.classify_files(files, options.top_k):
        if isinstance(answer, ImageError):
            failed += 1
            print(
                f'{{"path": {_text(str(path))}, "error": {_text(str(answer))}}}'
                if options.json
                else f"{path}: error: {answer}"
            )
        else:
            threshold = recognizer.bundle.threshold
            print(json_line(path, answer) if options.json else _readable(path, answer, threshold))
    return 2 if failed else 0


def _files(given: Sequence[str]) -> Iterator[Path | None]:
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


def json_line(path: Path, p: Prediction) -> str:
    """One line of JSON, the same text on every platform: probabilities have six decimals."""
    top = ", ".join(f"[{_text(label)}, {decimal(value)}]" for label, value in p.top)
    return (
        f'{{"path": {_text(str(path))}, "label": {_text(p.label)}, '
        f'"confidence": {decimal(p.confidence)}, "p_real": {decimal(p.p_real)}, '
        f'"top": [{top}], "logits": [{decimals(p.logits)}]}}'
    )


def _text(value: str) -> str:
    """JSON string; a byte of a file's name that is not UTF-8 becomes a lone surrogate's escape."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\\ud800-\\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _readable(path: Path, p: Prediction, threshold: int | None) -> str:
    others = ", ".join(f"{label} {value / 10_000:.1f} %" for label, value in p.top[1:])
    line = f"{path}: {p.label}  {p.confidence / 10_000:.1f} %"
    line += f"  (then {others})" if others else ""
    if threshold is not None and p.p_real < threshold:
        line += f"  perhaps not a character: p_real {decimal(p.p_real)} < {decimal(threshold)}"
    return line


if __name__ == "__main__":
    sys.exit(main())
