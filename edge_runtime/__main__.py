"""Command line: ``python -m edge_runtime classify | evaluate``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime import classify
from edge_runtime.console import run_command
from edge_runtime.evaluate import evaluate
from edge_runtime.files import write_json
from edge_runtime.runners import BACKENDS, default_backend

SPLITS = ("train", "validation", "test")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge_runtime", description="Classify characters, and measure how well."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    classify.add_options(commands.add_parser("classify", help="classify images, a line each"))

    measure = commands.add_parser("evaluate", help="accuracy on labeled images")
    _add_network(measure)
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
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--backend",
        action="append",
        choices=BACKENDS,
        help="may be given several times, to compare (default: native where built, else int8)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model of a float or onnx back end (default: beside the bundle)",
    )


def _run(options: argparse.Namespace) -> int:
    if options.command == "classify":
        return classify.run(options)
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
    )
    for line in evaluation.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    if options.json:
        write_json(options.json, evaluation.as_json())
    print(evaluation.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
