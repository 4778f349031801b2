"""The C file: the reference's integers and scores, and bytes of the one preprocessing.

No undefined behaviour, no byte outside its arena; on this machine and on an emulated 32-bit Arm.
"""

import math
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_runtime import integer
from edge_runtime.bundle import read_bundle, write_bundle
from edge_runtime.errors import MissingDependencyError, VerificationError
from edge_runtime.formats import c99
from edge_runtime.formats.arena import plan_arena
from edge_runtime.formats.c_source import c_source, identifier
from edge_runtime.formats.format import Source
from edge_runtime.formats.images import Measured
from edge_runtime.formats.verify import answer, verify
from edge_runtime.images import read_gray
from edge_runtime.preprocess import preprocess
from edge_runtime.scores import predictions
from tests.conftest import branched_bundle, toy_bundle
from tests.edge_runtime.conftest import ROOT
from tests.networks import hard_inputs, random_bundle

SHIPPED = ROOT / "models/scene62/scene62.egb"
HARNESS = Path(__file__).with_name("c_file.c")
SANITIZED = ("gcc", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NO_IMAGES = np.zeros((0, 32, 32, 1), np.int8)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"no {tool} on this machine")


def source_of(path):
    return Source(read_bundle(path), path, NO_IMAGES)


def build(bundle, path, folder, compiler):
    """Convert a bundle and compile it with the harness; return the program."""
    name = identifier(bundle.name)
    (folder / "network.c").write_text(c_source(bundle, path), "utf-8")
    line = [*compiler, *c99.FLAGS, "-I", folder, '-DNETWORK="network.c"', f"-DPREFIX={name}"]
    line += [f"-DMACRO={name.upper()}", f"-D{name.upper()}_SELF_TEST", HARNESS]
    done = subprocess.run(
        [*map(str, line), "-o", str(folder / "program")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "program"


def run(command, records):
    done = subprocess.run(command, input=b"".join(records), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [list(map(int, line.split())) for line in done.stdout.decode().splitlines()]


def check_answers(command, bundle, inputs):
    """Logits, label, confidence, p_real and all probabilities are the bundle's."""
    rows = run(command, [b"i" + x.tobytes() for x in inputs])
    logits = integer.run(bundle.network, inputs)
    probabilities, p_real = bundle.scores.probabilities(logits)
    wanted = predictions(logits, probabilities, p_real, bundle.alphabet, 1)
    classes = len(bundle.alphabet)
    assert len(rows) == len(inputs)
    for row, one, z, p in zip(rows, wanted, logits, probabilities, strict=True):
        label, confidence, real = row[:3]
        assert bundle.alphabet.symbols[label] == one.label
        assert (confidence, real) == (one.confidence, one.p_real)
        assert row[3 : 3 + classes] == z.tolist()
        assert row[3 + classes :] == p.tolist()


def bundle_file(bundle, folder):
    write_bundle(folder / "bundle.egb", bundle)
    return folder / "bundle.egb"


@pytest.mark.parametrize("seed", range(6))
def test_any_network_gives_the_references_integers(seed, tmp_path):
    """Every kind of layer, activation and shift; the arena is exactly as large as it says."""
    need("gcc")
    bundle = random_bundle(seed)
    program = build(bundle, bundle_file(bundle, tmp_path), tmp_path, SANITIZED)
    check_answers([program], bundle, hard_inputs(seed))


@pytest.mark.parametrize("make", [toy_bundle, branched_bundle])
def test_narrow_and_wide_logits(make, tmp_path):
    need("gcc")
    bundle = make()
    program = build(bundle, bundle_file(bundle, tmp_path), tmp_path, SANITIZED)
    check_answers([program], bundle, hard_inputs(1))


def test_the_shipped_network(tmp_path, class_folders):
    """Compiled with optimization, all warnings being errors; real drawings, hostile inputs."""
    need("gcc")
    bundle = read_bundle(SHIPPED)
    program = build(bundle, SHIPPED, tmp_path, ("gcc", "-O2", "-Wconversion", "-Wshadow"))
    drawn = [preprocess(read_gray(file)) for file in sorted(class_folders.rglob("*.png"))]
    check_answers([program], bundle, np.concatenate([np.stack(drawn), hard_inputs(0)]))


def test_on_an_emulated_arm(tmp_path):
    need("arm-linux-gnueabihf-gcc", "qemu-arm")
    bundle = read_bundle(SHIPPED)
    program = build(bundle, SHIPPED, tmp_path, ("arm-linux-gnueabihf-gcc", "-O2", "-static"))
    command = ["qemu-arm", program]
    check_answers(command, bundle, hard_inputs(2))
    gray = np.random.default_rng(0).integers(0, 256, (37, 61)).astype(np.uint8)
    (row,) = run(command, [b"g" + struct.pack("<HH", 61, 37) + gray.tobytes()])
    assert row == preprocess(gray).ravel().tolist()


def test_other_compilers_take_it(tmp_path):
    """clang, a C++ compiler for the declarations, and a program of two networks."""
    need("gcc", "g++", "clang")
    bundles = [random_bundle(7), random_bundle(8)]
    for number, bundle in enumerate(bundles):
        text = c_source(bundle, bundle_file(bundle, tmp_path))
        (tmp_path / f"n{number}.c").write_text(text, "utf-8")
    names = [identifier(bundle.name) for bundle in bundles]
    lines = [f"#define {name.upper()}_DECLARATIONS_ONLY\n" for name in names]
    lines += [f'#include "n{number}.c"\n' for number in range(2)]
    lines += ["int main() { return " + " + ".join(f"!{n}_symbols[0]" for n in names) + "; }\n"]
    (tmp_path / "main.cpp").write_text("".join(lines))
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    for line in (
        ["clang", "-std=c99", "-c", "n0.c", *strict],
        ["gcc", "-std=c99", "-Os", "-c", "n1.c", *strict],
        ["g++", *strict, "main.cpp", "n0.o", "n1.o", "-o", "main"],
        ["./main"],
    ):
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    try:
        c99.find_compiler()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("c") / "scene62.c"
    source = source_of(SHIPPED)
    c99.C.make(source, path)
    return c99.Compiled(source, c99.load_c(path))


@given(st.data())
def test_preprocessing_of_any_picture(compiled, data):
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    low = data.draw(st.integers(0, 255))
    values = st.integers(low, min(255, low + data.draw(st.sampled_from([0, 7, 8, 255]))))
    gray = data.draw(arrays(np.uint8, shape, elements=values))
    assert np.array_equal(compiled.preprocess(gray), preprocess(gray))


def test_preprocessing_of_large_pictures(compiled):
    """The sums need more than 32 bits."""
    for shape in ((16384, 300), (300, 16384), (2000, 2100)):
        gray = np.random.default_rng(1).integers(200, 256, shape).astype(np.uint8)
        assert np.array_equal(compiled.preprocess(gray), preprocess(gray))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (16385, 1), (1, 16385)])
def test_impossible_sizes_are_refused(compiled, shape):
    with pytest.raises(VerificationError, match="preprocessing refuses"):
        compiled.preprocess(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("seed", range(40))
def test_no_two_living_maps_share_memory(seed):
    """Run symbolically: a map is intact until its last reader."""
    network = random_bundle(seed).network
    offsets, size = plan_arena(network)
    owner = np.full(size, -2)
    shapes = network.output_shapes()
    for i, layer in enumerate(network.layers):
        for source in layer.sources:
            if source >= 0:
                area = owner[offsets[source] : offsets[source] + math.prod(shapes[source])]
                assert (area == source).all()
        if i < len(network.layers) - 1 or not network.int32_logits:
            at, bytes_of = offsets[i], math.prod(shapes[i])
            assert at + bytes_of <= size
            read = [s for s in layer.sources if s >= 0]
            for source in read:
                end = offsets[source] + math.prod(shapes[source])
                assert end <= at or at + bytes_of <= offsets[source]
            owner[at : at + bytes_of] = i


def test_a_chain_needs_its_two_largest_neighbours():
    network = read_bundle(SHIPPED).network
    assert plan_arena(network)[1] == 16 * 16 * 64 + 8 * 8 * 64


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("scene62", "scene62"), ("My Model-2", "my_model_2"), ("62", "net_62"), ("漢字", "net")],
)
def test_names(name, wanted):
    assert identifier(name) == wanted


def test_a_file_of_other_integers_is_refused(tmp_path):
    """One bias changed."""
    bundle = toy_bundle()
    source = Source(bundle, bundle_file(bundle, tmp_path), NO_IMAGES)
    path = tmp_path / "toy.c"
    c99.C.make(source, path)
    text = path.read_text("utf-8")
    found = re.search(r"bias_2\[62\] = \{\n(-?\d+)", text)
    other = "-128" if int(found[1]) > 0 else "127"
    path.write_text(text[: found.start(1)] + other + text[found.end(1) :], "utf-8")
    inputs = hard_inputs(3)
    images = Measured([Path("-")] * len(inputs), inputs, np.zeros(len(inputs), np.int64), "")
    with pytest.raises(VerificationError, match=r"class 0 of - is .*, the integer reference has"):
        verify(c99.C, source, path, answer(source, images))


def test_without_a_compiler_one_line_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(c99, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="no C compiler"):
        c99.find_compiler()
