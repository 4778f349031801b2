"""A board for tests: a folder of this machine behind a real OpenSSH server on loopback.

The server has its own keys and configuration, and a PATH that holds only what a small board has.
The armhf program runs under qemu-user, which board_processor.c starts as a kernel would.
"""

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

LIBRARIES = "/usr/arm-linux-gnueabihf"
TOOLS = (
    *("sh", "cat", "cut", "df", "dd", "du", "getconf", "grep", "head", "id", "ln", "mkdir", "mv"),
    *("readlink", "rm", "rsync", "scp", "sed", "sha256sum", "sync", "tail", "touch", "wc", "xargs"),
)
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def need_tools() -> None:
    """Skip where this machine cannot play a board, naming what is missing."""
    for found, name, package in (
        (SSHD, "sshd", "openssh-server"),
        (shutil.which("ssh"), "ssh", "openssh-client"),
        (shutil.which("rsync"), "rsync", "rsync"),
        (shutil.which("qemu-arm"), "qemu-arm", "qemu-user"),
        (shutil.which("cc"), "cc", "gcc"),
        (Path(LIBRARIES).is_dir(), "the armhf C library", "libc6-armhf-cross"),
    ):
        if not found:
            pytest.skip(f"no {name} on this machine (Debian: {package})")


def build_processor(folder: Path) -> Path:
    """Compile board_processor.c."""
    library = folder / "board_processor.so"
    source = Path(__file__).with_name("board_processor.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


class Board:
    """The board.

    root : what deployments call FOLDER
    tools : the folder that is its PATH
    known_hosts : the client's file of keys
    full : while this file exists, the disk is full
    """

    def __init__(self, folder: Path, processor: Path) -> None:
        self.folder = folder
        self.root = folder / "opt/edgeglyph"
        self.tools = folder / "bin"
        self.known_hosts = folder / "known_hosts"
        self.full = folder / "full"
        self.tools.mkdir(parents=True)
        self._sockets = tempfile.mkdtemp(prefix="board")  # a socket's path must be short
        for name in TOOLS:
            (self.tools / name).symlink_to(shutil.which(name) or "/missing")
        self.stand_in("uname", 'test "$1" = -m && echo armv7l')
        self.emulator = self.stand_in(
            "emulator", f'unset LD_PRELOAD\nexec {shutil.which("qemu-arm")} -L {LIBRARIES} "$@"'
        )
        for key in ("host_key", "user_key"):
            self._keygen(key)
        environment = {
            "PATH": self.tools,
            "HOME": folder,  # not the start-up files of whoever runs the tests
            "LD_PRELOAD": processor,
            "BOARD_EMULATOR": self.emulator,
            "BOARD_FULL": self.full,
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/user_key.pub\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel ERROR\n"
            f"SetEnv {' '.join(f'{name}={value}' for name, value in environment.items())}\n"
        )
        (folder / "ssh_config").write_text(
            # "board" goes through one lasting connection, which is quicker, "fresh" makes its own
            f"Host board\n  ControlPath {self._sockets}/board\n"
            f"Host board fresh\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        self.know_host()
        self._log = (folder / "sshd.log").open("wb")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd, as root, keeps apart
        self._server = subprocess.Popen(
            [str(SSHD), "-D", "-e", "-f", folder / "sshd_config"], stderr=self._log
        )
        self._wait()
        line = ["ssh", "-F", folder / "ssh_config", "-M", "-N", "-f", "board"]
        subprocess.run(line, check=True, stderr=self._log)

    @property
    def ssh_options(self) -> str:
        return f"-F {shlex.quote(str(self.folder / 'ssh_config'))}"

    @property
    def current(self) -> str:
        """Version in use, and "" for none."""
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else ""

    @property
    def versions(self) -> list[str]:
        return (self.root / "versions").read_text().split()

    def know_host(self) -> None:
        """Tell the client the server's key, as a user who has logged in once."""
        key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}")

    def renew_host_key(self) -> None:
        """Have the client know another key than the server's."""
        self._keygen("other_key")
        key = (self.folder / "other_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}")

    def stand_in(self, name: str, script: str) -> Path:
        """Put a shell script into the board's PATH, in place of the tool of that name."""
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def restore(self, name: str) -> None:
        """Put the real tool back."""
        (self.tools / name).unlink()
        (self.tools / name).symlink_to(shutil.which(name) or "/missing")

    def stop(self) -> None:
        line = ["ssh", "-F", self.folder / "ssh_config", "-O", "exit", "board"]
        subprocess.run(line, check=False, stderr=self._log)
        self._server.terminate()
        self._server.wait(10)
        self._log.close()
        # ssh removes its socket after it has answered: perhaps while we remove the folder.
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _keygen(self, name: str) -> None:
        line = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.folder / name]
        subprocess.run(line, check=True)

    def _wait(self) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())
