"""edge_classify --backend vart, built against stand-in headers and libraries of Vitis AI."""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.bundle import Bundle, GoldenVectors, write_bundle
from edge_runtime.dpu_kernel import DpuKernel
from edge_runtime.layers import Activation, Conv, IntegerNetwork
from edge_runtime.scores import build_table
from tests.conftest import ALPHABET_62, draw_character
from tests.edge_runtime.conftest import ROOT

STAND_IN = ROOT / "tests/stand_ins/vart"
MODEL = b"7 7 1024 62 1\n"


def picking_bundle(model=MODEL):
    """A network whose logit o is pixel 7 o, which is what the stand-in computes."""
    weights = np.zeros((62, 32 * 32), np.int8)
    weights[np.arange(62), 7 * np.arange(62)] = 1
    none = (0, 0, 0, 0)
    layer = Conv(
        "pick",
        -1,
        weights.reshape(62, 32, 32, 1),
        np.zeros(62, np.int8),
        (1, 1),
        none,
        Activation.NONE,
        0,
        0,
        7,
    )
    network = IntegerNetwork((32, 32, 1), 7, (layer,))
    inputs = np.random.default_rng(0).integers(-128, 128, (3, 32, 32, 1)).astype(np.int8)
    kernel = DpuKernel(
        "vitis-ai",
        "xmodel",
        "pick",
        "subgraph_pick",
        "in",
        1024,
        7,
        "out",
        62,
        7,
        "B4096",
        "",
        model,
    )
    return Bundle(
        "pick",
        ALPHABET_62,
        network,
        build_table(False, 7, 1.0, 1.0),
        GoldenVectors.record(network, inputs),
        dpu=kernel,
    )


def build(output, *options):
    script = ROOT / "scripts/build_runtime.py"
    command = [sys.executable, script, "host", "--output", output, *options]
    settings = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=settings, check=False)


@pytest.fixture(scope="module")
def sysroot(tmp_path_factory):
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    root = tmp_path_factory.mktemp("sysroot")
    shutil.copytree(STAND_IN, root / "usr/include")
    (root / "usr/lib").mkdir()
    for name in ("libvart-runner.so", "libxir.so"):
        command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        command += [f"-I{root / 'usr/include'}", STAND_IN / "vitis.cpp"]
        command += [f"-Wl,-soname,{name}", "-o", root / "usr/lib" / name]
        subprocess.run(command, check=True)
    return root


@pytest.fixture(scope="module")
def program(native_build, sysroot, tmp_path_factory):
    """The host's program with VART; all objects but one are those of the one without."""
    output = tmp_path_factory.mktemp("build") / "host"
    shutil.copytree(native_build, output)
    done = build(output, "--vart", str(sysroot))
    assert done.returncode == 0, done.stderr
    return output / "edge_classify"


@pytest.fixture
def board(program, sysroot, tmp_path):
    def run(*arguments, fault=""):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        settings = {"LD_LIBRARY_PATH": str(sysroot / "usr/lib"), "FAULT": fault}
        done = subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=os.environ | settings | {"TMPDIR": str(scratch)},
            check=False,
        )
        assert list(scratch.iterdir()) == []
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, symbol in enumerate("0123456789abcdefXYZ"):
        draw_character(symbol, 20 + i).save(folder / f"{i}.png")
    return folder


def test_the_dpu_gives_the_engines_integers(board, images, tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, picking_bundle())
    arguments = ["--bundle", path, "--json", images]
    cpu = board(*arguments, "--backend", "cpu")
    assert (cpu[0], len(cpu[1].splitlines()), cpu[2]) == (0, 19, "")
    for more in (["--backend", "vart"], [], ["--threads", "3"]):
        assert board(*arguments, *more) == cpu
    assert "on the DPU by vart" in board("--bundle", path, "--self-test")[1]


REFUSED = {
    "no device": (MODEL, "device", "VART cannot be used: cannot open the DPU"),
    "no xmodel": (b"text", "", "VART cannot be used: this is no xmodel"),
    "failed job": (MODEL, "run", "VART failed with code -1"),
    "two subgraphs": (b"7 7 1024 62 2\n", "", "more than one DPU subgraph"),
    "no subgraph": (b"7 7 1024 62 0\n", "", "no DPU subgraph"),
    "input fix point": (b"6 7 1024 62 1\n", "", "input has fix point 6, the bundle's 7"),
    "output fix point": (b"7 5 1024 62 1\n", "", "output has fix point 5, the bundle's 7"),
    "input size": (b"7 7 1023 62 1\n", "", "input has 1023 bytes, the bundle's 1024"),
    "output size": (b"7 7 1024 63 1\n", "", "output has 63 bytes, the bundle's 62"),
}


@pytest.mark.parametrize(("model", "fault", "words"), REFUSED.values(), ids=REFUSED)
def test_refusals(model, fault, words, board, images, tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, picking_bundle(model))
    code, out, err = board("--bundle", path, "--backend", "vart", images, fault=fault)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err
    code, out, err = board("--bundle", path, images, fault=fault)
    assert (code, len(out.splitlines())) == (0, 19)
    assert err.startswith("edge_classify: running on the CPU: ")
    assert words in err


def test_another_network_does_not_pass_the_self_test(board, images, tmp_path):
    path, bundle = tmp_path / "a.egb", picking_bundle()
    (layer,) = bundle.network.layers
    other = dataclasses.replace(layer, weights=np.roll(layer.weights, 1, axis=0))
    network = dataclasses.replace(bundle.network, layers=(other,))
    golden = GoldenVectors.record(network, bundle.golden.inputs)
    write_bundle(path, dataclasses.replace(bundle, network=network, golden=golden, checks=None))
    code, _, err = board("--bundle", path, "--backend", "vart", images)
    assert code == 1
    assert "failed on the DPU (vart): the logits of golden vector 0 differ" in err


def test_what_a_build_with_vart_needs(tmp_path):
    done = build(tmp_path / "b", "--vart", str(tmp_path))
    assert done.returncode == 2
    assert "no sysroot with VART (lacks usr/include/vart/runner.hpp)" in done.stderr
