"""A board at the other end of the system's own ssh, rsync and scp.

Keys, passwords, host keys and jump hosts are ssh's business: nothing here reads or weakens them.
Nothing asks either (BatchMode); what ssh refuses becomes one line that says what to do.
"""

import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import DeploymentError, SettingsError

SCRIPT = Path(__file__).with_name("on_board.sh")
# A user's options stand before these, and ssh takes the first value that it finds.
_DEFAULTS = ("ConnectTimeout=10", "ServerAliveInterval=10", "ServerAliveCountMax=3")
_HOST = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?P<name>\[[0-9A-Fa-f:.%\w]+\]|[^@:\s]+)(?::(?P<port>\d+))?"
)
_FILE_ERROR = 11  # rsync's code for a disk that fails at either end
_STEP_S = 900  # no step on a board takes that long, unless its DPU or its disk hangs

# What ssh says, and what to do about it.
_ADVICE = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its host key is not the one that this computer "
    "knows: another machine answers, or the board was set up anew; if you know that it was, run "
    "`ssh-keygen -R {listed}` and log in once",
    "Host key verification failed": "this computer does not know its host key: log in once with "
    "`ssh {port}{login}`, compare the fingerprint that ssh shows with the board's own "
    "(`ssh-keygen -lf` on its console), and answer yes",
    r"Permission denied \([a-z]": "it wants a password or another key: copy your key there once "
    "with `ssh-copy-id {port}{login}`, or load it with ssh-add",
    "Too many authentication failures": "too many keys are offered: SSH_OPTIONS='-i KEY' names one",
    "Could not resolve hostname": "no such name in the network; try the board's address",
    "Connection refused": "the machine answers, but no ssh server; start it, or name its port: "
    "HOST=user@name:port",
    "No route to host|Network is unreachable|[Cc]onnection timed out|Operation timed out": "cannot "
    "be reached; is it on, and in the same network? try: ping {name}",
}


class ConnectionLostError(DeploymentError):
    """The connection broke; the board may hold a part of what was being sent."""


@dataclass(frozen=True)
class Host:
    """Where a board is: ``login`` as ssh takes it (user@name), and a port unless ssh knows it."""

    login: str
    port: str = ""

    @classmethod
    def parse(cls, text: str) -> "Host":
        """Read ``[user@]name[:port]``; name may be an address, [IPv6], or from ~/.ssh/config."""
        found = _HOST.fullmatch(text)
        if not found or text.startswith("-") or not 0 < int(found["port"] or 22) < 65536:
            raise SettingsError(
                f"HOST is {text!r}; write it like root@192.168.1.10, root@zedboard:2222, root@[::1]"
            )
        name = found["name"].strip("[]")
        return cls(f"{found['user']}@{name}" if found["user"] else name, found["port"] or "")

    def __str__(self) -> str:
        return self.login

    @property
    def of_files(self) -> str:
        """The login as rsync and scp take it before ``:path``: an IPv6 address in brackets."""
        user, at, name = self.login.rpartition("@")
        return f"{user}{at}[{name}]" if ":" in name else self.login


