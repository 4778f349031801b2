"""Deployment over a real ssh server: what arrives, what is refused, what stays when it fails."""

import configparser
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.bundle import write_bundle
from tests.board_server import Board, build_processor, need_tools
from tests.conftest import draw_character, toy_bundle
from tests.edge_runtime.conftest import build_runtime

ROOT = Path(__file__).resolve().parent.parent
BUSYBOX = (
    "sh",
    "cat",
    "cut",
    "df",
    "du",
    "grep",
    "head",
    "id",
    "ln",
    "mkdir",
    "mv",
    "readlink",
    "rm",
)
BUSYBOX += ("sed", "sha256sum", "sync", "tail", "touch", "wc", "xargs")


@pytest.fixture(scope="module")
def program():
    """The ZedBoard's program."""
    need_tools()
    pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")
    return build_runtime("zedboard") / "edge_classify"


@pytest.fixture(scope="module")
def processor(tmp_path_factory, program):
    return build_processor(tmp_path_factory.mktemp("processor"))


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Two bundles, first.egb and second.egb, and images/ in class folders."""
    root = tmp_path_factory.mktemp("material")
    for seed, name in enumerate(("first", "second")):
        write_bundle(root / f"{name}.egb", toy_bundle(seed=seed))
    for symbol in "ABCDEF":
        (root / f"images/upper_{symbol}").mkdir(parents=True)
        for i in range(2):
            image = draw_character(symbol, 20 + 9 * i)
            image.save(root / f"images/upper_{symbol}/{i}.png")
    return root


@pytest.fixture
def board(tmp_path, processor):
    found = Board(tmp_path / "board", processor)
    yield found
    found.stop()


@pytest.fixture
def call(board, tmp_path):
    """Run scripts/deploy.py; return exit code, stdout and stderr."""

    def run(command, *arguments, host="board", name="zedboard"):
        line = [sys.executable, ROOT / "scripts/deploy.py", command, f"--host={host}"]
        line += ["--board", name, f"--ssh-options={board.ssh_options}", "--folder", board.root]
        done = subprocess.run(
            [*map(str, line), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def deploy(call, material, program, tmp_path):
    """Deploy a bundle of ``material``; return exit code, stdout and stderr."""

    def run(bundle="first", *arguments, images=None, **options):
        given = {
            "--bundle": material / f"{bundle}.egb",
            "--program": program,
            "--images": images or material / "images",
            "--output": tmp_path / "out",
        }
        line = [str(part) for pair in given.items() for part in pair]
        return call("deploy", *line, *arguments, **options)

    return run


def deployed(found):
    code, out, err = found
    assert code == 0, err
    return out.split(" ")[0]


def refused(found, *words, code=2):
    """The one line that a failure gave, after progress that names the board."""
    assert found[0] == code, found
    assert "Traceback" not in found[2]
    last = found[2].strip().splitlines()[-1]
    assert last.startswith("deploy: "), found[2]
    for word in words:
        assert word in last
    return last


def test_from_the_first_version_to_the_next_and_back(board, deploy, call, material, tmp_path):
    code, out, err = deploy("first")
    assert code == 0, err
    first = board.current
    assert out.startswith(f"{first} on zedboard (armv7l) at board, 12 images\n")
    assert "by rsync" in err
    assert "self-test of bundle 'toy' passed" in err
    assert "agreement                  12 of 12 lines are the same text" in out
    release = board.root / "current"
    assert (release / "classifier.egb").read_bytes() == (material / "first.egb").read_bytes()
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["version"] == first
    assert report["earlier_version"] == ""
    assert report["accuracy"] == report["host_accuracy"]
    assert report["agreement"]["value"] == 1
    assert 0 < report["one_thread"]["median_us"] <= report["one_thread"]["p99_us"]
    assert (tmp_path / "out/board.jsonl").read_text().count('"logits"') == 12

    second = deployed(deploy("second"))
    assert board.current == second != first
    assert board.versions == [first, second]
    assert call("versions")[1].splitlines() == [f"  {first}", f"* {second}"]
    assert call("rollback")[1].splitlines() == [f"* {first}", f"  {second}"]
    assert board.current == first
    refused(call("rollback"), "no version before", second)
    refused(call("rollback", "--version", "other-123"), "no version 'other-123'", first, second)
    assert call("rollback", "--version", second)[0] == 0
    assert board.current == second
    assert not (board.root / "incoming").exists()


def test_the_same_version_is_not_sent_twice_and_a_damaged_one_is(board, deploy):
    version = deployed(deploy("first"))
    bundle = board.root / "releases" / version / "classifier.egb"
    good, when = bundle.read_bytes(), bundle.stat().st_ino
    code, _, err = deploy("first")
    assert code == 0
    assert f"{version} is there already" in err
    assert bundle.stat().st_ino == when
    bundle.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    code, _, err = deploy("first")
    assert code == 0
    assert "by rsync" in err
    assert bundle.read_bytes() == good
    assert board.versions == [version]


def test_three_earlier_versions_are_kept(board, deploy, call):
    found = [deployed(deploy("first", "--samples", n)) for n in range(1, 5)]
    assert board.versions == found
    # what was in use last is what the next rollback returns to, also after a rollback
    assert call("rollback", "--version", found[1])[0] == 0
    newest = deployed(deploy("second"))
    left = [found[2], found[3], found[1], newest]
    assert board.versions == left
    assert sorted(p.name for p in (board.root / "releases").iterdir()) == sorted(left)


def test_a_board_with_busybox_and_without_rsync(board, deploy, call):
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("no busybox on this machine (Debian: busybox)")
    for name in (*BUSYBOX, "rsync"):
        (board.tools / name).unlink()
    for name in BUSYBOX:
        (board.tools / name).symlink_to(busybox)
    code, _, err = deploy("first")
    assert code == 0, err
    assert "by scp" in err
    first, second = board.current, deployed(deploy("second"))
    assert call("rollback")[1].splitlines() == [f"* {first}", f"  {second}"]


def test_old_tools(board, deploy, call, material, tmp_path):
    """No sha256sum, and a `mv` without -T, as in old busybox."""
    board.stand_in("mv", f'[ "$1" = -T ] && exit 1\nexec {shutil.which("mv")} "$@"')
    (board.tools / "sha256sum").unlink()
    first = deployed(deploy("first"))
    openssl = shutil.which("openssl")
    if openssl:
        (board.tools / "openssl").symlink_to(openssl)
    second = deployed(deploy("second"))
    assert board.current == second
    assert call("rollback")[0] == 0
    assert board.current == first
    bundle = board.root / "releases" / second / "classifier.egb"
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"\x01")
    for tool in ("openssl", "none"):  # whichever is there finds it, and sends the version again
        assert "by rsync" in deploy("second")[2], tool
        bundle.write_bytes(bundle.read_bytes()[:-1] + b"\x01")
        (board.tools / "openssl").unlink(missing_ok=True)


@pytest.mark.parametrize("tool", ["rsync", "scp"])
def test_an_interrupted_transfer_is_taken_up(board, deploy, tool):
    first = deployed(deploy("first"))
    if tool == "scp":
        (board.tools / "rsync").unlink()
    real = shutil.which(tool)
    # 100 kB arrive, unbuffered, then the receiver is gone, and with scp the whole connection
    few = "dd bs=1 count=100000 2>/dev/null"
    board.stand_in(tool, f'{few} | {real} "$@"\n' + ("kill -9 $PPID" * (tool == "scp")))
    found = deploy("second", host="fresh")
    refused(found, "broke off" if tool == "rsync" else "same command")
    assert board.current == first
    assert any((board.root / "incoming").rglob("*"))
    board.restore(tool)
    second = deployed(deploy("second"))
    assert board.current == second
    assert not (board.root / "incoming").exists()


def test_what_another_version_left_is_removed(board, deploy):
    left = board.root / "incoming/toy-000000000000"
    left.mkdir(parents=True)
    (left / "classifier.egb").write_bytes(bytes(1000))
    deployed(deploy("first"))
    assert not left.exists()


@pytest.mark.parametrize("tool", ["rsync", "scp"])
def test_a_disk_that_fills_up(board, deploy, tool):
    """The transfer ends, what has arrived is removed, the earlier version stays."""
    first = deployed(deploy("first"))
    if tool == "scp":
        (board.tools / "rsync").unlink()
    board.full.touch()
    refused(deploy("second"), "disk is full")
    assert board.current == first
    assert not any((board.root / "incoming").iterdir())
    board.full.unlink()
    assert deploy("second")[0] == 0


def test_a_disk_without_room_is_told_first(board, deploy):
    board.stand_in("df", "echo Filesystem 1024-blocks Used\necho /dev/x 9000 8000 700 89% /")
    last = refused(deploy("first"), "700 KB are free", "are needed")
    assert "SAMPLES=" in last
    assert not any((board.root / "incoming").iterdir())


@pytest.mark.parametrize(
    ("machine", "words"), [("aarch64", "is aarch64"), ("x86_64", "is x86_64"), ("mips", "is mips")]
)
def test_another_processor(board, deploy, machine, words):
    board.stand_in("uname", f"echo {machine}")
    refused(deploy("first"), words, "BOARD=zedboard needs armv7l or armv8l")
    assert not board.root.exists()


def test_a_32_bit_system_on_a_64_bit_kernel(board, deploy):
    board.stand_in("uname", "echo aarch64")
    board.stand_in("getconf", "echo 32")
    assert "(armv8l)" in deploy("first")[1]


def test_a_program_for_another_board(board, deploy, tmp_path):
    text = refused(deploy("first", "--program", "/bin/true"), "made for", "needs armhf")
    assert "make runtime BOARD=zedboard" in text
    refused(deploy("first", "--program", tmp_path / "none"), "missing", "make runtime")
    assert not board.root.exists()


def test_hosts_that_cannot_be_reached(deploy):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        refused(deploy(host=address), "no ssh server")
    refused(deploy(host="none.invalid"), "none.invalid: no such name")
    refused(deploy(host="-oProxyCommand=x"), "HOST is '-oProxyCommand=x'")
    refused(deploy(host="root@board:99999"), "HOST is")


def test_host_keys_are_respected(board, deploy):
    board.known_hosts.unlink()
    refused(deploy(host="fresh"), "does not know its host key", "`ssh fresh`", "fingerprint")
    assert not board.known_hosts.exists()
    board.renew_host_key()
    refused(deploy(host="fresh"), "not the one that this computer knows", "ssh-keygen -R")
    board.know_host()
    address = f"{os.environ.get('USER') or Path.home().owner()}@127.0.0.1:{board.port}"
    assert f"at {address.rpartition(':')[0]}," in deploy(host=address)[1]


def test_a_key_that_the_board_does_not_take(board, deploy):
    (board.folder / "user_key.pub").write_text("")
    refused(deploy(host="fresh"), "password or another key", "ssh-copy-id fresh")


def test_a_bundle_damaged_here_is_not_sent(board, deploy, material):
    bad = bytearray((material / "first.egb").read_bytes())
    bad[-100] ^= 1
    (material / "bad.egb").write_bytes(bad)
    refused(deploy("bad"), "bad.egb")
    refused(deploy("none"), "missing", "make compile BOARD=zedboard")
    assert not board.root.exists()


def test_damage_on_the_way_and_on_the_board(board, deploy, call):
    """By the hashes, and where the disk decays after these, by the program's own self-test."""
    first = deployed(deploy("first"))
    decay = "dd if=/dev/zero of=classifier.egb bs=1 seek=9000 count=64 conv=notrunc 2>/dev/null"
    board.stand_in("sha256sum", f'{decay}\nexec {shutil.which("sha256sum")} "$@"')
    refused(deploy("second"), "classifier.egb arrived damaged", code=1)
    board.stand_in("sha256sum", f'{shutil.which("sha256sum")} "$@"\n{decay}')
    refused(deploy("second"), "self-test", "failed", "current version stays", code=1)
    assert board.current == first
    board.restore("sha256sum")
    second = deployed(deploy("second"))
    bundle = board.root / "releases" / first / "classifier.egb"
    bundle.write_bytes(bundle.read_bytes()[:-100] + bytes(100))
    refused(call("rollback"), "self-test", first, code=1)
    assert board.current == second


