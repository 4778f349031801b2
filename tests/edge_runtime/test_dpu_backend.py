"""edge_classify on a DPU: N2Cube's calls, against a stand-in library that refuses what it refuses.

The stand-in (tests/stand_ins/n2cube.cpp) computes from the kernel file with code of its own. On the
host the program is a sanitized build, which alone can be told of another device than /dev/dpu; the
armhf program runs under qemu-arm as it is shipped, with a /dev/dpu in the emulator's prefix.
"""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime import container
from edge_runtime.bundle import Bundle, GoldenVectors, read_bundle, write_bundle
from edge_runtime.dpu_kernel import DpuKernel
from edge_runtime.errors import BundleError
from edge_runtime.layers import Conv
from edge_runtime.scores import build_table
from tests.conftest import branched_bundle, draw_character, toy_bundle
from tests.dnndk_files import dnndk_elf
from tests.edge_runtime.conftest import ROOT, build_runtime

STAND_IN = ROOT / "tests/stand_ins/n2cube.cpp"
FLAVOURS = {"cxx": [], "twins": ["-DTWINS"], "plain": ["-DC_NAMES"]}
ARM_LIBRARIES = "/usr/arm-linux-gnueabihf"


def kernel_of(bundle, artifact=None, **changes):
    """The header that compile would write for a bundle's network, and an artifact."""
    network = bundle.network
    names = [x.name.replace("/", "_") for x in network.layers if isinstance(x, Conv)]
    values = {
        "flow": "dnndk",
        "kind": "elf",
        "net": "chars",
        "kernel": "chars_0",
        "input_node": names[0],
        "output_node": names[-1],
        "input_size": 1024,
        "output_size": network.classes,
        "input_fix_point": network.input_fix_point,
        "output_fix_point": network.logits_fix_point,
        "target": "B1152",
        "fingerprint": "",
        "artifact": dnndk_elf(network) if artifact is None else artifact,
    }
    return DpuKernel(**(values | changes))


def with_kernel(bundle, artifact=None, **changes):
    return dataclasses.replace(bundle, dpu=kernel_of(bundle, artifact, **changes))


def shipped_with_int8_logits():
    """The shipped classifier, its last layer on the DPU."""
    shipped = read_bundle(ROOT / "models/scene62/scene62.egb")
    *layers, last = shipped.network.layers
    last = dataclasses.replace(last, int32_output=False, shift_cut=6, fix_point=last.fix_point - 6)
    network = dataclasses.replace(shipped.network, layers=(*layers, last))
    return Bundle(
        "scene62-dpu",
        shipped.alphabet,
        network,
        build_table(False, last.fix_point, 1.0, 1.0),
        GoldenVectors.record(network, shipped.golden.inputs),
    )


def compiler(board):
    if board == "host":
        return ["g++"]
    pytest.importorskip("ziglang", reason="no zig: pip install 'edgeglyph[runtime]'")
    return [sys.executable, "-m", "ziglang", "c++", "-target", "arm-linux-gnueabihf.2.17"]


