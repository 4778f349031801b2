"""compile_bundle.sh, the recipe of `make compile`, and the list of boards, with stand-ins."""

import subprocess
import sys

import pytest

from edge_runtime.bundle import read_bundle
from tests import vendor_tools
from tests.test_vendor_compilers import dnnc
from tests.test_vendor_quantizers import ROOT, run


@pytest.fixture
def tools(tmp_path):
    folder = vendor_tools.install(tmp_path / "bin", *vendor_tools.DNNDK, *vendor_tools.VITIS_AI)
    return vendor_tools.environment(folder)


def compiled(folder, output, *more, env=None, board="zedboard"):
    return run("compile_bundle.sh", "--board", board, "--quantized", folder, "--output", output,
               "--name", "chars", *more, env=env)  # fmt: skip


def test_a_bundle_with_its_kernel(tools, quantized_for_dpu, tmp_path):
    found = compiled(quantized_for_dpu, tmp_path / "b.egb", "--require-dpu", env=tools)
    assert found.returncode == 0, found.stderr
    bundle = read_bundle(tmp_path / "b.egb")
    artifact = (quantized_for_dpu / "dpu-zedboard/dpu_chars_0.elf").read_bytes()
    kernel = bundle.dpu
    assert kernel is not None
    assert kernel.artifact == artifact
    assert (kernel.flow, kernel.kind, kernel.net, kernel.kernel) == (
        *("dnndk", "elf", "chars", "chars_0"),
    )
    assert (kernel.input_node, kernel.output_node) == (
        *("discriminator_conv2d_Conv2D", "discriminator_dense_MatMul"),
    )
    assert (kernel.input_size, kernel.output_size, kernel.target) == (1024, 62, "B1152")
    assert kernel.input_fix_point == 7
    assert kernel.output_fix_point == bundle.network.logits_fix_point
    shown = subprocess.run(
        [sys.executable, "-m", "quantize", "info", tmp_path / "b.egb"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "chars_0, elf of" in shown.stdout


@pytest.mark.parametrize("board", ["kv260", "ultra96"])
def test_a_bundle_with_an_xmodel(board, tools, quantized_for_dpu, tmp_path):
    output = tmp_path / "b.egb"
    more = ["--require-dpu", "--", "--container", "none"]
    found = compiled(quantized_for_dpu, output, *more, env=tools, board=board)
    assert found.returncode == 0, found.stderr
    kernel = read_bundle(output).dpu
    assert kernel is not None
    sizes = {"kv260": ("B4096", 0x101000056010407), "ultra96": ("B2304", 0x101000056010405)}
    assert (kernel.kind, kernel.target, int(kernel.fingerprint, 16)) == ("xmodel", *sizes[board])
    # What the stand-in rounded by itself are our integers.
    line = [sys.executable, "-m", "quantize", "verify", quantized_for_dpu,
            quantized_for_dpu / f"dpu-{board}/chars.xmodel"]  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT FOUND" not in done.stdout


def test_a_kernel_made_elsewhere(tools, quantized_for_dpu, tmp_path):
    assert dnnc(quantized_for_dpu, tmp_path, "--net", "hand", env=tools).returncode == 0
    none = vendor_tools.environment()
    elf = tmp_path / "dpu_hand_0.elf"
    found = compiled(quantized_for_dpu, tmp_path / "b.egb", "--dpu-kernel", elf, env=none)
    assert found.returncode == 0, found.stderr
    kernel = read_bundle(tmp_path / "b.egb").dpu
    assert kernel is not None
    assert kernel.kernel == "hand_0"


def test_without_a_compiler_the_bundle_is_for_the_cpu(quantized_for_dpu, tmp_path):
    none = vendor_tools.environment(vendor_tools.install(tmp_path / "empty"))
    for board, why in (("zedboard", "dnnc (DNNDK 3.x) is not on PATH"),
                       ("rpi", "board rpi has no DPU")):  # fmt: skip
        output = tmp_path / f"{board}.egb"
        found = compiled(quantized_for_dpu, output, env=none, board=board)
        assert found.returncode == 0, found.stderr
        assert why in found.stderr
        assert "going on with a bundle for the board's CPU" in found.stderr
        assert read_bundle(output).dpu is None
        output.unlink()
        found = compiled(quantized_for_dpu, output, "--require-dpu", env=none, board=board)
        assert found.returncode == 2
        assert "no DPU kernel, but one is required (REQUIRE_DPU)" in found.stderr
        assert why in found.stderr
        assert len(found.stderr.splitlines()) == 1
        assert not output.exists()
    found = compiled(quantized_for_dpu, tmp_path / "h.egb", "--require-dpu", env=none, board="host")
    assert found.returncode == 2
    assert "board host has no DPU" in found.stderr


def test_a_failing_compiler_fails_the_bundle(tools, quantized_for_dpu, tmp_path):
    output = tmp_path / "b.egb"
    found = compiled(quantized_for_dpu, output, env=tools | {"FAULT": "kernels"})
    assert found.returncode == 1
    assert "2 DPU and 0 CPU kernels" in found.stderr
    assert not output.exists()
    found = compiled(quantized_for_dpu, output, "--", "--mode", "fast", env=tools)
    assert found.returncode == 2
    assert "--mode is normal or debug, not fast" in found.stderr


def test_int32_logits_need_the_cpu(tools, quantized_for_dpu, tmp_path):
    from quantize.__main__ import main

    model = ROOT / "models/scene62/frozen_model.pb"
    noise = quantized_for_dpu.with_name("noise.npz")
    line = ["run", model, "--calibration", noise, "--output", tmp_path / "q", "--preset", "tiny",
            "--method", "non-overflow", "--head", "cpu"]  # fmt: skip
    assert main([str(word) for word in line]) == 0
    found = compiled(tmp_path / "q", tmp_path / "b.egb", env=tools)
    assert found.returncode == 0
    assert "int32 logits" in found.stderr
    assert read_bundle(tmp_path / "b.egb").dpu is None
    found = compiled(tmp_path / "q", tmp_path / "b.egb", "--require-dpu", env=tools)
    assert found.returncode == 2
    assert "make HEAD=dpu" in found.stderr


def test_the_list_of_boards(tools, tmp_path):
    command = [sys.executable, ROOT / "scripts/list_boards.py"]
    env = tools | {"PYTHON": sys.executable}
    with_tools = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    rows = {line.split()[0]: line for line in with_tools.stdout.splitlines()[2:] if line.strip()}
    assert "yes (dnnc 3.00)" in rows["zedboard"]
    assert "B1152, DNNDK" in rows["zedboard"]
    assert "yes (vai_c_tensorflow" in rows["kv260"]
    assert "none" in rows["rpi"]
    env["PATH"] = env["PATH"].partition(":")[2]
    without = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "pynq-z2, zedboard: dnnc (DNNDK 3.x) is not on PATH" in without.stdout
