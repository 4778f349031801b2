"""No access outside of memory, no undefined behaviour, no leak: sanitizers and valgrind."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from edge_runtime.bundle import write_bundle
from tests.conftest import branched_bundle
from tests.edge_runtime.conftest import ROOT, build_runtime
from tests.image_files import damaged, jpeg_files, lossless_files, mended
from tests.networks import random_bundle


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Good and damaged files of every kind."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(4)
    for name, data in [*lossless_files(40), *jpeg_files(40)]:
        (root / name).write_bytes(data)
        for i in range(3):
            broken = damaged(data, rng)
            (root / f"{i}-{name}").write_bytes(mended(broken) if name[0] == "c" else broken)
    return root


def test_sanitizers_find_nothing(native_build, images, tmp_path):
    folder = native_build.parent / "host-sanitized"
    build_runtime("host", "--sanitize", "--output", str(folder))
    wide = [random_bundle(seed, wide=True) for seed in range(212, 216)]
    bundles = [branched_bundle(), *map(random_bundle, range(200, 212)), *wide]
    shipped = (ROOT / "models/scene62/scene62.egb").read_bytes()
    environment = os.environ | {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}
    program = folder / "edge_classify"
    known = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    for i, bundle in enumerate(bundles):
        path = tmp_path / f"{i}.egb"
        write_bundle(path, bundle)
        shown = [images] if i == 0 else ["--self-test"]
        done = subprocess.run(
            [folder / "edge_classify", "--bundle", path, "--json", "--threads", "2", *shown],
            capture_output=True,
            check=False,
            env=os.environ | {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"},
        )
        assert done.returncode == (2 if i == 0 else 0), done.stderr.decode()[:3000]
        assert done.stderr == b""


def test_valgrind_finds_nothing(native_build, images):
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind on this machine")
    bundle = ROOT / "models/scene62/scene62.egb"
    picked = sorted(images.iterdir())[::9]
    command = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"]
    command += [native_build / "edge_classify", "--bundle", bundle, *picked]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr.decode()[:3000]
