"""The programs for Arm boards under qemu-user: the same text as the host's and as Python's."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from tests.conftest import branched_bundle, draw_character
from tests.edge_runtime.conftest import FAMILIES, ROOT, build_runtime
from tests.image_files import damaged, jpeg_files, lossless_files
from tests.networks import random_bundle

pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")

SHIPPED = ROOT / "models/scene62/scene62.egb"


@pytest.fixture(scope="module", params=FAMILIES)
def board(request):
    """Name and folder of a board's build, and the command that runs its programs."""
    emulator, libraries, _ = FAMILIES[request.param]
    if not shutil.which(emulator):
        pytest.skip(f"no {emulator} on this machine (Debian: qemu-user)")
    folder = build_runtime(request.param)
    return request.param, folder, [emulator, "-L", libraries, folder / "edge_classify"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Hundreds of images: every kind of file, damaged ones, characters of odd sizes."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(3)
    for name, data in [*lossless_files(30), *jpeg_files(30)]:
        (root / name).write_bytes(data)
        if not name.endswith("jpg"):
            (root / f"bad-{name}").write_bytes(damaged(data, rng))
    for i, symbol in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"):
        draw_character(symbol, 9 + 2 * i, 3 * i, i % 5).save(root / f"char{i}.png")
    return root


@pytest.mark.parametrize("make", [None, branched_bundle, lambda: random_bundle(8)])
def test_the_same_text_on_every_processor(make, board, images, tmp_path, run_cli, classify_native):
    bundle = SHIPPED
    if make:
        bundle = tmp_path / "a.egb"
        write_bundle(bundle, make())
    arguments = ["--bundle", str(bundle), "--json", "--top-k", "5", str(images)]
    done = subprocess.run([*board[2], *arguments], capture_output=True, check=False)
    found = done.returncode, done.stdout.decode()
    assert found == classify_native(*arguments)[:2]
    assert found == run_cli(main, "classify", "--backend", "int8", *arguments)[:2]
    assert len(found[1].splitlines()) > 350


def test_self_test_and_threads(board, images):
    bundle = ["--bundle", str(SHIPPED)]
    done = subprocess.run([*board[2], *bundle, "--self-test"], capture_output=True, check=True)
    assert done.stdout.startswith(b"self-test of bundle 'scene62' passed")
    few = sorted(images.glob("char*.png"))[:12]
    one, three = (
        subprocess.run([*board[2], *bundle, "--threads", n, *few], capture_output=True, check=True)
        for n in ("1", "3")
    )
    assert one.stdout == three.stdout


def test_what_is_built_runs_on_old_boards(board):
    """Right processor, below 1 MB, and no C library newer than that of the oldest board image."""
    name, folder, _ = board
    program = folder / "edge_classify"
    data = program.read_bytes()
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[18:20], "little") == FAMILIES[name][2]
    assert len(data) < 700_000
    versions = {tuple(map(int, v.split(b"."))) for v in re.findall(rb"GLIBC_(\d+\.\d+)", data)}
    assert max(versions) <= (2, 17)
    for file in ("libedge_runtime.so", "libedge_runtime.a"):
        assert (folder / file).is_file()


def test_every_board_names_a_toolchain():
    import tomllib

    for path in (ROOT / "edge_runtime/boards").glob("*.toml"):
        runtime = tomllib.loads(path.read_text())["runtime"]
        if path.stem != "host":
            assert set(runtime) == {"zig_target", "zig_flags", "gcc_triple", "gcc_flags"}
