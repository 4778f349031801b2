"""The race against other engines: each answers right before it is timed, and figures add up."""

import dataclasses
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from edge_runtime import integer
from edge_runtime.__main__ import main
from edge_runtime.alphabet import classes_of
from edge_runtime.bench.decode import decode
from edge_runtime.bench.engine import MOST_BATCH, Engine, InPython, Network, Turn
from edge_runtime.bench.engines import ENGINES, gpu, ours
from edge_runtime.bench.race import Entry, Images, Task, pinned, prepare, race, tasks
from edge_runtime.bench.report import Report, summarize
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import GraphError, ImageError, InputError, MissingDependencyError
from edge_runtime.formats.format import Load
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.preprocess import preprocess
from tests.edge_runtime.conftest import ROOT

SHIPPED = ROOT / "models/scene62/scene62.egb"
PEERS = [engine for engine in ENGINES if not engine.ours]
LOADS = (Load(1, 1), Load(MOST_BATCH, 1))


@pytest.fixture(scope="module")
def found(class_folders):
    return find_labeled_images(class_folders, read_bundle(SHIPPED).alphabet)


@pytest.fixture(scope="module")
def images(found):
    inputs = np.stack([preprocess(read_gray(image.path)) for image in found])
    alphabet = read_bundle(SHIPPED).alphabet
    return Images(inputs, np.array(classes_of([image.label for image in found], alphabet)))


@pytest.fixture(scope="module")
def network(found, images, tmp_path_factory):
    timed = np.resize(images.inputs, (MOST_BATCH, 32, 32, 1))
    models = tmp_path_factory.mktemp("models")
    bundle = read_bundle(SHIPPED)
    return Network(bundle, SHIPPED, images.inputs[::2], timed, found[7].path, models)


def answering(name, logits, form="int8", ours=False):
    """An engine that answers `logits(inputs)`."""
    call, needs = "a Python function", ()
    return Engine(
        name, form, call, needs, lambda network, load: InPython(logits, network, load), ours
    )


def pixels(inputs):
    """Some logits that depend on the image."""
    return inputs.reshape(len(inputs), -1)[:, 400:462].astype(np.float32)


@pytest.mark.filterwarnings("ignore")  # of the engines' own converters
@pytest.mark.parametrize("engine", PEERS, ids=lambda engine: engine.title)
def test_peers_run_this_network(engine, network, images):
    """A wrong conversion would be fast, too. Batches give what single images give."""
    expected = integer.run(network.bundle.network, images.inputs).argmax(axis=1)
    answers = []
    for load in LOADS:
        try:
            answers.append(engine.open(network, load).logits(images.inputs))
        except MissingDependencyError as error:
            pytest.skip(str(error))
    assert answers[0].shape == (len(images.inputs), 62)
    assert np.mean(answers[0].argmax(axis=1) == answers[1].argmax(axis=1)) > 0.98
    assert np.mean(answers[0].argmax(axis=1) == expected) > 0.9


def test_float_peers_give_the_same_numbers(network, images):
    floats = []
    for engine in PEERS:
        if not engine.is_float:
            continue
        try:
            floats.append(engine.open(network, LOADS[0]).logits(images.inputs))
        except MissingDependencyError as error:
            pytest.skip(f"{engine.name}: {error}")
    assert len(floats) == 4
    assert max(np.abs(one - floats[0]).max() for one in floats) < 1e-3


def test_who_is_missing_or_wrong_stays_out(network, images):
    def missing(network, load):
        raise MissingDependencyError("pip install 'edgeglyph[bench]'")

    rng = np.random.default_rng(0)
    engines = [
        answering("Mine", pixels, ours=True),
        answering("Float", pixels, "fp32"),
        answering("Broken", lambda inputs: rng.random((len(inputs), 62))),
        Engine("Absent", "int8", "", (), missing),
    ]
    entries = prepare(engines, network, images, LOADS)
    assert [entry.absent is None for entry in entries] == [True, True, False, False]
    assert entries[0].agreement.value == entries[1].agreement.value == 1
    assert "agrees with the float network on" in entries[2].absent
    wanted = [Task("network", LOADS[1])]
    race(entries, network, wanted, 1)
    report = Report({}, entries, wanted, [], 100)
    assert "Absent, int8  pip install 'edgeglyph[bench]'" in report.table()
    shown = report.as_json()["engines"]
    assert [len(engine["measurements"]) for engine in shown] == [1, 1, 0, 0]
    assert shown[0]["accuracy"]["n"] == len(images.inputs)


