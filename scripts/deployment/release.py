"""Bring a version to a board, check it there, switch to it; or go back to an earlier one."""

import contextlib
import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deployment.comparison import Answers, Comparison
from deployment.connection import Connection, ConnectionLostError, Host, last_line
from deployment.package import IMAGES, Package, pack
from deployment.units import units
from edge_runtime.board import Board
from edge_runtime.errors import (
    DeploymentError,
    EdgeGlyphError,
    InputError,
    SettingsError,
    VerificationError,
)
from edge_runtime.files import sha256_of, write_json, write_text

log = logging.getLogger(__name__)

KEPT = 3  # earlier versions that stay on the board
_FOLDER = re.compile(r"(/[A-Za-z0-9_.+-]+)+")
_SLACK_KB = 1024


@dataclass(frozen=True)
class Request:
    """What to deploy and where to.

    images, limit : sample images as `pack` takes them
    output : folder of the report
    unit_folder : where systemd units go; None for no units
    """

    board: Board
    host: Host
    folder: str
    program: Path
    bundle: Path
    images: Path
    limit: int
    output: Path
    backend: str = "auto"
    ssh_options: Sequence[str] = ()
    unit_folder: str | None = None


def checked_folder(folder: str) -> str:
    """Refuse a folder on the board that a shell or systemd could misread."""
    if not _FOLDER.fullmatch(folder) or ".." in folder.split("/"):
        raise SettingsError(
            f"FOLDER is {folder!r}; name an absolute path of letters, digits and _ . + - alone"
        )
    return folder


def deploy(request: Request) -> str:
    """Deploy; return the table of the results. The report is in ``request.output`` afterwards.

    Raises
    ------
    EdgeGlyphError
        Whatever is wrong; the version that ran before is then still the current one, but for the
        units, which come last.
    """
    for path, advice in (
        (request.bundle, f"run `make compile BOARD={request.board.name}`"),
        (request.images, "`make data` draws some, or name a folder with IMAGES="),
    ):
        if not path.exists():
            raise InputError(f"{path}: missing; {advice}")
    connection = Connection(request.host, request.ssh_options)
    with tempfile.TemporaryDirectory(prefix="edgeglyph-deploy-") as temporary:
        package = pack(
            Path(temporary),
            request.board,
            request.program,
            request.bundle,
            request.images,
            request.limit,
        )
        facts = _prepare(connection, request, package)
        try:
            stage = _transfer(connection, request, package, facts)
            passed, comparison = _try_out(connection, request, package, stage)
        except ConnectionLostError:
            raise
        except EdgeGlyphError:
            with contextlib.suppress(DeploymentError):
                connection.run("discard", request.folder, package.version)
            raise
        connection.facts("adopt", request.folder, stage, package.version, KEPT)
        report = _report(request, package, {**facts, "self_test": passed}, comparison)
    log.info("%s: %s is the current version", request.host, package.version)
    if request.unit_folder:
        _install_units(connection, request, facts["user"])
    return report


def _prepare(connection: Connection, request: Request, package: Package) -> dict[str, str]:
    """Ask the board what it is, and refuse what cannot end well before anything is sent."""
    board, host = request.board, request.host
    if request.unit_folder:
        services = connection.facts("services", request.folder)
        if "systemctl" not in services:
            raise DeploymentError(f"{host}: has no systemd; deploy without SYSTEMD=1")
        if "root" not in services:
            raise DeploymentError(
                f"{host}: systemd units need HOST=root@…, or sudo without a password"
            )
    facts = connection.facts("prepare", request.folder, package.version, *package.machines)
    machine = facts.get("machine", "nothing")
    if machine not in package.machines:
        raise DeploymentError(
            f"{host} is {machine}, but BOARD={board.name} needs {' or '.join(package.machines)}; "
            "choose the BOARD that it is (`make help` lists them), or another HOST"
        )
    user = facts["user"]
    if "writable" not in facts:
        raise DeploymentError(
            f"{host}: {user} cannot write {request.folder}; on the board: sudo mkdir -p "
            f"{request.folder} && sudo chown {user} {request.folder}; or name another with FOLDER="
        )
    if "present" not in facts and facts["free_kb"].isdigit():  # else it has no df
        needed = package.disk_kb + _SLACK_KB - int(facts["there_kb"])
        if int(facts["free_kb"]) < needed:
            connection.run("discard", request.folder, package.version)
            raise DeploymentError(
                f"{host}: {int(facts['free_kb']):,} KB are free in {request.folder}, {needed:,} KB "
                "are needed; make room there, or send fewer images with SAMPLES="
            )
    return facts


def _transfer(
    connection: Connection, request: Request, package: Package, facts: dict[str, str]
) -> str:
    """Send the package unless it is there, and compare hashes; return its folder on the board."""
    stage = f"releases/{package.version}"
    if "present" in facts and not _differing(connection, request, package, stage):
        log.info("%s: %s is there already", request.host, package.version)
        return stage
    stage = f"incoming/{package.version}"
    rsync = "rsync" in facts and shutil.which("rsync") is not None
    log.info(
        "%s: sending %s, %d files, %d KB, by %s",
        request.host,
        package.version,
        len(package.hashes) + 1,
        package.disk_kb,
        "rsync" if rsync else "scp",
    )
    connection.send(package.folder, f"{request.folder}/{stage}", rsync)
    differing = _differing(connection, request, package, stage)
    if differing:
        raise VerificationError(
            f"{request.host}: {differing[0]} arrived damaged ({len(differing)} of "
            f"{len(package.hashes)} files); is the board's SD card good?"
        )
    return stage


