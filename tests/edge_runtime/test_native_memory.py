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
from tests.networks import hard_inputs, random_bundle


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


def test_sanitizers_find_nothing(native_build, supported_isas, images, tmp_path):
    folder = native_build.parent / "host-sanitized"
    build_runtime("host", "--sanitize", "--output", str(folder))

    def run(bundle, *arguments):
        path = tmp_path / "a.egb"
        write_bundle(path, bundle)
        return subprocess.run(
            [folder / "edge_classify", "--bundle", path, *arguments],
            capture_output=True,
            check=False,
            env=os.environ | {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"},
        )

    done = run(branched_bundle(), "--json", "--threads", "2", images)
    assert (done.returncode, done.stderr) == (2, b""), done.stderr.decode()[:3000]
    for seed in range(200, 214):
        bundle = random_bundle(seed, seed % 4 == 0, hard_inputs(seed)[::4])
        for isa in supported_isas:
            done = run(bundle, "--self-test", "--isa", isa)
            assert (done.returncode, done.stderr) == (0, b""), (isa, done.stderr.decode()[:3000])


def test_valgrind_finds_nothing(native_build, images):
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind on this machine")
    bundle = ROOT / "models/scene62/scene62.egb"
    picked = sorted(images.iterdir())[::9]
    command = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full"]
    command += [native_build / "edge_classify", "--bundle", bundle, *picked]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr.decode()[:3000]
