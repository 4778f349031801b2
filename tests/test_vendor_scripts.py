"""The wrappers of the vendor's tools, with stand-ins that refuse what the real tools refuse."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import vendor_tools

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tools(tmp_path):
    return vendor_tools.install(tmp_path / "bin")


def run(script, *arguments, env=None):
    return subprocess.run(
        [ROOT / "scripts" / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )


@pytest.fixture
def decent_q_arguments(tmp_path):
    graph = tmp_path / "frozen model.pb"
    graph.write_bytes(b"discriminator/dense/BiasAdd")
    np.savez(tmp_path / "calibration.npz", images=np.zeros((50, 32, 32, 1), np.float32))
    return [
        "--frozen-graph",
        graph,
        "--calibration",
        tmp_path / "calibration.npz",
        "--output",
        tmp_path / "out",
    ]


def test_dry_runs_print_the_documented_command_lines():
    found = run(
        "decent_q.sh",
        "--frozen-graph",
        "/f.pb",
        "--calibration",
        "/c.npz",
        "--output",
        "/o",
        "--dry-run",
    )
    assert found.stdout == (
        "decent_q quantize --input_frozen_graph /f.pb --input_nodes input_real "
        "--input_shapes ?,32,32,1 --output_nodes discriminator/dense/BiasAdd "
        "--input_fn edgeglyph_calibration.batch --method 1 --calib_iter 10 --gpu 0 "
        "--output_dir /o\n"
    )
    found = run(
        "dnnc.sh",
        "--board",
        "zedboard",
        "--deploy-model",
        "/d.pb",
        "--output",
        "/o",
        "--net",
        "chars74k",
        "--dry-run",
    )
    assert found.stdout == (
        "dnnc --parser=tensorflow --frozen_pb=/d.pb --dpu=1152FA --cpu_arch=arm32 "
        "--mode=normal --net_name=chars74k --output_dir=/o\n"
    )
    found = run(
        "dnnc.sh",
        "--board",
        "zedboard",
        "--deploy-model",
        "/d.pb",
        "--output",
        "/o",
        "--dcf",
        "/ZedBoard.dcf",
        "--dry-run",
    )
    assert "--dcf=/ZedBoard.dcf" in found.stdout
    assert "--dpu" not in found.stdout


def test_the_whole_vendor_route(tools, decent_q_arguments, tmp_path):
    found = run("decent_q.sh", *decent_q_arguments, env=tools)
    assert found.returncode == 0, found.stderr
    found = run(
        "dnnc.sh",
        "--board",
        "zedboard",
        "--deploy-model",
        tmp_path / "out/deploy_model.pb",
        "--output",
        tmp_path / "out",
        env=tools,
    )
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "out/dpu_chars_0.elf").exists()
    assert (tmp_path / "out/dnnc.log").exists()


@pytest.mark.skipif(
    bool(shutil.which("decent_q") or shutil.which("dnnc")),
    reason="a real decent_q or dnnc is installed here",
)
def test_absent_tools_are_said_to_be_absent(decent_q_arguments):
    found = run("decent_q.sh", *decent_q_arguments)
    assert found.returncode == 3
    assert "decent_q (DNNDK 3.x) is not on PATH" in found.stderr
    found = run("dnnc.sh", "--board", "zedboard", "--deploy-model", "d", "--output", "o")
    assert found.returncode == 3
    assert "dnnc (DNNDK 3.x) is not on PATH" in found.stderr


def test_failures_show_the_end_of_the_log(tools, decent_q_arguments, tmp_path):
    (tmp_path / "frozen model.pb").write_bytes(b"another graph")
    found = run("decent_q.sh", *decent_q_arguments, env=tools)
    assert found.returncode == 1
    assert "node not found: discriminator/dense/BiasAdd" in found.stderr


def test_a_tool_that_writes_nothing_is_not_believed(tools, decent_q_arguments):
    found = run("decent_q.sh", *decent_q_arguments, env=tools | {"QUIET_FAILURE": "1"})
    assert found.returncode == 1
    assert "wrote no" in found.stderr


def test_two_kernels_are_refused(tools, tmp_path):
    (tmp_path / "d.pb").write_bytes(b"graph")
    found = run(
        "dnnc.sh",
        "--board",
        "zedboard",
        "--deploy-model",
        tmp_path / "d.pb",
        "--output",
        tmp_path,
        env=tools | {"KERNELS": "2"},
    )
    assert found.returncode == 1
    assert "more than one kernel" in found.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("decent_q.sh", ["--frozen-graph"], "--frozen-graph needs a value"),
        ("decent_q.sh", ["--calibration", "c"], "--frozen-graph is needed"),
        ("decent_q.sh", ["--colour", "c"], "unknown option --colour"),
        (
            "dnnc.sh",
            ["--board", "zed", "--deploy-model", "d", "--output", "o"],
            "no board 'zed'; there are: generic-aarch64 generic-armhf host",
        ),
        (
            "dnnc.sh",
            ["--board", "zedboard", "--deploy-model", "d", "--output", "o", "--net", "a b"],
            "letters, digits",
        ),
    ],
)
def test_wrong_use(script, arguments, words):
    found = run(script, *arguments)
    assert found.returncode == 2
    assert words in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_missing_inputs_are_named(tools, tmp_path):
    found = run(
        "decent_q.sh",
        "--frozen-graph",
        tmp_path / "none.pb",
        "--calibration",
        "c",
        "--output",
        tmp_path,
        env=tools,
    )
    assert found.returncode == 2
    assert "none.pb: no such file; run make freeze first" in found.stderr


def test_a_board_without_dnndk_gets_a_bundle_for_its_cpu():
    """Exit code 3 lets `make compile` go on."""
    found = run("dnnc.sh", "--board", "rpi", "--deploy-model", "d", "--net", "n", "--output", "o")
    assert found.returncode == 3
    assert "has no DPU of the DNNDK flow; its bundle runs on the CPU" in found.stderr
