"""decent_q.sh and vai_q.sh, with stand-ins that refuse what the real tools refuse."""

import ast
import runpy
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import vendor_tools

ROOT = Path(__file__).resolve().parent.parent
FROZEN = ROOT / "models/scene62/frozen_model.pb"
IMAGE = "xilinx/vitis-ai-tensorflow-cpu:latest"
DOCUMENTED = (
    "quantize --input_frozen_graph /f.pb --input_nodes input_real --input_shapes ?,32,32,1 "
    "--output_nodes discriminator/dense/BiasAdd --input_fn edgeglyph_calibration.batch --method 1 "
    "--calib_iter 10 --gpu 0 --output_dir /o"
)


def run(script, *arguments, env=None):
    return subprocess.run(
        [ROOT / "scripts" / script, *map(str, arguments)],
        env=env or vendor_tools.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tools(tmp_path, quantized_for_dpu):
    """An environment where both quantizers are installed."""
    folder = vendor_tools.install(tmp_path / "bin", *vendor_tools.DNNDK, *vendor_tools.VITIS_AI)
    return vendor_tools.environment(folder, GRAPHS=str(quantized_for_dpu))


@pytest.fixture
def arguments(tmp_path):
    inputs = np.arange(50 * 32 * 32, dtype=np.float32).reshape(50, 32, 32, 1)
    np.savez(tmp_path / "calibration.npz", images=inputs)
    return [
        *("--frozen-graph", FROZEN, "--calibration", tmp_path / "calibration.npz"),
        *("--output", tmp_path / "an \"odd' folder"),
    ]


PLAIN = ["--frozen-graph", "/f.pb", "--calibration", "/c.npz", "--output", "/o", "--dry-run"]


def test_dry_runs_print_the_documented_command_lines():
    found = run("decent_q.sh", *PLAIN)
    assert found.stdout == f"decent_q {DOCUMENTED}\n"
    assert "/o, where edgeglyph_calibration.py reads /c.npz" in found.stderr
    found = run("vai_q.sh", "--board", "kv260", "--container", "none", *PLAIN)
    assert found.stdout == f"vai_q_tensorflow {DOCUMENTED}\n"
    more = ["--weight-bit", "8", "--activation-bit", "8", "--ignore-nodes", "a,b"]
    found = run("decent_q.sh", *PLAIN, *more, "--skip-check", "1", "--method", "2", "--batch=5")
    assert " --method 2 " in found.stdout
    options = "--weight_bit 8 --activation_bit 8 --ignore_nodes a,b --skip_check 1"
    assert f"{options} --output_dir /o" in found.stdout


@pytest.mark.parametrize("script", ["decent_q.sh", "vai_q.sh"])
def test_quantizing(script, tools, arguments, tmp_path, quantized_for_dpu):
    found = run(script, *arguments, env=tools)
    assert found.returncode == 0, found.stderr
    paths = [Path(line) for line in found.stdout.splitlines()]
    assert [p.name for p in paths] == ["quantize_eval_model.pb", "deploy_model.pb"]
    for path in paths:
        assert path.read_bytes() == (quantized_for_dpu / path.name).read_bytes()
    log = paths[0].with_name(script.replace(".sh", ".log")).read_text()
    dry = run(script, *arguments, "--dry-run", env=tools)
    assert log.startswith(dry.stdout)
    assert "Calibration Done" in log
    assert shlex.split(dry.stdout)[-1] == str(paths[0].parent)


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_the_input_function_wraps_around_in_old_python(suffix, tools, arguments, tmp_path):
    inputs = np.load(tmp_path / "calibration.npz")["images"]
    np.save(tmp_path / "calibration.npy", inputs)
    arguments[3] = arguments[3].with_suffix(f".{suffix}")
    assert run("decent_q.sh", *arguments, "--batch", 32, env=tools).returncode == 0
    path = arguments[5] / "edgeglyph_calibration.py"
    ast.parse(path.read_text("utf-8"), feature_version=(3, 4))
    assert [node.names[0].name for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)] == ["numpy"]  # fmt: skip
    assert not any(word in path.read_text() for word in ('f"', "print", "nonlocal", " -> "))
    batch = runpy.run_path(str(path))["batch"]
    np.testing.assert_array_equal(batch(0)["input_real"], inputs[:32])
    wrapped = np.concatenate([inputs[32:], inputs[:14]])
    np.testing.assert_array_equal(batch(1)["input_real"], wrapped)


def test_the_input_function_refuses_other_arrays(tools, arguments, tmp_path):
    np.savez(tmp_path / "calibration.npz", images=np.zeros((5, 32, 32, 1)))
    found = run("decent_q.sh", *arguments, env=tools)
    assert found.returncode == 1
    assert "must hold float32 NHWC inputs, not float64 (5, 32, 32, 1)" in found.stderr
    np.savez(tmp_path / "calibration.npz", a=np.zeros(1), b=np.zeros(1))
    assert "must hold one array, not 2" in run("decent_q.sh", *arguments, env=tools).stderr


def test_from_vitis_ai_1_4_on_there_is_no_deploy_graph(tools, arguments):
    found = run("vai_q.sh", *arguments, env=tools | {"VAI_VERSION": "1.4.0"})
    assert found.returncode == 0, found.stderr
    assert [Path(line).name for line in found.stdout.splitlines()] == ["quantize_eval_model.pb"]
    # A version that says 1.3 and does not write it is not believed.
    found = run("vai_q.sh", *arguments, "--tools-version", "1.3", env=tools | {"VAI_VERSION": "2"})
    assert found.returncode == 1
    assert "wrote no" in found.stderr
    assert "deploy_model.pb" in found.stderr