def _differing(connection: Connection, request: Request, package: Package, stage: str) -> list[str]:
    return package.differing(connection.run("hashes", request.folder, stage).stdout)


def _try_out(
    connection: Connection, request: Request, package: Package, stage: str
) -> tuple[str, Comparison]:
    """Self-test and sample images on the board; `VerificationError` where they do not pass."""
    backend = ["--backend", request.backend]
    passed = _self_test(connection, request.folder, stage, backend)
    runs = []
    for threads in ("1", "0"):
        arguments = [*backend, "--json", "--times", "--threads", threads, IMAGES]
        done = connection.run("program", request.folder, stage, *arguments)
        if done.returncode not in (0, 2):  # 2: an image has failed, and its line says why
            raise VerificationError(f"{request.host}: {_ended(done.returncode, done.stderr)}")
        runs.append(Answers.parse(done.stdout, done.stderr))
    comparison = Comparison.of(package, *runs)
    _write_lines(request.output, package, comparison)
    comparison.check(str(request.output / "differences.txt"))
    return passed, comparison


def _self_test(connection: Connection, folder: str, stage: str, backend: Sequence[str]) -> str:
    """Run it; return what it says, or raise `VerificationError`."""
    done = connection.run("program", folder, stage, *backend, "--self-test")
    if done.returncode:
        raise VerificationError(
            f"{connection.host}: the self-test of {stage} failed, the current version stays: "
            f"{_ended(done.returncode, done.stderr)}"
        )
    passed = done.stdout.decode(errors="replace").strip()
    for line in (*done.stderr.decode(errors="replace").splitlines(), passed):
        if line.startswith(("edge_classify:", "self-test")):  # not what a login shell has to say
            log.info("%s: %s", connection.host, line)
    return passed


def _ended(code: int, said: bytes) -> str:
    """What became of the program, in words."""
    if code in (126, 127):
        return f"the program cannot be started there ({last_line(said)})"
    if code > 128:
        reason = ", an instruction that this processor lacks" if code == 132 else ""
        return f"the program ended by signal {code - 128}{reason}"
    return last_line(said)


def _write_lines(output: Path, package: Package, comparison: Comparison) -> None:
    def text(lines: Sequence[str]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")

    output.mkdir(parents=True, exist_ok=True)
    (output / "board.jsonl").write_bytes(text(comparison.one_by_one.lines))
    (output / "host.jsonl").write_bytes(text(package.expected))
    (output / "differences.txt").write_bytes(text(comparison.differences))


def _report(
    request: Request, package: Package, facts: dict[str, str], comparison: Comparison
) -> str:
    """Write report.json and report.txt; return the text."""
    title = (
        f"{package.version} on {request.board.name} ({facts['machine']}) at {request.host}, "
        f"{len(package.samples):,} images"
    )
    text = f"{title}\n\n{comparison.table()}\n"
    write_json(
        request.output / "report.json",
        {
            "schema": 1,
            "version": package.version,
            "board": request.board.name,
            "machine": facts["machine"],
            "host": str(request.host),
            "folder": request.folder,
            "backend": request.backend,
            "self_test": facts["self_test"],
            "program_sha256": sha256_of(request.program),
            "bundle_sha256": sha256_of(request.bundle),
            "earlier_version": facts["current"],
            **comparison.as_json(),
        },
    )
    write_text(request.output / "report.txt", text)
    return text


def _install_units(connection: Connection, request: Request, user: str) -> None:
    texts = units(request.folder, user)
    pairs = [part for pair in texts.items() for part in pair]
    connection.facts("units", request.folder, request.unit_folder, *pairs)
    log.info(
        "%s: installed %s; images put into %s/inbox are classified into %s/results.jsonl",
        request.host,
        ", ".join(texts),
        request.folder,
        request.folder,
    )


@dataclass(frozen=True)
class Versions:
    """Versions on a board, the oldest first, and the one in use ("" for none)."""

    names: list[str]
    current: str

    def table(self) -> str:
        """Return a line for each version."""
        return "\n".join(f"{'*' if name == self.current else ' '} {name}" for name in self.names)


def versions(connection: Connection, folder: str) -> Versions:
    """Ask the board for its versions."""
    done = connection.run("list", folder)
    lines = [line.partition("=") for line in done.stdout.decode(errors="replace").splitlines()]
    names = [value for key, _, value in lines if key == "version"]
    if not names:
        raise DeploymentError(
            f"{connection.host}: no version in {folder}; `make deploy` brings one"
        )
    return Versions(names, next((value for key, _, value in lines if key == "current"), ""))


def rollback(connection: Connection, folder: str, version: str | None = None) -> Versions:
    """Go back to the version before the current one, or to a named one; return what is there then.

    Raises
    ------
    EdgeGlyphError
        No such version; its self-test fails. The current version then stays.
    """
    found = versions(connection, folder)
    if version is None:
        place = found.names.index(found.current) if found.current in found.names else 0
        if place == 0:
            raise DeploymentError(
                f"{connection.host}: no version before {found.current or 'the first'}; there are: "
                f"{', '.join(found.names)}"
            )
        version = found.names[place - 1]
    elif version not in found.names:
        raise DeploymentError(
            f"{connection.host}: no version {version!r}; there are: {', '.join(found.names)}"
        )
    _self_test(connection, folder, f"releases/{version}", ())
    connection.facts("switch", folder, version)
    return replace(found, current=version)
