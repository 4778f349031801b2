"""Evaluation in chunks: the same figures however it is cut, killed and divided; no TensorFlow."""

import json
import os
import signal
import subprocess
import sys
import time

import jsonschema
import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from edge_runtime.evaluation import chunks, evaluate
from edge_runtime.evaluation.records import record
from edge_runtime.evaluation.report_data import SCHEMA_FILE, groups
from edge_runtime.metrics import rank
from tests.conftest import draw_character, toy_bundle
from tests.edge_runtime.conftest import ROOT

VOLATILE = {"milliseconds_per_image", "provenance", "cost"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle and 30 images of ten classes, one of them in a folder of its own kind."""
    root = tmp_path_factory.mktemp("evaluation")
    write_bundle(root / "a.egb", toy_bundle())
    for i in range(30):
        place = root / f"images/digit_{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        draw_character(str(i % 10), 16 + i, 6 * i).save(place / f"{i:02d}.png")
    return root


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 4)
    monkeypatch.setattr(evaluate, "CHUNK", 4)


def arguments(folder, out, *more):
    return [
        "evaluate", "--bundle", folder / "a.egb", "--images", folder / "images",
        "--backend", "int8", "--json", out, *more,
    ]  # fmt: skip


def steady(value):
    """Figures without times."""
    if isinstance(value, dict):
        return {key: steady(each) for key, each in value.items() if key not in VOLATILE}
    return [steady(each) for each in value] if isinstance(value, list) else value


def figures(path):
    return steady(json.loads(path.read_text("utf-8")))


def test_chunks_and_processes_change_nothing(folder, tmp_path, run_cli, monkeypatch):
    assert run_cli(main, *arguments(folder, tmp_path / "whole.json"))[0] == 0
    monkeypatch.setattr(chunks, "CHUNK", 7)
    monkeypatch.setattr(evaluate, "CHUNK", 7)
    for name, more in [("cut", ()), ("two", ("--jobs", 2))]:
        code, _, err = run_cli(main, *arguments(folder, tmp_path / f"{name}.json", *more))
        assert code == 0, err
        assert figures(tmp_path / f"{name}.json") == figures(tmp_path / "whole.json")
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_stopped_run_goes_on_where_it_was(folder, tmp_path, run_cli, small_chunks, monkeypatch):
    out, done, run = tmp_path / "a.json", [], chunks.Worker.run

    def count(self, chunk):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(chunk.start)
        return run(self, chunk)

    monkeypatch.setattr(chunks.Worker, "run", count)
    assert run_cli(main, *arguments(folder, out))[0] == 130
    assert not out.exists()
    first = sorted((tmp_path / ".a.json.parts").rglob("*.npz"))
    assert len(first) == 5
    done.clear()
    monkeypatch.setattr(chunks.Worker, "run", lambda self, c: done.append(c.start) or run(self, c))
    assert run_cli(main, *arguments(folder, out))[0] == 0
    assert done == [20, 24, 28]
    monkeypatch.undo()
    assert run_cli(main, *arguments(folder, tmp_path / "b.json"))[0] == 0
    assert figures(out) == figures(tmp_path / "b.json")


def test_nothing_stale_is_used(folder, tmp_path, run_cli, small_chunks, monkeypatch):
    """Another image, label or bundle starts anew."""
    out, run = tmp_path / "a.json", chunks.Worker.run

    def stop(self, chunk):
        if chunk.start == 8:
            raise KeyboardInterrupt
        return run(self, chunk)

    monkeypatch.setattr(chunks.Worker, "run", stop)
    assert run_cli(main, *arguments(folder, out))[0] == 130
    monkeypatch.undo()
    image = folder / "images/digit_0/00.png"
    before = image.read_bytes()
    draw_character("8", 60).save(image)
    monkeypatch.setattr(chunks, "CHUNK", 4)
    monkeypatch.setattr(evaluate, "CHUNK", 4)
    starts = []
    monkeypatch.setattr(
        chunks.Worker, "run", lambda self, c: starts.append(c.start) or run(self, c)
    )
    assert run_cli(main, *arguments(folder, out))[0] == 0
    assert starts[0] == 0
    image.write_bytes(before)


def test_a_killed_process_loses_no_whole_chunk(folder, tmp_path):
    """SIGKILL as soon as the first file is there, as a power cut would."""
    code = (
        "import sys, time; from edge_runtime.evaluation import chunks, evaluate;"
        "chunks.CHUNK = evaluate.CHUNK = 4; run = chunks.Worker.run;"
        "chunks.Worker.run = lambda s, c: (run(s, c), time.sleep(0.3))[0];"
        "from edge_runtime.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "a.json"
    command = [sys.executable, "-c", code, *map(str, arguments(folder, out))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not list(tmp_path.rglob("*.npz")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("characters-*.npz")}
    assert 0 < len(kept) < 8
    for path in kept:
        with np.load(path) as file:
            assert len(file["pictures/index"]) == 4
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert json.loads(out.read_text())["n"] == 30


def test_unreadable_images_are_left_out_by_choice(folder, tmp_path, run_cli, small_chunks):
    bad = folder / "images/digit_3/bad.png"
    bad.write_bytes(b"")
    code, out, err = run_cli(main, *arguments(folder, tmp_path / "a.json"))
    assert (code, out) == (2, "")
    assert f"{bad}: the file is empty" in err
    code, _, err = run_cli(main, *arguments(folder, tmp_path / "a.json", "--skip-unreadable"))
    bad.unlink()
    assert code == 0, err
    assert f"skipped: {bad}" in err
    assert figures(tmp_path / "a.json")["n"] == 30


def test_tensorflow_is_imported_for_its_rungs_alone(tmp_path):
    """In a new process, with everything that needs no TensorFlow."""
    (tmp_path / "images/digit_1").mkdir(parents=True)
    draw_character("1").save(tmp_path / "images/digit_1/1.png")
    code = (
        "import sys; from edge_runtime.__main__ import main; code = main(sys.argv[1:]);"
        "heavy = {'tensorflow', 'keras', 'cv2', 'albumentations', 'matplotlib', 'onnx'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(code)"
    )
    bundle = ROOT / "models/scene62/scene62.egb"
    given = ["--bundle", bundle, "--images", tmp_path / "images", "--rungs", "onnx,int8,onnx-int8"]
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", *map(str, given)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "int8 (ONNX Runtime)" in done.stdout


def test_mistakes_get_one_line(folder, tmp_path, run_cli):
    for more, words in [
        (("--rungs", "gpu"), "no rung 'gpu'; there are all"),
        (("--rungs", "onnx"), "model.onnx: no such file"),
        (("--rungs", "?"), "int8: int8 (reference)"),
        (("--jobs", "-1"), "--jobs -1: at least 1"),
        (("--model", tmp_path, "--rungs", "int8"), "--model goes with a single --backend"),
        (("--backend", "int8"), "name each back end once"),
    ]:
        code, out, err = run_cli(main, *arguments(folder, tmp_path / "a.json", *more))
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err


def test_records_keep_what_metrics_need():
    rng = np.random.default_rng(0)
    logits = rng.integers(-9, 9, (50, 62)).astype(np.int8)
    bundle, labels = toy_bundle(), rng.integers(-1, 64, 50).astype(np.int32)
    kept = record(bundle, logits, True, labels)
    probabilities, p_real = bundle.scores.probabilities(logits)
    assert np.array_equal(kept.ranked, rank(logits, 3))
    assert np.array_equal(kept.p_real, p_real)
    for i, label in enumerate(labels):
        assert kept.own[i] == (probabilities[i, label] if 0 <= label < 62 else 0)
        assert kept.confidence[i] == probabilities[i].max()
        assert kept.ties[i] == (np.sum(logits[i] == logits[i].max()) > 1)


# --- report.json ---------------------------------------------------------------------------------


def test_the_report_has_the_form_of_its_schema(folder, tmp_path, run_cli, native_build):
    """Two rungs with costs, then all of it in one file, judged by jsonschema."""
    out = tmp_path / "evaluation.json"
    given = arguments(folder, out, "--backend", "native", "--cost", "--ladder")
    code, text, err = run_cli(main, *given)
    assert code == 0, err
    assert text.rstrip().endswith("not verified here: DPU silicon")
    assert "\u2713 int8 (C++ library) = int8: identical logits" in text
    costs = json.loads(out.read_text())["cost"]["rungs"]
    assert set(costs) == {"int8", "native"}
    for cost in costs.values():
        assert 0 < cost["median_ms"] <= cost["p99_ms"]
        assert cost["peak_bytes"] > 10_000_000
        assert cost["size_bytes"] >= (folder / "a.egb").stat().st_size
        assert min(cost["start_s"], cost["images_per_s"], cost["cpu_ms"]) > 0
    code, _, err = run_cli(
        main, "report", "--bundle", folder / "a.egb", "--evaluation", out, "--output", tmp_path
    )
    assert code == 0, err
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    judge.validate(report)
    assert sum(cell["count"] for cell in report["details"]["int8"]["confusion"]) == 30
    assert report["images"][0]["thumbnail"].startswith("data:image/png;base64,")
    shown = {answer["image"] for answer in report["details"]["int8"]["worst"]}
    assert shown <= set(range(len(report["images"])))
    assert report["summary"]["network"] == "int8"
    for broken in (
        report | {"schema": 1},
        report | {"more": 1},
        {key: value for key, value in report.items() if key != "ladder"},
    ):
        assert not judge.is_valid(broken)
    write_bundle(tmp_path / "other.egb", toy_bundle(seed=3))
    code, _, err = run_cli(
        main, "report", "--bundle", tmp_path / "other.egb", "--evaluation", out,
        "--output", tmp_path,
    )  # fmt: skip
    assert code == 2
    assert "is of another bundle" in err


def test_look_alikes_stand_side_by_side():
    order = "".join(symbol for group in groups(toy_bundle().alphabet) for symbol in group)
    assert sorted(order) == sorted(toy_bundle().alphabet.symbols)
    assert "0Oo" in order
    assert set("1Il") <= set(order[order.index("1") : order.index("1") + 5])
    assert "Cc" in order
