"""dnnc.sh and vai_c.sh, with stand-ins that refuse what the real tools refuse."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from quantize.artifacts import read_quantization
from tests import vendor_tools
from tests.stand_ins.deploy_graph import network_of, read_nodes
from tests.test_vendor_quantizers import IMAGE, ROOT, run

ARCH = "/opt/vitis_ai/compiler/arch/DPUCZDX8G"
B4096 = "0x101000056010407"


@pytest.fixture
def tools(tmp_path):
    folder = vendor_tools.install(tmp_path / "bin", *vendor_tools.DNNDK, *vendor_tools.VITIS_AI)
    return vendor_tools.environment(folder)


def dnnc(folder, output, *more, env=None, board="zedboard"):
    arguments = ["--board", board, "--quantized", folder, "--output", output]
    return run("dnnc.sh", *arguments, *more, env=env)


def vai_c(folder, output, *more, env=None, board="kv260"):
    arguments = ["--board", board, "--container", "none", "--quantized", folder, "--output", output]
    return run("vai_c.sh", *arguments, *more, env=env)


def test_dry_runs_print_the_documented_command_lines(tmp_path):
    plain = ["--output", "D", "--net", "chars74k", "--dry-run"]
    start = "dnnc --parser=tensorflow --frozen_pb=deploy_model.pb"
    end = "--cpu_arch=arm32 --mode=normal --net_name=chars74k --output_dir=D"
    given = ["--board", "zedboard", "--deploy-model", "deploy_model.pb", *plain]
    found = run("dnnc.sh", *given)
    assert found.stdout == f"{start} --dpu=1152FA {end}\n"
    assert "no ZedBoard.dcf in" in found.stderr
    found = run("dnnc.sh", *given, "--dcf", "ZedBoard.dcf", "--save-kernel")
    assert (found.stdout, found.stderr) == (f"{start} --dcf=ZedBoard.dcf {end} --save_kernel\n", "")
    found = run("dnnc.sh", "--deploy-model", "deploy_model.pb", "--dpu", "4096FA", "--cpu-arch",
                "arm64", *plain)  # fmt: skip
    end = "--dpu=4096FA --cpu_arch=arm64 --mode=normal --net_name=chars74k --output_dir=D"
    assert found.stdout == f"{start} {end}\n"

    shape = """--options '{"input_shape":"1,32,32,1"}'"""
    for board in ("zcu102", "zcu104", "kv260"):
        found = vai_c(".", "D", "--model", "quantize_eval_model.pb", "--net", "N", "--dry-run",
                      board=board)  # fmt: skip
        arch = f"{ARCH}/{board.upper()}/arch.json"
        line = f"vai_c_tensorflow -f quantize_eval_model.pb -a {arch} -o D -n N {shape}\n"
        assert found.stdout == line
    found = vai_c(".", "D", "--model", "deploy_model.pb", "--arch", "A.json", "--net", "N",
                  "--tools-version", "1.2", "--dry-run")  # fmt: skip
    assert found.stdout == (
        "vai_c_tensorflow --frozen_pb deploy_model.pb --arch A.json --output_dir D --net_name N "
        """--options "{'mode':'normal'}"\n"""
    )
    found = vai_c(".", "D", "--model", "quantized.h5", "--net", "N", "--dry-run")
    assert (
        found.stdout == f"vai_c_tensorflow2 -m quantized.h5 -a {ARCH}/KV260/arch.json -o D -n N\n"
    )
    assert not Path("D").exists()


def test_dnnc_compiles_our_integers(tools, quantized_for_dpu, tmp_path):
    found = dnnc(quantized_for_dpu, tmp_path / "o", "--net", "mine", env=tools)
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path}/o/dpu_mine_0.elf\n"
    assert "dnnc --parser=tensorflow" in (tmp_path / "o/dnnc.log").read_text()
    # What the stand-in reads from deploy_model.pb, with arithmetic of its own, is the network.
    read, _ = network_of(read_nodes(str(quantized_for_dpu / "deploy_model.pb")))
    wanted = read_quantization(quantized_for_dpu).network
    for a, b in zip(read.layers, wanted.layers, strict=True):
        for key in b.__dataclass_fields__:
            assert np.array_equal(getattr(a, key), getattr(b, key)), (b.name, key)


def test_a_boards_own_dcf_is_taken_where_it_lies(tools, quantized_for_dpu, tmp_path):
    (tmp_path / "ZedBoard.dcf").write_text("dcf")
    line = [ROOT / "scripts/dnnc.sh", "--board", "zedboard", "--quantized", quantized_for_dpu,
            "--output", tmp_path / "o"]  # fmt: skip
    found = subprocess.run(line, cwd=tmp_path, env=tools, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert f"--dcf={tmp_path}/ZedBoard.dcf" in (tmp_path / "o/dnnc.log").read_text()
    found = dnnc(quantized_for_dpu, tmp_path, "--dcf", "none.dcf", env=tools)
    assert (found.returncode, found.stderr) == (2, "dnnc.sh: none.dcf: no such file\n")


def test_version_suffixed_binaries_and_old_versions(quantized_for_dpu, tmp_path):
    folder = vendor_tools.install(tmp_path / "bin", "dnnc-dpu1.4.0")
    env = vendor_tools.environment(folder)
    assert dnnc(quantized_for_dpu, tmp_path / "o", env=env).returncode == 0
    assert (tmp_path / "o/dnnc.log").read_text().startswith("dnnc-dpu1.4.0 --parser")
    assert run("dnnc.sh", "--check", env=env).stdout == "dnnc-dpu1.4.0 3.00\n"
    found = dnnc(quantized_for_dpu, tmp_path / "o", env=env | {"DNNC_VERSION": "v2.08"})
    assert found.returncode == 2
    assert "is of DNNDK 2.08; TensorFlow networks need 3.0" in found.stderr
    conf = tmp_path / "dnndk.conf"
    conf.write_text("DNNDK_VERSION=v3.1\n")
    assert run("dnnc.sh", "--check", "--dnndk-conf", conf, env=env).stdout == "dnnc-dpu1.4.0 3.1\n"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("kernels", "the network became 2 DPU and 0 CPU kernels, not one DPU kernel"),
        ("node", "the kernel's input node is another_Conv2D, not discriminator_conv2d_Conv2D"),
        ("empty", "the compiler ended well but wrote no"),
    ],
)
def test_what_dnnc_made_is_checked(fault, words, tools, quantized_for_dpu, tmp_path):
    found = dnnc(quantized_for_dpu, tmp_path, env=tools | {"FAULT": fault})
    assert (found.returncode, found.stdout) == (1, "")
    assert words in found.stderr
    assert "dnnc.log" in found.stderr


def test_other_ends_are_refused_or_named(tools, quantized_for_dpu, tmp_path):
    found = dnnc(quantized_for_dpu, tmp_path, "--input-size", "28*28*1", env=tools)
    assert "the kernel's input is 32*32*1, not 28*28*1" in found.stderr
    found = dnnc(quantized_for_dpu, tmp_path, "--output-size", "1*1*10", env=tools)
    assert "the kernel's output is 1*1*62, not 1*1*10" in found.stderr
    found = dnnc(quantized_for_dpu, tmp_path, "--output-node", "logits", env=tools)
    assert "the kernel's output node is discriminator_dense_MatMul, not logits" in found.stderr
    assert found.returncode == 1


def with_softmax(folder: Path, path: Path) -> Path:
    """The deploy graph with a softmax behind its logits, as graphs of other people have."""
    from quantize import graph_def

    graph = graph_def.read(folder / "deploy_model.pb")
    last = graph.node[-1].name
    graph.node.add(name="softmax", op="Softmax", input=[last])
    path.write_bytes(graph.SerializeToString())
    return path


def test_a_softmax_makes_a_second_kernel(tools, quantized_for_dpu, tmp_path):
    model = with_softmax(quantized_for_dpu, tmp_path / "softmax.pb")
    for script, more in (("dnnc.sh", ["--board", "zedboard", "--deploy-model", model]),
                         ("vai_c.sh", ["--board", "zcu102", "--model", model])):  # fmt: skip
        more += [] if script == "dnnc.sh" else ["--tools-version", "1.2"]
        env = tools | {"VAI_VERSION": "1.2"}
        found = run(script, *more, "--output", tmp_path, env=env)
        assert found.returncode == 1
        assert "the network became 1 DPU and 1 CPU kernels" in found.stderr
        assert "softmax] is not supported in DPU" in (tmp_path / f"{script[:-3]}.log").read_text()


def test_without_a_kernel_list_files_are_counted(tools, quantized_for_dpu, tmp_path):
    env = tools | {"FAULT": "list"}
    assert dnnc(quantized_for_dpu, tmp_path, env=env).returncode == 0
    (tmp_path / "dpu_chars_1.elf").write_bytes(b"\x7fELF")  # of an earlier run: removed
    assert dnnc(quantized_for_dpu, tmp_path, env=env).returncode == 0


def test_dnnc_refuses_other_graphs(tools, quantized_for_dpu, tmp_path):
    model = quantized_for_dpu / "quantize_eval_model.pb"
    found = dnnc(quantized_for_dpu, tmp_path, "--deploy-model", model, env=tools)
    assert found.returncode == 1
    assert "not a deploy_model.pb" in found.stderr
    found = dnnc(tmp_path, tmp_path, env=tools)
    assert found.returncode == 2
    assert "deploy_model.pb: no such file; make quantize writes it" in found.stderr


@pytest.mark.parametrize("board", ["kv260", "ultra96"])
def test_vai_c_makes_an_xmodel(board, tools, quantized_for_dpu, tmp_path):
    found = vai_c(quantized_for_dpu, tmp_path / "o", env=tools, board=board)
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path}/o/chars.xmodel\n"
    log = (tmp_path / "o/vai_c.log").read_text()
    if board == "ultra96":
        arch = json.loads((tmp_path / "o/arch.json").read_text())
        assert arch == {"fingerprint": "0x101000056010405"}
        assert "DPUCZDX8G_ISA1_B2304_0101000056010405" in log
    else:
        assert f"-a {ARCH}/KV260/arch.json" in log


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("subgraphs", "the network became 2 DPU subgraphs, not one"),
        ("empty", "the compiler wrote no"),
        ("arch", "compiled for the DPU 0x0101000056010402, but ultra96 has 0x101000056010405"),
    ],
)
def test_what_vai_c_made_is_checked(fault, words, tools, quantized_for_dpu, tmp_path):
    env = tools | {"FAULT": fault}
    found = vai_c(quantized_for_dpu, tmp_path / "o", env=env, board="ultra96")
    assert (found.returncode, found.stdout) == (1, "")
    assert words in found.stderr


def test_fingerprints(tools, quantized_for_dpu, tmp_path):
    output = tmp_path / "o"
    found = vai_c(quantized_for_dpu, output, "--fingerprint", "0x1010000ff010407", env=tools)
    assert found.returncode == 1
    assert "TARGET_FACTORY_UNREGISTERED_TARGET" in found.stderr
    arch = tmp_path / "arch.json"
    arch.write_text('{"fingerprint": "0x101000056010406"}')
    found = vai_c(quantized_for_dpu, output, "--arch", arch, env=tools)
    assert found.returncode == 2
    assert f"is for the DPU 0x101000056010406, but kv260 has {B4096}" in found.stderr
    more = ["--arch", arch, "--fingerprint", "0x0101000056010406"]
    assert vai_c(quantized_for_dpu, output, *more, env=tools).returncode == 0
    arch.write_text('{"target": "DPUCZDX8G_ISA1_B3136"}')
    found = vai_c(quantized_for_dpu, output, "--arch", arch, env=tools)
    assert found.returncode == 1
    assert "compiled for a B3136 DPU (DPUCZDX8G_ISA1_B3136), but kv260 has a B4096" in found.stderr
    found = vai_c(quantized_for_dpu, output, "--fingerprint", "B4096", env=tools)
    assert "--fingerprint is like 0x101000056010407, not B4096" in found.stderr
    found = vai_c(quantized_for_dpu, output, "--arch", tmp_path / "none.json", env=tools)
    assert "none.json: no such file" in found.stderr


def test_each_version_gets_its_graph(tools, quantized_for_dpu, tmp_path):
    for version, name in (("1.2", "dpu_chars_0.elf"), ("1.3", "chars.xmodel")):
        arch = tmp_path / "arch.json"
        arch.write_text('{"target": "DPUCZDX8G_ISA0_B4096_MAX"}')
        more = ["--arch", arch, "--tools-version", version]
        env = tools | {"VAI_VERSION": version}
        found = vai_c(quantized_for_dpu, tmp_path / version, *more, env=env)
        assert found.returncode == 0, found.stderr
        assert found.stdout == f"{tmp_path / version / name}\n"
    for version, name in (("1.2", "quantize_eval_model.pb"), ("1.4", "deploy_model.pb")):
        more = ["--model", quantized_for_dpu / name, "--tools-version", version]
        found = vai_c(quantized_for_dpu, tmp_path, *more, env=tools)
        assert found.returncode == 2
        assert name in found.stderr
        assert version in found.stderr
    more = ["--tools-version", "1.2", "--fingerprint", B4096]
    found = vai_c(quantized_for_dpu, tmp_path, *more, env=tools)
    assert "Vitis AI 1.2 knows no fingerprints" in found.stderr


def test_compiling_in_a_container(quantized_for_dpu, tmp_path):
    inside = vendor_tools.install(tmp_path / "inside", *vendor_tools.VITIS_AI)
    outside = vendor_tools.install(tmp_path / "outside", "docker")
    env = vendor_tools.environment(outside, IMAGES=f"{IMAGE} old:1.2.82", INSIDE=str(inside))
    line = ["--board", "ultra96", "--quantized", quantized_for_dpu, "--output", tmp_path / "o"]
    found = run("vai_c.sh", *line, env=env)
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path}/o/chars.xmodel\n"
    # The version stands in the image's tag.
    arch = tmp_path / "arch.json"
    arch.write_text('{"target": "DPUCZDX8G_ISA0_B4096"}')
    more = ["--image", "old:1.2.82", "--arch", arch, "--board", "zcu102"]
    found = run("vai_c.sh", *line, *more, env=env | {"VAI_VERSION": "1.2"})
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"{tmp_path}/o/dpu_chars_0.elf\n"
    found = run("vai_c.sh", *line, "--image", "none:2.5", env=env)
    assert found.returncode == 3
    assert "docker pull none:2.5" in found.stderr
    found = run("vai_c.sh", *line[:-1], tmp_path / "a:b", env=env)
    assert "a container cannot mount a path with a colon" in found.stderr


def test_an_interrupted_compiler_is_ended_with_its_children(quantized_for_dpu, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    slow = '#!/bin/sh\n[ "$1" = --version ] && exit\nsleep 60 & echo $! >"$PIDS"\nwait\n'
    (folder / "dnnc").write_text(slow)
    (folder / "dnnc").chmod(0o755)
    pids = tmp_path / "pids"
    line = [ROOT / "scripts/dnnc.sh", "--board", "zedboard", "--quantized", quantized_for_dpu,
            "--output", tmp_path / "o"]  # fmt: skip
    env = vendor_tools.environment(folder, PIDS=str(pids))
    with subprocess.Popen(line, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        while not pids.exists() or not pids.read_text().strip():
            assert job.poll() is None
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
        assert job.communicate(timeout=20)[0] == b""
        assert job.returncode == 130
    child = int(pids.read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_absent_compilers(quantized_for_dpu, tmp_path):
    none = vendor_tools.environment(vendor_tools.install(tmp_path / "empty"))
    found = dnnc(quantized_for_dpu, tmp_path, "--dnndk-conf", "/none", env=none)
    assert found.returncode == 3
    assert "dnnc (DNNDK 3.x) is not on PATH" in found.stderr
    found = vai_c(quantized_for_dpu, tmp_path, env=none)
    assert found.returncode == 3
    assert "vai_c_tensorflow (Vitis AI) is not on PATH" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "o"], "is needed"),
        (["--board", "BOARD", "--output", "o"], "model is needed"),
        (["--board", "BOARD", "--output", "o", "--quantized", "q", "--net", "a b"], "letters"),
        (["--board", "zed", "--output", "o"], "no board 'zed'; there are: generic-aarch64"),
        (["--board", "rpi", "--output", "o"], "board rpi has no DPU of the"),
    ],
)
def test_wrong_use(arguments, words):
    for script, board in (("dnnc.sh", "zedboard"), ("vai_c.sh", "kv260")):
        found = run(script, *[board if a == "BOARD" else a for a in arguments])
        assert found.returncode == (3 if "rpi" in arguments else 2)
        assert words in found.stderr
        assert len(found.stderr.splitlines()) == 1
