"""make curve, whole and small: trained for seconds, on digits; what it says is counted anew."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import integer, native
from edge_runtime.alphabet import parse_alphabet
from edge_runtime.bundle import read_bundle
from edge_runtime.images import read_gray
from edge_runtime.labeled_images import find_labeled_images
from edge_runtime.native import NativeRunner
from edge_runtime.preprocess import preprocess
from edge_runtime.tensorflow_import import import_tensorflow

import_tensorflow()

from quantize.core.pack import with_core  # noqa: E402
from semi_supervised.data import make_data  # noqa: E402
from semi_supervised.settings import load_settings  # noqa: E402
from semi_supervised.training import trainer  # noqa: E402
from semi_supervised.training.checkpoints import load_best  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
DIGITS = parse_alphabet("0123456789")
PRESET = """
[train]
method = "supervised"
epochs = 1
steps_per_epoch = 3
batch_labeled = 16
batch_drawn = 0
warmup_steps = 1
[quantize]
method = "min-mse"
report_only = true
calibration_count = 16
"""


@pytest.fixture(scope="module")
def script():
    """scripts/measure_curve.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("measure_curve")


@pytest.fixture(scope="module")
def build(class_folders, tmp_path_factory):
    """A build with data and a trained network, and the preset beside it."""
    folder = tmp_path_factory.mktemp("curve")
    (folder / "few.toml").write_text(PRESET)
    settings = load_settings(str(folder / "few.toml"))
    make_data(str(class_folders), folder / "build", DIGITS, load_settings("tiny").data)
    manifest = folder / "build/manifest.csv"
    trainer.train(manifest, folder / "build/training", settings, workers=0)
    return folder / "build"


def options(build, *more):
    line = ["--build", build, "--name", "digits", "--preset", build.parent / "few.toml"]
    return [str(each) for each in [*line, "--keep", "0.3", "--workers", 0, "--rounds", 2, *more]]


@pytest.fixture(scope="module")
def curve(script, build):
    """The curve's folder; the training of its smaller network was cut off once."""
    point = importlib.import_module("smaller.point")
    before = point.semi_supervised

    def cut(line):
        return 130 if line[0] == "freeze" and "curve/30" in " ".join(line) else before(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(point, "semi_supervised", cut)
        assert script.main(options(build)) == 130
    trained = build / "curve/30/training/checkpoint.npz"
    written = trained.stat().st_mtime_ns
    assert script.main(options(build)) == 0
    assert trained.stat().st_mtime_ns == written
    return build / "curve"


def points_of(curve):
    return json.loads((curve / "curve.json").read_text("utf-8"))["points"]


def test_the_curve_has_every_network_with_its_figures(build, curve):
    whole, pruned, nothing = points_of(curve)
    images = find_labeled_images(build / "manifest.csv", DIGITS, "validation")
    inputs = np.stack([preprocess(read_gray(image.path)) for image in images])
    labels = [int(image.label) for image in images]
    for point in (whole, pruned, nothing):
        bundle = read_bundle(curve / point["name"] / "digits.egb")
        right = int((integer.run(bundle.network, inputs).argmax(axis=1) == labels).sum())
        assert (point["int8"]["value"], point["int8"]["n"]) == (right / len(labels), len(labels))
        assert point["multiply_adds"] == bundle.network.multiply_adds
        assert point["core128_cycles"] == with_core(bundle, "core128").core.cycles
        if native.is_built():
            assert point["time"]["median_us"] > 0
            found = NativeRunner(curve / point["name"] / "digits.egb", bundle.network.int32_logits)
            assert np.array_equal(found.run(inputs), integer.run(bundle.network, inputs))
    assert whole["channels"] == [64, 64, 64, 128, 128, 128]
    assert pruned["channels"] == nothing["channels"]
    assert 0.2 * whole["multiply_adds"] < pruned["multiply_adds"] <= 0.3 * whole["multiply_adds"]
    assert pruned["core128_cycles"] < whole["core128_cycles"]
    assert not np.array_equal(*(_first_kernel(curve / name) for name in ("30", "30-from-nothing")))
    table = (curve / "curve.txt").read_text("utf-8")
    assert f"{100 * pruned['int8']['value']:.1f} %" in table
    assert "Of one shape, after as many steps: pruned" in table
    assert (curve / "curve.svg").read_text("utf-8").count("million multiply-adds") >= 1


def _first_kernel(point):
    with np.load(point / "training/best.npz") as arrays:
        return next(arrays[name] for name in sorted(arrays.files) if arrays[name].ndim == 4)


def test_what_is_made_is_not_made_again_and_a_budget_picks(script, build, curve, capsys):
    whole, pruned, _ = points_of(curve)
    made = {path: path.stat().st_mtime_ns for path in curve.glob("*/*.egb")}
    picked = build / "smaller/digits.egb"
    for most, expected in ((pruned["multiply_adds"], pruned), (10**9, None)):
        assert script.main(options(build, "--max-macs", most)) == 0
        out = capsys.readouterr().out
        assert f"The classifier is {picked}." in out
        best = max((whole, pruned), key=lambda p: (p["int8"]["value"], -p["multiply_adds"]))
        chosen = (expected or best)["name"]
        assert picked.read_bytes() == (curve / chosen / "digits.egb").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in curve.glob("*/*.egb")} == made
    assert not (build / "smaller/training").exists()
    weights = load_best(build / "smaller/best.npz")[0]  # of the network itself
    assert list(weights.channels) == (whole if chosen == "100" else pruned)["channels"]
    before = picked.read_bytes()
    assert script.main(options(build, "--max-macs", 1000)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("measure_curve: no network is within 1,000 multiply-adds")
    assert f"the smallest, 30 %, takes {pruned['multiply_adds']:,} multiply-adds" in message
    assert picked.read_bytes() == before


def test_times_are_asked_for_only_where_they_can_be_measured(
    script, build, curve, capsys, monkeypatch
):
    monkeypatch.setattr(native, "LIBRARY", Path("/nowhere/libedge_runtime.so"))
    assert script.main(options(build, "--max-us", 50)) == 2
    captured = capsys.readouterr()
    assert "--max-us needs times: `make runtime` builds what measures them" in captured.err
    assert points_of(curve)[0]["time"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (("--keep", "0.5,0"), "--keep 0.5,0: shares are above 0, up to 1"),
        (("--keep", "half"), "--keep half: numbers with commas between"),
        (("--compare", "0.7"), "--compare 0.7: is not among --keep 0.3"),
        (("--rounds", "0"), "--rounds must be at least 1"),
        (("--build", "/nowhere"), "/nowhere/training/best.npz: no trained network; run `make"),
    ],
)
def test_bad_options_are_one_line(script, build, capsys, changes, reason):
    assert script.main([*options(build), *changes]) == 2
    message = capsys.readouterr().err.strip()
    assert reason in message
    assert "\n" not in message


def test_a_stage_that_fails_stops_the_curve(script, build, tmp_path, capsys):
    shutil.copytree(build, tmp_path / "build", ignore=shutil.ignore_patterns("curve", "smaller"))
    (tmp_path / "few.toml").write_text(PRESET)
    weights = tmp_path / "build/training/best.npz"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert script.main(options(tmp_path / "build")) == 2
    first, last = capsys.readouterr().err.strip().splitlines()[-2:]
    assert "damaged weights" in first
    assert last == "measure_curve: stopped in the stage freeze, for the reason above"
