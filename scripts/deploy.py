"""Bring a classifier to a board over ssh, check it there, and switch to it: `make deploy`.

Program, bundle and sample images go into a folder per version. Only after the self-test has passed
on the board, and its answers to the sample images are the same text as this computer's, does the
link `current` change to it, in one step; whatever fails before leaves the earlier version running.
`make rollback` goes back. Passwords, keys and host keys are left to the system's ssh.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from deployment.connection import Connection, Host
from deployment.release import Request, checked_folder, deploy, rollback, versions

from edge_runtime.board import read_board
from edge_runtime.console import run_command
from edge_runtime.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(_run, _parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("deploy", help="bring a version to a board and switch to it")
    back = commands.add_parser("rollback", help="go back to the version before")
    show = commands.add_parser("versions", help="list the versions on a board")
    for command in (bring, back, show):
        command.add_argument("--board", required=True, help="a name from edge_runtime/boards")
        command.add_argument(
            "--host", required=True, help="[user@]name[:port]; name may be one of ~/.ssh/config"
        )
        command.add_argument("--folder", help="on the board (default: the board file's)")
        command.add_argument(
            "--ssh-options",
            default="",
            metavar="TEXT",
            help="further options of ssh, in one text: -F, -i, -J, -o",
        )
    bring.add_argument("--bundle", type=Path, required=True, metavar="FILE.egb")
    bring.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="PATH",
        help="sample images: labeled ones of any kind, or a folder without labels",
    )
    bring.add_argument(
        "--samples", type=int, default=500, metavar="N", help="at most so many (default: 500)"
    )
    bring.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the report")
    bring.add_argument("--program", type=Path, help="(default: what `make runtime` has built)")
    bring.add_argument("--backend", default="auto", help="of edge_classify (default: auto)")
    bring.add_argument(
        "--systemd",
        nargs="?",
        const="/etc/systemd/system",
        metavar="DIR",
        help="install units (default: into /etc/systemd/system)",
    )
    back.add_argument("--version", help="this one (default: the one before the current)")
    return parser


def _run(options: argparse.Namespace) -> int:
    board = read_board(options.board)
    host = Host.parse(options.host)
    folder = checked_folder(options.folder or board.deploy.folder)
    try:
        ssh_options = shlex.split(options.ssh_options)
    except ValueError as error:
        raise SettingsError(f"SSH_OPTIONS: {options.ssh_options!r}: {error}") from None
    if options.command != "deploy":
        connection = Connection(host, ssh_options)
        if options.command == "rollback":
            print(rollback(connection, folder, options.version).table())
        else:
            print(versions(connection, folder).table())
        return 0
    if options.samples < 1:
        raise SettingsError("SAMPLES must be at least 1")
    program = ROOT / f"edge_runtime/cpp/build/{board.name}/edge_classify"
    print(
        deploy(
            Request(
                board,
                host,
                folder,
                options.program or program,
                options.bundle,
                options.images,
                options.samples,
                options.output,
                options.backend,
                ssh_options,
                checked_folder(options.systemd) if options.systemd else None,
            )
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