def test_rounds_have_every_turn_once_in_changing_order(network):
    calls = []

    class Recorder:
        def __init__(self, name):
            self.name = name

        def turn(self, what):
            calls.append((self.name, what, os.sched_getaffinity(0)))
            return Turn(1000.0 + len(calls), (1.0,), 0.5)

    wanted = [Task("network", LOADS[0]), Task("image", LOADS[0])]
    entries = []
    for name in "abcd":
        entry = Entry(answering(name, None))
        entry.opened = {LOADS[0]: Recorder(name)}
        entries.append(entry)
    assert race(entries, network, wanted, 4) == []
    each = 2 * len(entries)
    rounds = [[call[:2] for call in calls[i : i + each]] for i in range(0, len(calls), each)]
    assert len(rounds) == 4 + 3  # three warm up
    assert all(len(set(turns)) == each for turns in rounds)
    assert len({tuple(turns) for turns in rounds}) > 1
    assert all(cpus == {network.cpu} for *_, cpus in calls)
    assert all(len(entry.ns[task]) == 4 for entry in entries for task in wanted)
    assert min(entries[0].ns[wanted[0]]) > 1000 + 3 * each  # none of the warm-up


def test_processors_are_given_back():
    before = os.sched_getaffinity(0)
    with pinned(min(before), 1):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_summary_of_known_rounds():
    """Ratios are taken within a round, since clocks change from one to the next."""
    ns, mine = [2000.0, 4000.0, 6000.0, 8000.0, 10000.0], [1000.0, 1000.0, 3000.0, 4000.0, 1000.0]
    found = summarize(ns, mine, [10.0, 5.0, 5.0, 5.0, 5.0], 10_000)
    assert (found.low, found.median, found.high, found.least) == (4, 6, 8, 2)
    assert found.ratio == 2  # of 2, 4, 2, 2, 10
    assert found.of_peak == 3  # of 2, 2, 3, 4, 5
    assert set(summarize(ns, None, [], 1).as_json()) == {
        *("median_us", "quartile1_us", "quartile3_us", "minimum_us", "images_per_second")
    }


def test_single_calls_make_the_99th_percentile():
    calls = [1000.0] * 98 + [5000.0, 9000.0]
    found = summarize([1000.0], None, [], 1, calls, [1.5, 1.0, 2.0])
    assert found.p99 == pytest.approx(5.04)
    assert found.cpu == 1.5
    assert found.as_json()["images_per_second"] == 1e6


def test_a_turn_times_every_call(network):
    """What took longer once is in the calls and in the mean."""
    naps = iter([0.0] + [0.02] + [0.0] * 10_000)
    turn = InPython(lambda inputs: time.sleep(next(naps)), network, LOADS[0]).turn("network")
    assert max(turn.calls) > 20e6
    assert turn.ns == pytest.approx(np.mean(turn.calls))
    assert len(turn.calls) % MOST_BATCH == 0
    assert turn.cpu < 1


def test_loads_that_make_no_sense_are_left_out(network, images):
    """One image on two threads, where each thread takes images of its own."""
    loads = (Load(1, 1), Load(1, 2), Load(MOST_BATCH, 2))
    serial = dataclasses.replace(answering("Serial", pixels, "fp32"), most_threads=1)
    apart = dataclasses.replace(answering("Apart", pixels, ours=True), splits_images=False)
    both = answering("Both", pixels)
    entries = prepare([apart, serial, both], network, images, loads)
    assert [list(entry.opened) for entry in entries] == [[loads[0], loads[2]], [loads[0]], [*loads]]
    wanted = [Task("network", load) for load in loads]
    race(entries, network, wanted, 1)
    assert [list(entry.ns) for entry in entries] == [
        [wanted[0], wanted[2]], [wanted[0]], wanted
    ]  # fmt: skip


def test_all_threads_means_all():
    assert {task.load.threads for task in tasks(16)} == {1, 16}
    assert {task.load.threads for task in tasks(1)} == {1}
    assert {task.load.batch for task in tasks(4)} == {1, MOST_BATCH}


def test_memory_is_the_engines_own():
    """64 MiB that an engine takes are in its memory, those of the process before are not."""
    code = (
        "from edge_runtime.memory import forget_peak, peak_bytes\n"
        "before = bytearray(96 << 20); del before; forget_peak(); base = peak_bytes()\n"
        "engine = bytearray(b'x') * (64 << 20); print(base, peak_bytes() - base)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    base, added = map(int, done.stdout.split())
    assert base < 64 << 20
    assert 63 << 20 < added < 80 << 20


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'GPU 0: NVIDIA Something'", True),
        ("echo 'no devices' >&2; exit 9", False),
        (None, False),
    ],
)
def test_gpu_rows_are_there_where_the_driver_lists_one(script, found, tmp_path, monkeypatch):
    if script:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.has_gpu() is found