def build_stand_in(folder, board="host", flags=()):
    folder.mkdir(parents=True, exist_ok=True)
    command = [*compiler(board), "-std=c++17", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra"]
    command += ["-Werror", *flags, STAND_IN, "-o", folder / "libn2cube.so"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Folders with the stand-in, by flavour of its names."""
    if not shutil.which("g++"):
        pytest.skip("no g++ on this machine")
    root = tmp_path_factory.mktemp("n2cube")
    flavours = FLAVOURS | {"lacking": ["-DLACKING"]}
    return {name: build_stand_in(root / name, "host", flags) for name, flags in flavours.items()}


@pytest.fixture(scope="module")
def program(native_build):
    """The sanitized program."""
    folder = native_build.parent / "host-sanitized"
    build_runtime("host", "--sanitize", "--output", str(folder))
    return folder / "edge_classify"


@pytest.fixture
def board(program, libraries, tmp_path):
    """Run edge_classify on a "board" with a DPU of a size, a library, and a fault."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(*arguments, dpu="B1152", library="cxx", fault="", temporary=scratch):
        device = tmp_path / "dpu"
        device.unlink(missing_ok=True)
        if dpu:
            device.write_text(f"{dpu}\n")
        settings = {
            "EDGEGLYPH_TEST_DEVICE": str(device),
            "LD_LIBRARY_PATH": str(libraries[library]) if library else str(tmp_path),
            "TMPDIR": str(temporary),
            "FAULT": fault,
            "ASAN_OPTIONS": "exitcode=99",
            "UBSAN_OPTIONS": "exitcode=99",
        }
        done = subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | settings,
            check=False,
        )
        assert list(scratch.iterdir()) == []  # nothing stays behind
        assert done.returncode != 99, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for i, symbol in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"):
        draw_character(symbol, 9 + 2 * i, 3 * i, i % 5).save(root / f"{i}.png")
    return root


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "toy.egb"
    write_bundle(path, with_kernel(toy_bundle()))
    return path


@pytest.mark.parametrize(
    ("make", "library"),
    [*((toy_bundle, name) for name in FLAVOURS), (shipped_with_int8_logits, "cxx")],
)
def test_the_dpu_gives_the_engines_integers(make, library, board, images, tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, with_kernel(make()))
    arguments = ["--bundle", path, "--json", images]
    cpu = board(*arguments, "--backend", "cpu", library=None, dpu=None)
    assert cpu[0] == 0
    assert len(cpu[1].splitlines()) == 62
    assert board(*arguments, "--backend", "n2cube", library=library) == cpu
    assert board(*arguments, "--threads", "3", library=library) == cpu  # auto takes the DPU
    code, out, _ = board("--bundle", path, "--self-test", library=library)
    assert code == 0
    assert out.endswith("the same golden vectors on the DPU by n2cube\n")


def test_the_dpu_is_really_what_computes(board, bundle, images):
    """A result with a wrong bit does not pass: the DPU, not the CPU, was asked."""
    code, out, err = board("--bundle", bundle, images, "--backend", "n2cube", fault="wrong")
    assert (code, out) == (1, "")
    assert "self-test of bundle 'toy' failed on the DPU (n2cube): the logits of golden" in err


NOT_USABLE = [
    ({"dpu": None}, "no DPU here"),
    ({"library": None}, "DNNDK's runtime cannot be loaded (libn2cube.so: cannot open"),
    ({"library": "lacking"}, "libn2cube.so lacks dpuRunTask (looked for pyc_dpuRunTask, _Z10dpu"),
    ({"fault": "open"}, "dpuOpen failed with code -1"),
    ({"fault": "kernel"}, "dpuLoadKernel does not accept the kernel chars_0"),
    ({"fault": "task"}, "dpuCreateTask failed"),
    ({"fault": "run"}, "dpuRunTask failed with code -7"),
    ({"fault": "wrong"}, "failed on the DPU"),
    ({"fault": "crash"}, "the DPU's library crashed (signal 6)"),
]


@pytest.mark.parametrize(("changes", "words"), NOT_USABLE, ids=[w[:30] for _, w in NOT_USABLE])
def test_without_a_usable_dpu(changes, words, board, bundle, images):
    """One line: an error where the DPU was asked for, else the reason why the CPU does it."""
    arguments = ["--bundle", bundle, "--json", images]
    code, out, err = board(*arguments, "--backend", "n2cube", **changes)
    assert (code, out, len(err.splitlines())) == (1 if words == "failed on the DPU" else 2, "", 1)
    assert words in err
    code, out, err = board(*arguments, **changes)
    assert (code, out) == board(*arguments, "--backend", "cpu")[:2]
    assert err.startswith("edge_classify: running on the CPU: ")
    assert words in err
    assert len(err.splitlines()) == 1


# What the library ends the process for: its reason and the function, in one line.
ENDS = {
    "another DPU": (
        lambda b: with_kernel(b, dnndk_elf(b.network, target="B4096")),
        "dpuLoadKernel",
    ),
    "another kernel": (lambda b: with_kernel(b, kernel="other_0"), "dpuLoadKernel"),
    "another library": (lambda b: with_kernel(b, dnndk_elf(b.network, "b_0")), "dpuLoadKernel"),
    "another input": (lambda b: with_kernel(b, input_node="nothing"), "dpuGetInputTensorSize"),
    "another output": (lambda b: with_kernel(b, output_node="conv"), "dpuGetOutputTensorSize"),
}


@pytest.mark.parametrize(("make", "function"), ENDS.values(), ids=ENDS)
def test_an_end_inside_the_library_is_named(make, function, board, images, tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, make(toy_bundle()))
    code, out, err = board("--bundle", path, "--backend", "n2cube", images)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("edge_classify: [DNNDK] ")
    assert err.endswith(f"; libn2cube.so ended the program in {function}\n")
    code, out, err = board("--bundle", path, images)
    assert (code, len(out.splitlines()), len(err.splitlines())) == (0, 62, 1)
    assert err.startswith("edge_classify: running on the CPU: [DNNDK] ")


# What the loaded kernel says of itself against what the bundle says.
OTHERS = {
    "input fix point": ({"input_fix_point": 6}, "input conv has scale 64.000000, the bundle's 128"),
    "output fix point": ({"output_fix_point": 4}, "output dense has scale 0.062500, the bundle's"),
    "output size": ({"output_size": 64}, "output dense has 64 bytes, the bundle's 62"),
}


@pytest.mark.parametrize(("changes", "words"), OTHERS.values(), ids=OTHERS)
def test_a_kernel_of_another_network(changes, words, board, images, tmp_path):
    toy, path = toy_bundle(), tmp_path / "a.egb"
    write_bundle(path, with_kernel(toy, dnndk_elf(toy.network, **changes)))
    code, _, err = board("--bundle", path, "--backend", "n2cube", images)
    assert code == 2
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_kernel_of_other_weights(board, images, tmp_path):
    toy, path = toy_bundle(), tmp_path / "a.egb"
    write_bundle(path, with_kernel(toy, dnndk_elf(toy_bundle(seed=5).network)))
    code, _, err = board("--bundle", path, "--backend", "n2cube", images)
    assert code == 1
    assert "the DPU kernel was not made from these integers" in err


def test_refused_before_the_library_is_asked(board, images, tmp_path, bundle):
    toy, path = toy_bundle(), tmp_path / "a.egb"
    write_bundle(path, toy)
    code, _, err = board("--bundle", path, "--backend", "n2cube", images)
    assert (code, "bundle 'toy' holds no DPU kernel" in err) == (2, True)
    code, out, err = board("--bundle", path, images)  # there is a DPU, but no kernel
    assert (code, len(out.splitlines())) == (0, 62)
    assert err.startswith("edge_classify: running on the CPU: bundle 'toy' holds no DPU kernel")
    assert board("--bundle", path, images, dpu=None) == (0, out, "")  # neither: no news
    assert "holds no DPU" in board("--bundle", path, "--backend", "auto", images, dpu=None)[2]
    xmodel = with_kernel(toy, b"\x0a\x04test", flow="vitis-ai", kind="xmodel", fingerprint="0x01")
    write_bundle(path, xmodel)
    assert "which --backend vart runs" in board("--bundle", path, "--backend", "n2cube", images)[2]
    assert "built without VART" in board("--bundle", path, "--backend", "vart", images)[2]
    assert "--backend n2cube runs" in board("--bundle", bundle, "--backend", "vart", images)[2]
    write_bundle(path, with_kernel(toy, kernel="../../x_0"))
    assert "has other signs" in board("--bundle", path, "--backend", "n2cube", images)[2]
    nowhere = board("--bundle", bundle, "--backend", "n2cube", images, temporary="/nowhere")
    assert "cannot be made (No such file or directory); TMPDIR" in nowhere[2]


def renewed_section(path, change):
    """Rewrite a bundle's section *dpu*, with a fresh checksum."""
    sections = container.unpack(path.read_bytes(), "test")
    sections["dpu"] = change(sections["dpu"])
    path.write_bytes(container.pack(sections))


DAMAGE = {
    "cut off": lambda s: s[:3],
    "no artifact": lambda s: s[: 4 + int.from_bytes(s[:4], "little")],
    "header beyond": lambda s: b"\xff\xff\xff\x7f" + s[4:],
    "header": lambda s: s.replace(b'"kind"', b'"king"'),
    "key too many": lambda s: s.replace(b'"net": "chars"', b'"x":"", "net":""'),
    "kind": lambda s: s.replace(b'"elf"', b'"elk"'),
    "flow": lambda s: s.replace(b'"dnndk"', b'"dnnda"'),
    "size": lambda s: s.replace(b'"input_size": 1024', b'"input_size": 1023'),
    "type": lambda s: s.replace(b'"input_size": 1024', b'"input_size":"102"'),
    "fix point": lambda s: s.replace(b'"input_fix_point": 7', b'"input_fix_point": 8'),
    "artifact": lambda s: s[:-1] + bytes([s[-1] ^ 1]),
    "name": lambda s: s.replace(b'"chars_0"', b'""       '),
    "magic": lambda s: s.replace(b"\x7fELF", b"\x7fELV"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_both_readers_refuse_a_damaged_section(change, bundle, classify_native, images):
    before = bundle.read_bytes()
    renewed_section(bundle, change)
    assert bundle.read_bytes() != before
    with pytest.raises(BundleError):
        read_bundle(bundle)
    code, _, err = classify_native("--bundle", bundle, images)
    assert code == 2
    assert "DPU kernel" in err


def test_a_kernel_needs_int8_logits(tmp_path, classify_native):
    path, wide = tmp_path / "a.egb", branched_bundle()
    with pytest.raises(ValueError, match="int32"):
        with_kernel(wide, b"\x7fELF")
    write_bundle(path, wide)
    sections = container.unpack(path.read_bytes(), "test")
    sections["dpu"] = kernel_of(wide, b"\x7fELF").pack()
    path.write_bytes(container.pack(sections))
    assert "but the network has int32 ones" in classify_native("--bundle", path, "--self-test")[2]


def test_which_functions_a_library_has(libraries, classify_native, tmp_path):
    """--check-n2cube reads a library of any processor, and says by which names it will do."""
    wanted = {"cxx": "_Z10dpuRunTaskP8dpu_task", "twins": "pyc_dpuRunTask", "plain": "dpuRunTask"}
    for name, found in wanted.items():
        code, out, err = classify_native("--check-n2cube", libraries[name] / "libn2cube.so")
        rows = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert (code, err, len(rows), rows["dpuRunTask"]) == (0, "", 13, found)
        text = (ROOT / "docs/runtime.md").read_text("utf-8")
        short = {"Size", "Scale"}  # dpuGet{Input,Output}Tensor{Size,Scale} there
        assert all(f"`{row}`" in text for row in rows if not row.endswith(tuple(short)))
    code, out, err = classify_native("--check-n2cube", libraries["lacking"] / "libn2cube.so")
    assert code == 2
    assert "dpuRunTask                   MISSING" in out
    assert "lacks dpuRunTask (looked for pyc_dpuRunTask, _Z10dpuRunTaskP8dpu_task, dpuR" in err
    whole = (libraries["cxx"] / "libn2cube.so").read_bytes()
    broken = tmp_path / "broken.so"
    rng = np.random.default_rng(0)
    for cut in [0, 3, 5, 20, 63, 100, *rng.integers(0, len(whole), 20)]:
        broken.write_bytes(whole[:cut])
        code, out, err = classify_native("--check-n2cube", broken)
        assert (code, len(err.splitlines())) == (2, 1)
    assert "no such file" in classify_native("--check-n2cube", tmp_path / "none.so")[2]


@pytest.fixture(scope="module")
def zedboard(tmp_path_factory):
    """The shipped armhf program under qemu-arm, in a prefix with /dev/dpu and the library."""
    if not shutil.which("qemu-arm"):
        pytest.skip("no qemu-arm on this machine (Debian: qemu-user)")
    prefix = tmp_path_factory.mktemp("prefix")
    (prefix / "lib").symlink_to(f"{ARM_LIBRARIES}/lib")
    build_stand_in(prefix / "usr/lib", "zedboard")
    (prefix / "dev").mkdir()
    program = build_runtime("zedboard") / "edge_classify"

    def run(*arguments, dpu="B1152"):
        (prefix / "dev/dpu").unlink(missing_ok=True)
        if dpu:
            (prefix / "dev/dpu").write_text(f"{dpu}\n")
        command = ["qemu-arm", "-L", prefix, program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


def test_on_an_emulated_board(zedboard, images, tmp_path, classify_native):
    path = tmp_path / "a.egb"
    write_bundle(path, with_kernel(shipped_with_int8_logits()))
    arguments = ["--bundle", path, "--json", *sorted(images.iterdir())[:12]]
    code, expected, _ = classify_native(*arguments, "--backend", "cpu")
    assert code == 0
    for backend in ("n2cube", "auto", "cpu"):
        assert zedboard(*arguments, "--backend", backend) == (0, expected, "")
    assert "on the DPU by n2cube" in zedboard("--bundle", path, "--self-test")[1]
    code, out, err = zedboard(*arguments, dpu=None)
    assert (code, out) == (0, expected)
    assert err.startswith("edge_classify: running on the CPU: no DPU here: /dev/dpu does not exist")
    code, out, err = zedboard(*arguments, "--backend", "n2cube", dpu="B4096")
    assert (code, out) == (2, "")
    assert err == (
        "edge_classify: [DNNDK] DPU Arch mismatch: DPU kernel: B1152, DPU IP: B4096; "
        "libn2cube.so ended the program in dpuLoadKernel\n"
    )


def test_an_armhf_library_is_checked_on_any_machine(zedboard, tmp_path_factory, classify_native):
    library = build_stand_in(tmp_path_factory.mktemp("arm"), "zedboard") / "libn2cube.so"
    code, out, _ = classify_native("--check-n2cube", library)
    assert (code, len(out.splitlines())) == (0, 13)
