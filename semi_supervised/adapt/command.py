"""``python -m semi_supervised adapt``: what adapting has gained, after all stages have run."""

import argparse
from pathlib import Path

from edge_runtime.files import write_json, write_text
from edge_runtime.tensorflow_import import import_tensorflow


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/adapt"),
        metavar="DIR",
        help="where the stages wrote manifest.csv and training/",
    )
    parser.add_argument(
        "--bundle", type=Path, required=True, metavar="FILE.egb", help="the adapted network's"
    )
    parser.add_argument(
        "--start",
        type=Path,
        required=True,
        metavar="MODEL",
        help="folder or best.npz of the model that the training started from",
    )
    parser.add_argument(
        "--from-nothing",
        type=Path,
        metavar="DIR",
        help="a training like it from random weights, to compare with",
    )


def run(options: argparse.Namespace) -> int:
    """Write adapt.json and adapt.html, print the table; return the exit code."""
    import_tensorflow()
    from semi_supervised.adapt.gain import changes, measure_gain
    from semi_supervised.adapt.page import render_page

    output = options.output
    gain = measure_gain(
        output / "manifest.csv",
        output / "training",
        options.bundle,
        options.start,
        options.from_nothing,
    )
    write_text(output / "adapt.html", render_page(gain, output))
    write_json(output / "adapt.json", gain.as_json() | {"changed": changes(gain, output)})
    print(gain.table())
    return 0
