"""The C++ engine and its self-test against the NumPy reference, on random networks."""

import shutil
import subprocess

import numpy as np
import pytest

from edge_runtime import container, integer, native
from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from edge_runtime.errors import InputError, VerificationError
from edge_runtime.layers import Conv
from edge_runtime.native import NativeRunner
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import default_backend
from tests.conftest import branched_bundle, draw_character
from tests.edge_runtime.conftest import ROOT
from tests.edge_runtime.test_bundle import by_one, edit_json, renewed, repacked, with_layer
from tests.networks import hard_inputs, random_bundle

pytestmark = pytest.mark.usefixtures("native_build")


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_random_networks_give_the_references_integers(first, tmp_path):
    path = tmp_path / "a.egb"
    kinds = set()
    for seed in range(first, first + 20):
        bundle = random_bundle(seed)
        kinds |= {type(layer).__name__ for layer in bundle.network.layers}
        write_bundle(path, bundle)
        inputs = hard_inputs(seed)
        expected = integer.run(bundle.network, inputs)
        found = NativeRunner(path, bundle.network.int32_logits).run(inputs)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected), seed
    assert kinds == {"Conv", "AvgPool", "MaxPool", "Add", "Concat"}


def test_random_bundles_classify_to_the_same_text(tmp_path, run_cli, classify_native):
    for i, symbol in enumerate("A8%g"):
        draw_character(symbol, 20 + 9 * i).save(tmp_path / f"{i}.png")
    for seed in range(100, 110):
        bundle = tmp_path / "a.egb"
        write_bundle(bundle, random_bundle(seed))
        arguments = ("--bundle", bundle, "--json", "--top-k", "7", tmp_path)
        expected = run_cli(main, "classify", "--backend", "int8", *arguments)
        assert classify_native(*arguments)[:2] == expected[:2], seed


def test_the_self_test_names_what_was_changed(tmp_path, classify_native):
    """A parameter changed by one: with old checksums, with new ones, and with all but golden."""
    bundle, path = branched_bundle(), tmp_path / "a.egb"
    write_bundle(path, bundle)
    code, out, _ = classify_native("--bundle", path, "--self-test")
    assert (code, out.startswith("self-test of bundle 'branched' passed: 8 layers")) == (0, True)
    for number, layer in enumerate(bundle.network.layers):
        if not isinstance(layer, Conv):
            continue
        for at in range(0, layer.weights.size, 97):
            changed = with_layer(bundle, number, weights=by_one(layer.weights, at))
            for variant, words in [
                (changed, "is not what was compiled"),
                (renewed(changed, probes=False), "computes other sums"),
            ]:
                write_bundle(path, variant)
                code, out, err = classify_native("--bundle", path, "--self-test")
                assert (code, out) == (1, "")
                assert f"layer {layer.name} {words}" in err
        upset = with_layer(bundle, number, weights=~layer.weights)
        write_bundle(path, renewed(upset, probes=True))
        code, _, err = classify_native("--bundle", path, tmp_path)
        assert code == 1
        assert f"golden vector 0 differs first at layer {layer.name}" in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edit_json("layers", lambda t: t["layers"][6].update(shift=6)), "layer mean is not what"),
        (edit_json("layers", lambda t: t["layers"][1].update(shift_cut=8)), "layer stem is not"),
        (edit_json("layers", lambda t: t["layers"][2].update(activation="none")), "depthwise is"),
        (edit_json("manifest", lambda m: m["alphabet"].reverse()), "the alphabet is not what"),
        (lambda s: s.update(scores=s["scores"][:16] + b"\1" + s["scores"][17:]), "score table"),
    ],
)
def test_changed_shifts_tables_and_symbols_are_named(change, words, tmp_path, classify_native):
    path = tmp_path / "a.egb"
    write_bundle(path, branched_bundle())
    repacked(path, change)
    code, out, err = classify_native("--bundle", path, "--self-test")
    assert (code, out) == (1, "")
    assert words in err
    with pytest.raises(VerificationError, match=words):
        Recognizer.open(path, "int8")
    with pytest.raises(VerificationError, match=words):
        Recognizer.open(path, "native")


def test_the_back_end_refuses_wrong_inputs(tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, random_bundle(1))
    with pytest.raises(ValueError, match="not int8"):
        NativeRunner(path, False).run(np.zeros((1, 28, 28, 1), np.int8))
    with pytest.raises(InputError, match="no such bundle"):
        NativeRunner(tmp_path / "none.egb", False)


def test_native_is_the_default_where_it_is_built(tmp_path, monkeypatch):
    path = tmp_path / "a.egb"
    write_bundle(path, random_bundle(1))
    assert default_backend() == "native"
    monkeypatch.setattr(native, "__version__", "9.9")
    with pytest.raises(InputError, match=r"this is 9\.9, interface \d+; `make runtime` again"):
        Recognizer.open(path)
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    assert default_backend() == "int8"
    assert Recognizer.open(path).integer
    with pytest.raises(InputError, match="not built; `make runtime` builds it"):
        Recognizer.open(path, "native")


@pytest.mark.parametrize("library", ["libedge_runtime.a", "libedge_runtime.so"])
def test_the_c_api_from_a_c_program(library, native_build, tmp_path):
    """tests/c_api.c, compiled as C, uses one classifier from four threads."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc on this machine")
    bundle = random_bundle(7)
    write_bundle(tmp_path / "a.egb", bundle)
    program = tmp_path / "program"
    source = ROOT / "tests/edge_runtime/c_api.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pthread"]
    command = ["gcc", *flags, f"-I{ROOT}/edge_runtime/cpp/include", source]
    command += [native_build / library, f"-Wl,-rpath,{native_build}", "-lstdc++", "-lm"]
    subprocess.run([*command, "-o", program], check=True)
    draw_character("B", 40).save(tmp_path / "b.png")
    done = subprocess.run(
        [program, tmp_path / "a.egb", tmp_path / "b.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (expected,) = Recognizer.open(tmp_path / "a.egb", "int8").classify_files([tmp_path / "b.png"])
    prediction = expected[1]
    assert done.stdout.splitlines() == [
        f"{bundle.name}: {len(bundle.alphabet)} classes",
        f"{prediction.label} {prediction.confidence} {prediction.p_real} {prediction.logits[0]}",
    ]


def test_hostile_bundles_are_refused_as_in_python(tmp_path, classify_native):
    """Flipped, cut and re-packed: no crash, one line, and never accepted where Python refuses."""
    path = tmp_path / "a.egb"
    rng = np.random.default_rng(0)
    write_bundle(path, branched_bundle())
    data = path.read_bytes()
    for _ in range(60):
        sections = dict(container.unpack(data, "a"))
        name = list(sections)[int(rng.integers(len(sections)))]
        content = bytearray(sections[name])
        at = int(rng.integers(len(content)))
        content[at : at + int(rng.integers(4))] = rng.bytes(int(rng.integers(4)))
        sections[name] = bytes(content)
        path.write_bytes(container.pack(sections))
        code, _, err = classify_native("--bundle", path, "--self-test")
        assert code in (0, 1, 2)
        assert len(err.splitlines()) == (code != 0)
        try:
            Recognizer.open(path, "int8")
            accepted = True
        except (InputError, VerificationError) as error:
            accepted, wanted = False, error.exit_code
        assert accepted == (code == 0), (name, at)
        if not accepted:
            assert code == wanted, (name, at, err)