class Connection:
    """Runs `on_board.sh` on a board, and sends folders there.

    Parameters
    ----------
    options : further options of ssh, which scp understands as well: -F, -i, -J, -o
    """

    def __init__(self, host: Host, options: Sequence[str] = ()) -> None:
        if not shutil.which("ssh"):
            raise DeploymentError(
                "no ssh on this machine; on Debian: apt-get install openssh-client"
            )
        self.host = host
        own = [f"Port={host.port}"] if host.port else []
        self._options = ["-o", "BatchMode=yes", *options]
        for option in (*own, *_DEFAULTS):
            self._options += ["-o", option]

    def run(self, command: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """Run a command of `on_board.sh`; return its output, its exit code whatever it be.

        Raises
        ------
        DeploymentError
            The board cannot be reached, or what is there reports a problem.
        """
        remote = shlex.join(["sh", "-s", "--", command, *map(str, arguments)])
        line = ["ssh", "-T", *self._options, "--", self.host.login, remote]
        done = self._finish(line, SCRIPT.read_bytes())
        if done.returncode == 255:  # ssh's own
            self._explain(done.stderr)
            raise ConnectionLostError(f"{self.host}: ssh failed: {last_line(done.stderr)}")
        if done.returncode == 4:  # on_board.sh's own
            raise DeploymentError(f"{self.host}: {last_line(done.stderr)}")
        return done

    def facts(self, command: str, *arguments: object) -> dict[str, str]:
        """Run a command that prints ``key=value`` lines; an exit code but 0 is an error."""
        done = self.run(command, *arguments)
        if done.returncode:
            raise DeploymentError(f"{self.host}: {command} failed: {last_line(done.stderr)}")
        pairs = (line.partition("=") for line in done.stdout.decode(errors="replace").splitlines())
        return {key: value for key, _, value in pairs}

    def send(self, folder: Path, target: str, rsync: bool) -> None:
        """Copy all that is in ``folder`` into the folder ``target``, by rsync or else by scp.

        What an earlier try has left there is used by rsync and overwritten by scp.
        """
        if rsync:
            line = ["rsync", "-rtp", "--checksum", "--partial", "--delete", "--timeout=120"]
            line += ["-e", shlex.join(["ssh", *self._options])]
            line += ["--", f"{folder}/", f"{self.host.of_files}:{target}/"]
        else:
            inside = sorted(map(str, folder.iterdir()))
            old = ["-O"] if _scp_has_old_protocol() else []  # small ssh servers have no SFTP
            line = ["scp", "-q", "-r", "-p", *old, *self._options, "--", *inside]
            line += [f"{self.host.of_files}:{target}/"]
        done = self._finish(line, b"")
        if done.returncode:
            text = done.stderr.decode(errors="replace")
            if "No space left" in text or "Disk quota" in text:
                raise DeploymentError(f"{self.host}: the disk is full, {target} does not fit")
            # rsync's receiver often ends before its message has left the board
            if line[0] == "rsync" and done.returncode == _FILE_ERROR and not text.strip():
                raise DeploymentError(f"{self.host}: the disk is full or failing, see {target}")
            if "Read-only file system" in text or "Permission denied (13)" in text:
                raise DeploymentError(f"{self.host}: {target} cannot be written")
            self._explain(done.stderr)
            raise ConnectionLostError(
                f"{self.host}: the transfer broke off ({line[0]}: {last_line(done.stderr)}); the "
                "same command goes on with it"
            )

    def _finish(self, line: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                line, input=given, capture_output=True, check=False, timeout=_STEP_S
            )
        except subprocess.TimeoutExpired:
            raise ConnectionLostError(
                f"{self.host}: no answer for {_STEP_S} s; the board hangs: restart it"
            ) from None

    def _explain(self, said: bytes) -> None:
        """Raise what ssh's words mean, where they are known."""
        text = said.decode(errors="replace")
        name, port = self.host.login.rpartition("@")[2], self.host.port
        fields = {
            "login": self.host.login,
            "name": name,
            "port": f"-p {port} " if port else "",
            "listed": shlex.quote(f"[{name}]:{port}" if port else name),
        }
        for words, advice in _ADVICE.items():
            if re.search(words, text):
                raise DeploymentError(f"{self.host}: {advice.format(**fields)}")
        if re.search("closed by|reset by|Broken pipe|not responding|lost connection", text):
            raise ConnectionLostError(
                f"{self.host}: the connection was lost; the same command goes on from here"
            )


def last_line(text: bytes) -> str:
    """Last line of what a program said, the one that names the failure."""
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


@functools.cache
def _scp_has_old_protocol() -> bool:
    """Whether scp knows -O, as from OpenSSH 8.7 on; before, there is nothing but that protocol."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", said)
    return found is not None and (int(found[1]), int(found[2])) >= (8, 7)