@pytest.fixture
def containers(tmp_path, quantized_for_dpu):
    """An environment where the tools are in a container alone."""
    inside = vendor_tools.install(tmp_path / "inside", *vendor_tools.VITIS_AI)
    outside = vendor_tools.install(tmp_path / "outside", "docker", "podman")
    variables = {"IMAGES": IMAGE, "INSIDE": str(inside), "GRAPHS": str(quantized_for_dpu)}
    return vendor_tools.environment(outside, **variables, VAI_VERSION="3.5")


@pytest.mark.parametrize("engine", ["auto", "docker", "podman"])
def test_quantizing_in_a_container(engine, containers, arguments, tmp_path):
    arguments[5] = tmp_path / "out"
    found = run("vai_q.sh", "--board", "kv260", "--container", engine, *arguments, env=containers)
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path}/out/quantize_eval_model.pb\n"
    line = (tmp_path / "out/vai_q.log").read_text().splitlines()[0]
    words = shlex.split(line)
    assert words[:2] == ["docker" if engine == "auto" else engine, "run"]
    assert ("--user" in words) == (engine != "podman")
    assert "--pull=never" in words
    assert "conda activate vitis-ai-tensorflow" in words[-1]
    assert shlex.split(words[-1].split("fi && ")[1])[0] == "vai_q_tensorflow"


def test_an_image_that_is_not_there_is_not_downloaded(containers, arguments):
    found = run("vai_q.sh", "--image", "other:1.3", *arguments, env=containers)
    assert found.returncode == 3
    assert "docker cannot start other:1.3" in found.stderr
    assert "docker pull other:1.3" in found.stderr


def test_absent_tools_are_said_to_be_absent(arguments, tmp_path):
    none = vendor_tools.environment(vendor_tools.install(tmp_path / "empty"))
    for script, words in (("decent_q.sh", "decent_q (DNNDK 3.x)"),
                          ("vai_q.sh", "vai_q_tensorflow (Vitis AI)")):  # fmt: skip
        more = ["--container", "none"] if script == "vai_q.sh" else []
        for last in ([], ["--check"]):
            found = run(script, *arguments, *more, *last, env=none)
            assert found.returncode == 3
            assert f"{words} is not on PATH" in found.stderr
            assert len(found.stderr.splitlines()) == 1


def test_check_says_versions(tools, containers):
    assert run("decent_q.sh", "--check", env=tools).stdout == "decent_q 1.1.0\n"
    assert run("vai_q.sh", "--check", env=tools).stdout == "vai_q_tensorflow 1.1.0\n"
    found = run("vai_q.sh", "--check", env=containers)
    assert found.stdout == f"vai_q_tensorflow in {IMAGE} by docker\n"
    found = run("vai_q.sh", "--check", "--image", "none", env=containers)
    assert (found.returncode, found.stdout) == (3, "")


@pytest.mark.parametrize(
    ("fault", "words"),
    [("quiet", "ended well but wrote no"), ("nodes", "has no node input_real")],
)
def test_output_is_not_believed_unseen(fault, words, tools, arguments):
    found = run("decent_q.sh", *arguments, env=tools | {"FAULT": fault})
    assert found.returncode == 1
    assert words in found.stderr


def test_failures_show_the_end_of_the_log(tools, arguments):
    found = run("decent_q.sh", *arguments, "--output-node", "none/such", env=tools)
    assert found.returncode == 1
    assert "decent_q failed (exit code 1); the end of" in found.stderr
    assert "ValueError: Cannot find node none/such" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frozen-graph"], "--frozen-graph needs a value"),
        (["--calibration", "c"], "--frozen-graph is needed"),
        (["--colour", "c"], "unknown option --colour"),
        (["colour"], "unknown option colour"),
        ([*PLAIN, "--method", "3"], "--method is 0, 1 or 2, not 3"),
        ([*PLAIN, "--batch", "0"], "--batch is a positive number, not 0"),
        ([*PLAIN, "--iterations=x"], "--iterations is a positive number, not x"),
        ([*PLAIN, "--input-shape", "32x32"], "--input-shape is like ?,32,32,1, not 32x32"),
        ([*PLAIN, "--calibration", "c.txt"], "c.txt: not an .npz or .npy file"),
        ([*PLAIN, "--board", "zed"], "no board 'zed'; there are: generic-aarch64 generic-armhf"),
    ],
)
def test_wrong_use(arguments, words):
    for script in ("decent_q.sh", "vai_q.sh"):
        found = run(script, *arguments)
        assert found.returncode == 2
        assert words in found.stderr
        assert len(found.stderr.splitlines()) == 1
    assert run("vai_q.sh", *PLAIN, "--container", "lxc").returncode == 2
    assert run("vai_q.sh", *PLAIN, "--tools-version", "new").returncode == 2


def test_missing_inputs_are_named(tools, arguments):
    arguments[1] = "none.pb"
    found = run("decent_q.sh", *arguments, env=tools)
    assert found.returncode == 2
    assert "none.pb: no such file; run make freeze first" in found.stderr


def test_boards_of_another_flow_are_refused():
    for script, board, flow in (
        ("decent_q.sh", "kv260", "DNNDK"),
        ("vai_q.sh", "zedboard", "Vitis AI"),
        ("decent_q.sh", "rpi", "DNNDK"),
    ):
        found = run(script, *PLAIN, "--board", board)
        assert found.returncode == 3
        assert f"board {board} has no DPU of the {flow} flow" in found.stderr


def test_help():
    for script in ("decent_q.sh", "vai_q.sh", "dnnc.sh", "vai_c.sh", "compile_bundle.sh"):
        found = run(script, "--help")
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout.startswith(f"usage: {script}")