def test_a_gpu_engine_never_runs_on_the_processor(network, monkeypatch):
    """ONNX Runtime goes to the CPU without a word where CUDA does not load."""
    ort = pytest.importorskip("onnxruntime", reason="no onnxruntime: pip install 'edgeglyph[onnx]'")
    pytest.importorskip("onnx", reason="no onnx: pip install 'edgeglyph[quantize]'")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        with pytest.raises(MissingDependencyError, match="has no CUDA: pip install"):
            gpu.ONNX_RUNTIME.open(network, LOADS[0])
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    real = ort.InferenceSession

    def falls_back(path, options, providers):
        assert providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", falls_back)
    with pytest.raises(InputError, match="cannot use the GPU"):
        gpu.ONNX_RUNTIME.open(network, LOADS[0])


def test_decoding_follows_the_specification(found):
    """By OpenCV; a gray image that shrinks by whole numbers or not at all differs by roundings."""
    pytest.importorskip("cv2", reason="no OpenCV: pip install 'edgeglyph[bench]'")
    paths = [image.path for image in found[:10]]
    inputs = decode([path.read_bytes() for path in paths])
    expected = np.stack([preprocess(read_gray(path)) for path in paths])
    difference = np.abs(inputs.astype(int) - expected)
    assert inputs.shape == expected.shape
    assert difference.mean() < 8
    with pytest.raises(ImageError, match="cannot decode"):
        decode([b"no image"])


def test_the_program_answers_what_it_can(native_build, network):
    bench = ours.EdgeBench(network, LOADS[0])
    assert bench.about["multiply_adds"] == network.bundle.network.multiply_adds == 7_233_280
    for what in ("network", "image"):
        turn = bench.turn(what)
        assert turn.ns == pytest.approx(np.mean(turn.calls), rel=0.01)
        assert sum(turn.calls) > 2e6  # that long takes a turn
        assert 0 < turn.cpu < 1.1
    assert bench.peak() >= 0
    with pytest.raises(InputError, match="cannot measure 'network' of a batch of 3 on 1 threads"):
        ours.EdgeBench(network, Load(3, 1)).turn("network")


def test_ncnn_refuses_operators_it_does_not_know(tmp_path):
    onnx = pytest.importorskip("onnx", reason="no onnx: pip install 'edgeglyph[bench]'")
    from edge_runtime.bench.engines.ncnn import write_ncnn

    node = onnx.helper.make_node("Tan", ["x"], ["y"], name="angle")
    graph = onnx.helper.make_graph([node], "g", [], [])
    with pytest.raises(GraphError, match="operator Tan of 'angle'"):
        write_ncnn(onnx.helper.make_model(graph), tmp_path / "a.param")


@pytest.mark.filterwarnings("ignore")
def test_the_command(native_build, class_folders, tmp_path, run_cli):
    arguments = ("bench", "--bundle", SHIPPED, "--images", class_folders, "--rounds", 2)
    arguments += ("--output", tmp_path / "out", "--engine", "onnx runtime")
    code, out, _ = run_cli(main, *arguments)
    assert code == 0
    report = json.loads((tmp_path / "out/bench.json").read_text())
    assert report["images"] == {"measured": 37, "calibration": 13}
    program, library, *peers = report["engines"]
    assert [engine["form"] for engine in peers] == ["int8, QDQ", "exact int8", "fp32"]
    assert peers[2]["agreement"]["value"] == 1
    assert peers[1]["accuracy"] == library["accuracy"]
    assert library["absent"] is program["absent"] is None
    assert all(figures["times_ours"] == 1 for figures in program["measurements"])
    assert program["size_bytes"] == library["size_bytes"] == SHIPPED.stat().st_size
    for engine in report["engines"]:
        assert 0 < engine["load_ms"] < 60_000
        assert engine["peak_bytes"] > (engine["peak_bytes_over_python"] or 0)
        for figures in engine["measurements"]:
            assert figures["p99_us"] >= figures["minimum_us"]
            assert figures["images_per_second"] == pytest.approx(1e6 / figures["median_us"], 1e-3)
            assert 0 < figures["cpu"] < figures["threads"] + 0.5
            assert 0 < figures["minimum_us"] <= figures["median_us"] <= figures["quartile3_us"]
    assert "ONNX Runtime, fp32" in out
    assert "load ms" in out
    assert "| ONNX Runtime, fp32" in (tmp_path / "out/bench.md").read_text()
    models = sorted((tmp_path / "out/models").rglob("*.onnx"))
    made = [path.stat().st_mtime_ns for path in models]
    assert run_cli(main, *arguments)[0] == 0
    assert [path.stat().st_mtime_ns for path in models] == made  # converted once


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rounds", 0), "--rounds must be at least 1"),
        (("--cpu", 4096), "--cpu 4096: no such processor"),
        (("--engine", "abacus"), "--engine abacus: there are EdgeGlyph, int8;"),
        (("--split", "test"), "has no splits"),
    ],
)
def test_mistakes_get_one_line(options, words, class_folders, tmp_path, run_cli):
    arguments = ("bench", "--bundle", SHIPPED, "--images", class_folders)
    code, out, err = run_cli(main, *arguments, "--output", tmp_path / "out", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