def test_answers_that_differ_are_named(board, deploy, tmp_path):
    """A board that computes something else, where the self-test does not see it."""
    first = deployed(deploy("first"))
    emulator = board.emulator.read_text().replace("exec ", "").strip()
    change = r"""sed 's/^\(.*00003.*"logits": \[\)[-0-9]*/\1999/'"""
    board.stand_in("emulator", f"{emulator} | {change}")
    last = refused(deploy("second"), "differ", "in 1 of 12", "images/00003.png", code=1)
    assert "upper_B/0.png" in last
    assert "logits[0] is 999 on the board" in last
    assert (tmp_path / "out/differences.txt").read_text().count("\n") == 1
    assert board.current == first
    assert not any((board.root / "incoming").iterdir())


def test_a_program_that_cannot_run_there(board, deploy):
    board.stand_in("emulator", "kill -ILL $$")
    refused(deploy("first"), "self-test", "signal 4", "processor lacks", code=1)
    board.stand_in("emulator", "exit 127")
    refused(deploy("first"), "cannot be started there", code=1)
    assert board.current == ""


def test_images_without_labels(board, deploy, tmp_path):
    (tmp_path / "plain").mkdir()
    for symbol in "xyz":
        draw_character(symbol).save(tmp_path / f"plain/{symbol}.png")
    (tmp_path / "plain/broken.png").write_bytes(b"no image")
    code, out, err = deploy("first", images=tmp_path / "plain")
    assert code == 0, err
    assert "accuracy" not in out
    assert "accuracy is not measured" in err
    assert "1 images" in err
    assert "3 of 3 lines are the same text" in out


