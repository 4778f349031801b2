"""The wrappers of the vendor's tools, with stand-ins that refuse what the real tools refuse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Knows decent_q's options as documented; imports the input function as decent_q does, and refuses
# unknown options, other shapes and missing files.
DECENT_Q = """#!{python}
import importlib, os, sys
import numpy
if sys.argv[1:2] != ["quantize"]:
    sys.exit("decent_q: unknown command")
known = ["input_frozen_graph", "input_nodes", "input_shapes", "output_nodes", "input_fn", "method",
         "calib_iter", "gpu", "output_dir"]
rest, given = sys.argv[2:], {{}}
while rest:
    name = rest.pop(0)
    if name[:2] != "--" or name[2:] not in known or not rest:
        sys.exit("decent_q: unrecognized arguments: " + name)
    given[name[2:]] = rest.pop(0)
if set(given) != set(known) or given["method"] not in "012":
    sys.exit("decent_q: the following arguments are required: " + str(set(known) - set(given)))
if b"discriminator" not in open(given["input_frozen_graph"], "rb").read():
    sys.exit("decent_q: ValueError: node not found: " + given["output_nodes"])
sys.path.insert(0, os.getcwd())
module, function = given["input_fn"].split(".")
for i in range(int(given["calib_iter"])):
    batch = getattr(importlib.import_module(module), function)(i)
    (name, images), = batch.items()
    assert name == given["input_nodes"], name
    assert images.shape == (32, 32, 32, 1) and images.dtype == numpy.float32, images.shape
if os.environ.get("QUIET_FAILURE"):
    sys.exit(0)
for file in ("quantize_eval_model.pb", "deploy_model.pb"):
    open(os.path.join(given["output_dir"], file), "wb").write(b"graph")
"""

DNNC = """#!{python}
import os, sys
given = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--") and "=" in a)
known = {{"parser", "frozen_pb", "dpu", "dcf", "cpu_arch", "mode", "net_name", "output_dir"}}
if set(given) - known or len(given) != len(sys.argv) - 1 or ("dpu" in given) == ("dcf" in given):
    sys.exit("[DNNC][Error] unknown or contradicting options")
if given["parser"] != "tensorflow" or given["cpu_arch"] not in ("arm32", "arm64"):
    sys.exit("[DNNC][Error] bad parser or cpu_arch")
if given.get("dpu", "1152FA") not in ("1152FA", "4096FA"):
    sys.exit("[DNNC][Error] unknown dpu")
if open(given["frozen_pb"], "rb").read() != b"graph":
    sys.exit("[DNNC][Error] not a deploy model")
for i in range(int(os.environ.get("KERNELS", "1"))):
    name = "dpu_%s_%d.elf" % (given["net_name"], i)
    open(os.path.join(given["output_dir"], name), "wb").write(b"\\x7fELF")
"""


@pytest.fixture
def tools(tmp_path):
    """A PATH on which both stand-ins are found first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("decent_q", DECENT_Q), ("dnnc", DNNC)):
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


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
            "no board 'zed'; there are: host zedboard",
        ),
        ("dnnc.sh", ["--board", "host", "--deploy-model", "d", "--output", "o"], "no DPU"),
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
