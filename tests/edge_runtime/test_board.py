"""Board descriptions: those that ship, and what is refused in one line."""

import os
import subprocess
import sys

import pytest

from edge_runtime.board import FOLDER, board_names, read_board
from edge_runtime.errors import SettingsError
from quantize.dpu import TARGETS
from tests.edge_runtime.conftest import ROOT

PLAIN = """
title = "a board"
cpu = "a processor"
abi = "armhf"
[runtime]
zig_target = "arm-linux-gnueabihf.2.17"
zig_flags = ["-mcpu=cortex_a9"]
gcc_triple = "arm-linux-gnueabihf"
gcc_flags = ["-O1"]
[deploy]
folder = "/opt/x"
"""
DNNDK = '[dpu]\ntarget = "B1152"\nflow = "dnndk"\ndpu = "1152FA"\ncpu_arch = "arm32"\n'
VITIS = '[dpu]\ntarget = "B4096"\nflow = "vitis-ai"\nfingerprint = "0x1"\nimage = "i"\n'


def test_the_boards_that_ship():
    assert board_names() == [
        *("generic-aarch64", "generic-armhf", "host", "kv260", "pynq-z2", "rpi", "ultra96"),
        *("zcu102", "zcu104", "zedboard"),
    ]
    boards = {name: read_board(name) for name in board_names()}
    for name, board in boards.items():
        assert board.name == name
        assert board.deploy.folder == "/opt/edgeglyph"
        if board.abi != "native":
            part = {"armhf": "gnueabihf", "aarch64": "aarch64"}[board.abi]
            assert part in board.runtime.zig_target
            assert part in board.runtime.gcc_triple
            assert board.runtime.zig_flags
            assert board.runtime.gcc_flags
        if board.dpu is not None:
            assert board.dpu.target in TARGETS
    with_dpu = {n: (b.dpu.target, b.dpu.flow) for n, b in boards.items() if b.dpu is not None}
    assert with_dpu == {
        "zedboard": ("B1152", "dnndk"),
        "pynq-z2": ("B1152", "dnndk"),
        "zcu102": ("B4096", "vitis-ai"),
        "zcu104": ("B4096", "vitis-ai"),
        "kv260": ("B4096", "vitis-ai"),
        "ultra96": ("B2304", "vitis-ai"),
    }
    # The vendor's fingerprint of a size; the last four digits name it.
    sizes = {"0x101000056010407": "B4096", "0x101000056010405": "B2304"}
    for board in boards.values():
        if board.dpu is not None and board.dpu.flow == "vitis-ai":
            assert sizes[board.dpu.fingerprint] == board.dpu.target


def test_a_new_board_is_a_new_file(tmp_path):
    (tmp_path / "mine.toml").write_text(PLAIN)
    (tmp_path / "other.toml").write_text(PLAIN + VITIS)
    assert board_names(tmp_path) == ["mine", "other"]
    board = read_board("mine", tmp_path)
    assert board.dpu is None
    assert board.runtime.gcc_flags == ("-O1",)
    found = read_board("other", tmp_path).dpu
    assert found is not None
    assert (found.image, found.arch) == ("i", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", "not a TOML file"),
        ("title = 'x'\n", "lacks the key cpu"),
        (f"color = 'red'\n{PLAIN}", "no key color; there are name, title, cpu, abi"),
        (PLAIN.replace("gcc_flags", "gcc_flag"), "no key runtime.gcc_flag; there are gcc_flags"),
        (PLAIN.replace('"a board"', "3"), "title must be a text of one line, not 3"),
        (PLAIN.replace('"a board"', '"a\\nb"'), "title must be a text of one line"),
        (PLAIN.replace('["-O1"]', '"-O1"'), "runtime.gcc_flags must be a list of texts"),
        (PLAIN.replace('["-O1"]', "[1]"), "runtime.gcc_flags must be a list of texts"),
        (PLAIN.replace("armhf", "mips"), "abi is 'mips'; there are native, armhf, aarch64"),
        (
            PLAIN.replace('zig_target = "arm-linux-gnueabihf.2.17"\n', ""),
            "needs runtime.zig_target",
        ),
        (PLAIN.replace("/opt/x", "opt"), "deploy.folder is 'opt'; name a folder, from / on"),
        (PLAIN.replace("/opt/x", "/"), "deploy.folder is '/'"),
        ("runtime = 3\ndeploy = 3\n" + PLAIN.split("[runtime]")[0], "must be a table [runtime]"),
        (PLAIN + DNNDK.replace("dnndk", "hls"), "dpu.flow is 'hls'; there are dnndk, vitis-ai"),
        (PLAIN + DNNDK.replace("arm32", "arm16"), "dpu.cpu_arch is 'arm16'; there are arm32"),
        (PLAIN + DNNDK.replace('dpu = "1152FA"\n', ""), "dpu.flow 'dnndk' needs the key dpu.dpu"),
        (PLAIN + VITIS.replace('image = "i"\n', ""), "needs the key dpu.image"),
        (PLAIN + VITIS.replace("0x1", "B4096"), "dpu.fingerprint is 'B4096'; write it like 0x1010"),
        (PLAIN + VITIS.replace("0x1", "0x11111111111111111"), "dpu.fingerprint is '0x1111"),
    ],
)
def test_what_is_refused(text, words, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        read_board("bad", tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/bad.toml: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_boards_are_not_looked_for_elsewhere(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "up.toml").write_text(PLAIN)
    (tmp_path / "b/a.toml").write_text(PLAIN)
    for name in ("up", "../up", ""):
        with pytest.raises(SettingsError, match=r"no board .*; there are: a$"):
            read_board(name, tmp_path / "b")


def test_the_shells_view():
    """`key=value` lines, read with the standard library alone (-S: no packages)."""
    line = [sys.executable, "-S", "-m", "edge_runtime.board"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*line, "zedboard"], env=env, capture_output=True, text=True, check=True)
    values = dict(row.split("=", 1) for row in done.stdout.splitlines())
    assert values["name"] == "zedboard"
    assert values["dpu.flow"] == "dnndk"
    assert values["dpu.dcf"] == "ZedBoard.dcf"
    assert values["deploy.folder"] == "/opt/edgeglyph"
    assert "runtime.zig_flags" not in values
    names = subprocess.run(line, env=env, capture_output=True, text=True, check=True)
    assert names.stdout.split() == board_names()
    done = subprocess.run([*line, "zed"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_boards_are_installed_with_the_package():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"boards/*.toml"' in text
    assert FOLDER.parent.name == "edge_runtime"
