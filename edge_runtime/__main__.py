"""Command line: ``python -m edge_runtime classify | demo | video | …``, a module each."""

import argparse
import sys
from collections.abc import Sequence

from edge_runtime import classify
from edge_runtime.bench import command as bench
from edge_runtime.console import run_command
from edge_runtime.demo import command as demo
from edge_runtime.evaluation import command as evaluate
from edge_runtime.evaluation import report_command as report
from edge_runtime.evaluation import robustness_command as robustness
from edge_runtime.formats import command as convert
from edge_runtime.video import command as video


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge_runtime", description="Classify characters, and measure how well."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    classify.add_options(commands.add_parser("classify", help="classify images, a line each"))
    demo.add_options(commands.add_parser("demo", help="try a classifier in the browser"))
    video.add_options(commands.add_parser("video", help="read fixed fields of a video or camera"))
    evaluate.add_options(commands.add_parser("evaluate", help="accuracy on labeled images"))
    robustness.add_options(
        commands.add_parser("robustness", help="accuracy on corrupted images, and rejection")
    )
    report.add_options(
        commands.add_parser("report", help="all figures as a page, or two side by side")
    )
    bench.add_options(
        commands.add_parser("bench", help="race this engine against others, the same network")
    )
    convert.add_options(
        commands.add_parser("convert", help="the network as LiteRT, OpenVINO, ONNX or C, verified")
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    run = {
        "classify": classify.run,
        "demo": demo.run,
        "video": video.run,
        "evaluate": evaluate.run,
        "robustness": robustness.run,
        "report": report.run,
        "bench": bench.run,
        "convert": convert.run,
    }
    return run[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
