"""``python -m edge_runtime demo``: serve the page until Ctrl-C."""

import argparse
import contextlib
import webbrowser
from pathlib import Path

from edge_runtime.demo.answers import Answers
from edge_runtime.demo.server import DemoServer
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import BACKENDS, default_backend

PORT = 8062


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    parser.add_argument(
        "--backend", choices=BACKENDS, help="(default: native where it is built, else int8)"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="model of a float or onnx back end"
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"(default: {PORT}; 0: any)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    """Serve; return 0 after Ctrl-C."""
    backend = options.backend or default_backend()
    recognizer = Recognizer.open(options.bundle, backend, options.model)
    with DemoServer(Answers(recognizer), backend, options.port) as server:
        where = f"{server.address} (this computer alone; Ctrl-C ends)"
        print(f"{recognizer.bundle.name} is at {where}", flush=True)
        if options.open:
            webbrowser.open(server.address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0