def test_a_folder_that_cannot_be_written(board, deploy):
    board.root = Path("/proc/edgeglyph")  # not even by root
    refused(deploy("first"), "cannot write", "sudo chown", "FOLDER=")


def test_a_folder_that_is_a_file(board, deploy):
    board.root.parent.mkdir()
    board.root.write_text("")
    refused(deploy("first"), "cannot write", "sudo chown", "FOLDER=")


@pytest.mark.parametrize("folder", ["relative", "/", "/a b", "/a/../b", "/$x"])
def test_folders_that_a_shell_could_misread(deploy, folder):
    refused(deploy("first", "--folder", folder), "FOLDER is")


def test_units(board, deploy, material, tmp_path):
    """Units are refused where nothing can take them; installed, their commands do what they say."""
    refused(deploy("first", "--systemd", tmp_path / "units"), "no systemd")
    assert not board.root.exists()
    (tmp_path / "units").mkdir()
    board.stand_in("sudo", 'shift\nexec "$@"')  # for those who are not root here
    board.stand_in("systemctl", f'echo "$*" >>{tmp_path}/calls')
    code, _, err = deploy("first", "--systemd", tmp_path / "units")
    assert code == 0, err
    calls = (tmp_path / "calls").read_text()
    units = {}
    for path in (tmp_path / "units").iterdir():
        units[path.name] = configparser.ConfigParser(interpolation=None)
        units[path.name].optionxform = str
        units[path.name].read(path)
        assert path.name in calls
    assert set(units) == {
        *("edgeglyph-selftest.service", "edgeglyph-inbox.service", "edgeglyph-inbox.path")
    }
    assert units["edgeglyph-inbox.path"]["Path"]["PathChanged"] == f"{board.root}/inbox"

    def start(service):
        command = units[service]["Service"]["ExecStart"]
        line = ["ssh", *board.ssh_options.split(), "board", command]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    assert "self-test of bundle 'toy' passed" in start("edgeglyph-selftest.service").stdout
    inbox = board.root / "inbox"
    shutil.copyfile(material / "images/upper_A/0.png", inbox / "a name.png")
    (inbox / "half.png.part").write_bytes(b"still being written")
    (inbox / "broken.png").write_bytes(b"no image")
    assert start("edgeglyph-inbox.service").returncode == 0
    lines = [json.loads(line) for line in (board.root / "results.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["inbox/a name.png", "inbox/broken.png"]
    assert "label" in lines[0]
    assert "error" in lines[1]
    assert [p.name for p in inbox.iterdir()] == ["half.png.part"]
    assert (board.root / "classified/a name.png").is_file()
    assert start("edgeglyph-inbox.service").returncode == 0  # nothing to do
    (board.root / "current/classifier.egb").write_bytes(b"")
    (inbox / "half.png.part").rename(inbox / "half.png")
    assert start("edgeglyph-inbox.service").returncode == 1
    assert (inbox / "half.png").is_file()
    assert len((board.root / "results.jsonl").read_text().splitlines()) == 2


def test_make_names_what_is_missing():
    line = ["make", "--no-print-directory", "deploy", "BOARD=zedboard"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        line, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 2
    assert "make deploy BOARD=zedboard HOST=root@address" in done.stderr
