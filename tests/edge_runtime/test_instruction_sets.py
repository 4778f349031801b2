"""The engine's inner loops, each instruction set forced: the integers of the NumPy reference.

Here on this machine's processor, and under qemu-user on those of the boards.
"""

import platform

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime import integer
from edge_runtime.__main__ import main
from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle import Bundle, GoldenVectors, read_bundle, write_bundle
from edge_runtime.errors import InputError
from edge_runtime.integer import Activation, AvgPool, Conv, IntegerNetwork
from edge_runtime.native import NativeRunner
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import build_table
from tests.conftest import draw_character
from tests.edge_runtime.conftest import ROOT, emulated
from tests.networks import hard_inputs, random_bundle

SHIPPED = ROOT / "models/scene62/scene62.egb"
ARM = platform.machine() in ("aarch64", "arm64")
NAMES = ("scalar", "neon", "neon-dot") if ARM else ("scalar", "avx2", "avx512vnni")


@pytest.fixture(params=NAMES)
def isa(request, supported_isas):
    if request.param not in supported_isas:
        pytest.skip(f"this processor lacks {request.param}")
    return request.param


def assert_same(path, bundle, inputs, isa, threads=1):
    runner = NativeRunner(path, bundle.network.int32_logits, threads, isa)
    assert runner.isa == isa
    found, expected = runner.run(inputs), integer.run(bundle.network, inputs)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("wide", [False, True])
def test_random_networks(wide, isa, tmp_path):
    path = tmp_path / "a.egb"
    for seed in range(1000, 1012):
        bundle = random_bundle(seed, wide)
        write_bundle(path, bundle)
        assert_same(path, bundle, hard_inputs(seed), isa)


def hard_weights(rng, shape, choice):
    """Noise, nothing but extremes, or mostly -128: what overflows where a loop is careless."""
    if choice == "noise":
        return rng.integers(-128, 128, shape).astype(np.int8)
    if choice == "extremes":
        return rng.choice(np.array([-128, 127], np.int8), shape)
    return np.where(rng.integers(0, 20, shape) > 0, -128, 127).astype(np.int8)


def bundle_of(network, inputs):
    classes = integer.run(network, inputs[:1]).shape[1]
    return Bundle(
        "convolutions",
        Alphabet(tuple("0123456789"[:classes])),
        network,
        build_table(network.int32_logits, network.logits_fix_point, 1.0, 1.0),
        GoldenVectors.record(network, inputs),
    )


def lowest_network():
    """Nothing but -128 meets -128, in a first layer and in one of many channels."""
    low = np.full((16, 3, 3, 16), -128, np.int8)
    bias, none, no_pad = np.zeros(16, np.int8), Activation.NONE, (0, 0, 0, 0)
    return IntegerNetwork(
        (32, 32, 1),
        7,
        (
            Conv("first", -1, low[..., :1], bias, (2, 2), (0, 1, 0, 1), none, 8, 0, 4),
            Conv("second", 0, low, bias, (1, 1), (1, 1, 1, 1), none, 15, 0, 4),
            AvgPool("mean", 1, (16, 16), (1, 1), 1, 8, 4),
            Conv("head", 2, low[:3, :1, :1], bias[:3], (1, 1), no_pad, none, 0, 0, 4, False, True),
        ),
    )


@st.composite
def convolutions(draw):
    """A network around one convolution of any shape, on a map of any size and sign."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def conv(source, in_channels, kernel, stride, pad, out):
        kinds = st.sampled_from(["noise", "extremes", "lowest"])
        weights = hard_weights(rng, (out, *kernel, in_channels), draw(kinds))
        bias = hard_weights(rng, (out,), draw(kinds))
        activation, shift = draw(st.sampled_from(list(Activation))), st.integers(0, 16)
        fix_point = draw(st.integers(-5, 7))
        shifts = draw(shift), draw(shift)
        name = f"conv{source + 1}"
        return Conv(name, source, weights, bias, stride, pad, activation, *shifts, fix_point)

    def pair(low, high):
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 32, 48, 64]))
    feed = conv(-1, 1, pair(1, 4), pair(2, 16), (0, 1, 1, 0), channels)
    shape = feed.output_shape([(32, 32, 1)])
    pad = (*pair(0, 6), *pair(0, 6))
    height, width = shape[0] + pad[0] + pad[1], shape[1] + pad[2] + pad[3]
    kernel = draw(st.integers(1, min(5, height))), draw(st.integers(1, min(5, width)))
    out = draw(st.sampled_from([1, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 40, 64, 65]))
    tested = conv(0, channels, kernel, pair(1, 4), pad, out)
    height, width, _ = tested.output_shape([shape])
    mean = AvgPool("mean", 1, (height, width), (1, 1), 1, (height * width).bit_length(), 3)
    head = conv(2, out, (1, 1), (1, 1), (0, 0, 0, 0), 5)
    return IntegerNetwork((32, 32, 1), 7, (feed, tested, mean, head))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(network=convolutions(), seed=st.integers(0, 99))
def test_any_convolution(network, seed, supported_isas, tmp_path):
    """Opening runs the self-test, which compares every layer's output and every sum."""
    inputs = hard_inputs(seed)[::2]
    bundle = bundle_of(network, inputs)
    path = tmp_path / "a.egb"
    write_bundle(path, bundle)
    for isa in supported_isas:
        assert_same(path, bundle, inputs, isa)


