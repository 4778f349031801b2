"""What all command lines share, and ``edgeglyph``, the one command over them."""

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Sequence

from edge_runtime.errors import EdgeGlyphError

_COMMANDS = {
    "classify": ("edge_runtime", "classify images with a bundle"),
    "demo": ("edge_runtime", "draw, drop or photograph characters in the browser"),
    "video": (
        "edge_runtime",
        "read fixed fields of a video or camera: a meter, a plate, a display",
    ),
    "evaluate": ("edge_runtime", "accuracy of a bundle on labeled images"),
    "robustness": ("edge_runtime", "accuracy on corrupted images, and what the gate rejects"),
    "report": ("edge_runtime", "all figures as a page; or two side by side"),
    "bench": ("edge_runtime", "race this engine against others with the same network"),
    "convert": ("edge_runtime", "the network as LiteRT, OpenVINO, ONNX or C, verified"),
    "data": ("semi_supervised", "find or draw characters and split them"),
    "audit": ("semi_supervised", "find copies, conflicts, leaks and wrong labels"),
    "train": ("semi_supervised", "learn from labeled and unlabeled images"),
    "prune": ("semi_supervised", "take the least worthy channels out of a trained network"),
    "freeze": ("semi_supervised", "export the trained network"),
    "quantize": ("quantize", "turn a frozen network into integers"),
    "check": ("quantize", "say which operators of a network a DPU runs"),
    "compile": ("quantize", "make a bundle for a board"),
    "verify": ("quantize", "prove that all integer forms agree"),
    "info": ("quantize", "show a bundle's layers and fix points"),
}


def run_command(
    run: Callable[[argparse.Namespace], int],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
) -> int:
    """Parse and run; a user's mistake becomes one line on stderr and exit code 2.

    Results go to stdout, logs to stderr. Ctrl-C ends with 130, as in a shell.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except EdgeGlyphError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        return 141


def main() -> int:
    """Entry point of the console command ``edgeglyph COMMAND …``."""
    width = max(map(len, _COMMANDS))
    usage = (
        "usage: edgeglyph COMMAND …\n\n"
        + "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in _COMMANDS.items())
        + "\n\n`edgeglyph COMMAND --help` explains one of them."
    )
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(usage)
        return 0
    name, rest = sys.argv[1], sys.argv[2:]
    if name not in _COMMANDS:
        print(f"edgeglyph: no command {name!r}\n{usage}", file=sys.stderr)
        return 2
    package = _COMMANDS[name][0]
    # By name, because this package stands below the others and a board has only this one.
    try:
        command = importlib.import_module(f"{package}.__main__")
    except ImportError as error:
        print(
            f"edgeglyph: {name} needs more packages ({error}): "
            "pip install 'edgeglyph[train,quantize]', or 'edgeglyph[quantize]' for .onnx alone",
            file=sys.stderr,
        )
        return 2
    code: int = command.main(["run" if name == "quantize" else name, *rest])
    return code
