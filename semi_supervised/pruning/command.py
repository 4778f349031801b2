"""``python -m semi_supervised prune``: fewer channels of a trained network."""

import argparse
from pathlib import Path

from edge_runtime.errors import SettingsError
from edge_runtime.tensorflow_import import import_tensorflow


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path("build/training/best.npz"),
        metavar="MODEL",
        help="best.npz of a training, or its folder or a model's",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz")
    much = parser.add_mutually_exclusive_group(required=True)
    much.add_argument("--keep", type=float, metavar="SHARE", help="of the multiply-adds")
    much.add_argument("--max-macs", type=int, metavar="N", help="multiply-adds at most")
    much.add_argument(
        "--channels", metavar="N,N,…", help="channels of every convolution, multiples of 16"
    )


def run(options: argparse.Namespace) -> int:
    """Write the pruned weights, tell their shape; return the exit code."""
    import_tensorflow()
    from semi_supervised.pruning.prune import Wanted, prune
    from semi_supervised.pruning.shapes import text_of

    if options.output.suffix != ".npz":
        raise SettingsError(f"--output {options.output}: weights are a .npz file")
    channels = _counts(options.channels) if options.channels else None
    wanted = Wanted(options.keep, options.max_macs, channels)
    pruned = prune(options.checkpoint, options.output, wanted)
    share = pruned.multiply_adds / pruned.multiply_adds_before
    print(
        f"{options.output}: channels {text_of(pruned.channels)} of {text_of(pruned.before)}, "
        f"{pruned.multiply_adds:,} multiply-adds ({100 * share:.0f} %)"
    )
    print(
        "train it on: python -m semi_supervised train --preset smaller "
        f"--set train.channels={text_of(pruned.channels)} --start {options.output} "
        f"--teacher {options.checkpoint}"
    )
    return 0


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise SettingsError(f"--channels {text}: whole numbers with commas between") from None