def test_the_lowest_products(isa, tmp_path):
    bundle = bundle_of(lowest_network(), hard_inputs(0))
    write_bundle(tmp_path / "a.egb", bundle)
    assert_same(tmp_path / "a.egb", bundle, hard_inputs(1), isa)


def real_inputs():
    symbols = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    drawn = [draw_character(s, 9 + i, 3 * i, i % 5) for i, s in enumerate(symbols)]
    return np.stack([preprocess(np.asarray(image)) for image in drawn])


def test_the_shipped_network_and_threads(isa):
    bundle = read_bundle(SHIPPED)
    rng = np.random.default_rng(5)
    noise = rng.integers(-128, 128, (100, 32, 32, 1)).astype(np.int8)
    inputs = np.concatenate([real_inputs(), hard_inputs(3), noise])
    for threads in (1, 2, 5):
        assert_same(SHIPPED, bundle, inputs, isa, threads)
    runner = NativeRunner(SHIPPED, True, 1, isa)
    one_by_one = np.concatenate([runner.run(inputs[i : i + 1]) for i in range(len(inputs))])
    assert np.array_equal(one_by_one, NativeRunner(SHIPPED, True, 2, isa).run(inputs))


def test_what_the_processor_lacks_is_refused(supported_isas, classify_native, run_cli, tmp_path):
    draw_character("A").save(tmp_path / "a.png")
    other = "avx2" if ARM else "neon"
    words = f"no instruction set '{other}'; there are auto, {', '.join(supported_isas)}"
    code, out, err = classify_native("--bundle", SHIPPED, "--isa", other, tmp_path / "a.png")
    assert (code, out, err) == (2, "", f"edge_classify: {words}\n")
    with pytest.raises(InputError, match=words):
        Recognizer.open(SHIPPED, "native", isa=other)
    with pytest.raises(InputError, match="only back end native"):
        Recognizer.open(SHIPPED, "int8", isa="scalar")
    arguments = ("classify", "--bundle", SHIPPED, "--json", tmp_path)
    expected = run_cli(main, *arguments, "--backend", "int8")
    for name in supported_isas:
        assert run_cli(main, *arguments, "--backend", "native", "--isa", name)[:2] == expected[:2]
        chosen = classify_native("--version", "--isa", name)[1]
        assert f"instruction set {name} of {', '.join(supported_isas)}" in chosen
    assert f"instruction set {supported_isas[0]} of" in classify_native("--version")[1]


BOARDS = [
    ("zedboard", "cortex-a9", "neon", "neon, scalar"),
    ("kv260", "cortex-a53", "neon", "neon, scalar"),
    ("kv260", "cortex-a76", "neon-dot", "neon-dot, neon, scalar"),
]


@pytest.mark.parametrize(("board", "cpu", "isa", "names"), BOARDS)
def test_boards_under_emulation(board, cpu, isa, names, tmp_path):
    """The self-test, which compares every layer's output, on random networks and hard inputs."""
    run = emulated(board, cpu)
    assert run("--version").stdout.endswith(f"instruction set {isa} of {names}\n")
    path = tmp_path / "a.egb"
    bundles = [random_bundle(seed, seed % 3 == 0, hard_inputs(seed)) for seed in range(2000, 2010)]
    for bundle in [bundle_of(lowest_network(), hard_inputs(0)), *bundles]:
        write_bundle(path, bundle)
        done = run("--bundle", path, "--self-test", "--isa", isa)
        assert (done.returncode, done.stderr) == (0, ""), bundle.name
    done = run("--bundle", SHIPPED, "--self-test")
    assert f", {isa}, " in done.stdout
    lacking = {"cortex-a53": "neon-dot"}.get(cpu)
    if lacking:
        done = run("--bundle", SHIPPED, "--self-test", "--isa", lacking)
        assert done.returncode == 2
        assert f"this processor lacks '{lacking}'; there are auto, {names}\n" in done.stderr
