"""All stages by make at the tiny preset, as a newcomer runs them; and the shipped model."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.alphabet import ALPHABET_62
from edge_runtime.bundle import read_bundle
from edge_runtime.images import read_gray
from edge_runtime.recognizer import Recognizer
from tests import vendor_tools

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "models/scene62/scene62.egb"
ARTIFACTS = [
    "manifest.csv",
    "data.json",
    "characters.png",
    "training/best.npz",
    "training/result.json",
    "freeze.json",
    "gate.json",
    "frozen_model.pb",
    "model.onnx",
    "saved_model/saved_model.pb",
    "quantization.json",
    "model_int8.onnx",
    "chars.egb",
    "evaluation.json",
    "report/index.html",
]


def make(*arguments, check=True, env=None):
    environment = {
        k: v for k, v in (env or os.environ).items() if not k.startswith(("MAKE", "MFLAGS"))
    }
    # Without the times of each network: they take a minute, and tests/edge_runtime measures them.
    fixed = ["--no-print-directory", f"VENV={sys.prefix}", "PRESET=tiny", "NO_COST=1"]
    found = subprocess.run(
        ["make", *fixed, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert found.returncode == 0, found.stdout + found.stderr
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("build") / "out"
    return out, make(f"OUT={out}")


def times(out):
    return {name: (out / name).stat().st_mtime_ns for name in ARTIFACTS}


def test_make_leaves_every_artifact_and_ends_with_the_table(built):
    out, run = built
    assert all((out / name).stat().st_size > 0 for name in ARTIFACTS)
    for words in (
        "float (checkpoint)",
        "float (frozen graph)",
        "int8 (reference)",
        "agrees with float",
        "n = 62 images",
        "report/index.html: open it in a browser",
        "make classify IMAGE=",
    ):
        assert words in run.stdout, run.stdout


def test_all_networks_answer_and_the_equal_ones_agree(built):
    out, _ = built
    figures = json.loads((out / "evaluation.json").read_text())
    assert figures["n"] == 62
    float_ones = {"checkpoint", "tf-saved-model", "tf", "onnx"}
    assert set(figures["backends"]) >= float_ones | {"int8", "onnx-int8", "tf-int8"}
    for result in figures["backends"].values():
        assert result["n"] == 62
        assert all(m["low"] <= m["value"] <= m["high"] for m in result["metrics"].values())
    for pair in ("checkpoint = tf", "checkpoint = onnx", "int8 = onnx-int8"):
        assert figures["agreement"][pair]["value"] == 1


def test_the_gate_is_calibrated_and_measured(built):
    out, run = built
    calibrated = json.loads((out / "gate.json").read_text())
    bundle = read_bundle(out / "chars.egb")
    assert bundle.threshold == calibrated["threshold_millionths"]
    assert bundle.temperature == calibrated["temperature"]
    for result in json.loads((out / "evaluation.json").read_text())["backends"].values():
        assert result["gate"]["threshold_millionths"] == bundle.threshold
        seen = {kind: f["seen_in_training"] for kind, f in result["gate"]["kinds"].items()}
        assert {kind for kind in seen if not seen[kind]} == {"shapes", "between-glyphs"}
    assert "shapes (never seen in training)" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        ((), False),
        (("DATA=crops",), True),
        (("DATA=crops,synthetic", "LABELS=5"), True),
        (("UNLABELED=crops",), True),
        (("DATA=crops", "START="), False),
        (("DATA=crops", "WIDTH=0.5"), False),
        (("DATA=crops", "SET=train.epochs=3 train.channels=8,8,8,8,8,8"), False),
        (("scene62",), False),
    ],
)
def test_given_images_are_learned_from_where_drawn_characters_lead(arguments, begins, tmp_path):
    target = () if arguments == ("scene62",) else ("train",)
    run = make("--dry-run", f"OUT={tmp_path}", *target, *arguments)
    assert "-m semi_supervised train " in run.stdout
    assert ('--start "models/fonts62"' in run.stdout) == begins


def test_a_second_make_does_nothing(built):
    out, _ = built
    before = times(out)
    run = make(f"OUT={out}")
    assert times(out) == before
    assert "==" not in run.stdout


def test_a_changed_method_redoes_only_what_follows(built):
    out, _ = built
    before = times(out)
    make(f"OUT={out}", "METHOD=non-overflow")
    changed = {name for name, time in times(out).items() if time != before[name]}
    redone = {"quantization.json", "model_int8.onnx", "chars.egb", "evaluation.json"}
    assert changed == redone | {"report/index.html"}
    assert json.loads((out / "quantization.json").read_text())["method"] == "non-overflow"


def test_a_board_without_the_vendors_tools_gets_a_cpu_bundle(built):
    out, _ = built
    run = make(f"OUT={out}", "METHOD=non-overflow", "BOARD=zedboard", "compile")
    assert "dnnc (DNNDK 3.x) is not on PATH" in run.stderr
    assert "going on with a bundle for the board's CPU" in run.stderr
    assert read_bundle(out / "chars-zedboard.egb").manifest["board"] == "zedboard"
    run = make(f"OUT={out}", "METHOD=non-overflow", "BOARD=rpi", "REQUIRE_DPU=1", "compile",
               check=False)  # fmt: skip
    assert run.returncode == 2
    assert "board rpi has no DPU" in run.stderr


def test_the_vendors_tools_are_used_where_they_are(built, tmp_path):
    out, _ = built
    folder = vendor_tools.install(tmp_path / "bin", *vendor_tools.DNNDK)
    tools = vendor_tools.environment(folder, GRAPHS=str(out))
    # With a compiler, logits are int8 by themselves; our graphs are compiled.
    run = make(f"OUT={out}", "BOARD=zedboard", "REQUIRE_DPU=1", "compile", env=tools)
    assert "running dnnc" in run.stderr
    kernel = read_bundle(out / "chars-zedboard.egb").dpu
    assert kernel is not None
    assert kernel.artifact == (out / "dpu-zedboard/dpu_chars_0.elf").read_bytes()
    again = make(f"OUT={out}", "BOARD=zedboard", "REQUIRE_DPU=1", "compile", env=tools)
    assert "==" not in again.stdout
    # The vendor's whole route: its rule, its graphs, which must be our integers.
    run = make(f"OUT={out}", "ROUTE=vendor", "BOARD=zedboard", "compile", env=tools)
    assert "running decent_q" in run.stderr
    assert json.loads((out / "quantization.json").read_text())["method"] == "min-mse"
    assert read_bundle(out / "chars-zedboard.egb").dpu is not None
    # A kernel of an earlier compilation must not slip into a bundle that has none of its own.
    make(f"OUT={out}", "BOARD=zedboard", "compile")
    assert read_bundle(out / "chars-zedboard.egb").dpu is None
    elf = tmp_path / "dpu_chars_0.elf"
    elf.write_bytes(kernel.artifact)
    make(f"OUT={out}", "BOARD=zedboard", f"DPU_KERNEL={elf}", "compile")
    assert read_bundle(out / "chars-zedboard.egb").dpu == kernel


def test_make_classify(built):
    out, _ = built
    image = next(out.glob("drawn-*/Sample011/*.png"))
    run = make(f"OUT={out}", "classify", f"IMAGE={image}")
    assert run.stdout.startswith(f"{image}: ")
    run = make(f"OUT={out}", "classify", check=False)
    assert "name an image" in run.stderr


def test_bad_data_stops_with_one_line_and_loses_nothing(built, tmp_path):
    out, _ = built
    before = times(out)
    run = make(f"OUT={out}", f"DATA={tmp_path / 'none'}", check=False)
    assert run.returncode == 2
    assert "no such file or folder" in run.stderr
    assert times(out) == before


@pytest.fixture(scope="module")
def clean_characters():
    """The alphabet in Pillow's own font, which no training saw, as crops of two sizes."""
    images, labels = [], []
    for size in (24, 60):
        font = ImageFont.load_default(size)
        for symbol in ALPHABET_62.symbols:
            left, top, right, bottom = font.getbbox(symbol)
            image = Image.new("L", (int(right - left) + 6, int(bottom - top) + 6), 230)
            ImageDraw.Draw(image).text((3 - left, 3 - top), symbol, fill=30, font=font)
            images.append(np.asarray(image))
            labels.append(symbol)
    return images, labels


def test_the_shipped_model_reads_clean_characters(clean_characters):
    images, labels = clean_characters
    answers = Recognizer.open(SHIPPED).classify(images)
    right = sum(a.label.casefold() == s.casefold() for a, s in zip(answers, labels, strict=True))
    assert right >= 0.85 * len(labels)


def real_crops(count):
    """Some of the real photographs' characters, where the data lies beside the project."""
    paths = sorted((ROOT.parent / "shared/data/chars74k/English/Img").rglob("*.png"))
    return [read_gray(path) for path in paths[:: max(1, len(paths) // count)]]


def test_the_shipped_model_gives_the_same_integers_everywhere(clean_characters):
    images = clean_characters[0] + real_crops(200)
    reference = Recognizer.open(SHIPPED).classify(images)
    assert Recognizer.open(SHIPPED, "onnx-int8").classify(images) == reference
    floats = Recognizer.open(SHIPPED, "onnx").classify(images)
    same = sum(a.label == b.label for a, b in zip(reference, floats, strict=True))
    assert same >= 0.97 * len(images)


def test_the_readme_table_is_the_shipped_models(tmp_path):
    script = ROOT / "scripts/ship_model.py"
    copy = tmp_path / "README.md"
    copy.write_text((ROOT / "README.md").read_text("utf-8"), "utf-8")
    code = (
        f"import runpy, pathlib; m = runpy.run_path({str(script)!r}); "
        f"m['write_table'](pathlib.Path({str(copy)!r}), "
        f"pathlib.Path({str(SHIPPED.with_name('evaluation.json'))!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert copy.read_text("utf-8") == (ROOT / "README.md").read_text("utf-8")


def test_the_model_card_shows_all_figures(built, tmp_path):
    out, _ = built
    script = ROOT / "scripts/ship_model.py"
    arguments = ["--build", out, "--bundle", out / "chars.egb", "--output", tmp_path / "card"]
    subprocess.run([sys.executable, script, *arguments], check=True)
    card = (tmp_path / "card/README.md").read_text("utf-8")
    assert "{" not in card.partition("```json")[0]
    for words in ("among the first three", "calibration error", "taken for", "| all "):
        assert words in card
    threshold = json.loads((out / "gate.json").read_text())["threshold_millionths"]
    assert f"`p_real` of at least {threshold / 1e6:.6f} lets " in card
    assert "shapes (never seen in training)" in card
    assert "not calibrated" not in card


def test_the_model_card_shows_generated_characters_where_a_generator_drew_some(built, tmp_path):
    out, _ = built
    script = ROOT / "scripts/ship_model.py"
    without = tmp_path / "build"
    shutil.copytree(out, without, ignore=shutil.ignore_patterns("generated"))
    card = tmp_path / "card"
    for build, shown in ((out, True), (without, False)):  # in place of the model before
        arguments = ["--build", build, "--bundle", out / "chars.egb", "--output", card]
        subprocess.run([sys.executable, script, *arguments], check=True)
        assert ("(generated.png)" in (card / "README.md").read_text("utf-8")) == shown
        assert (card / "generated.png").exists() == shown


def test_the_model_card_names_the_model_that_training_began_with(built, tmp_path):
    out, _ = built
    build = tmp_path / "build"
    shutil.copytree(out, build)
    (tmp_path / "models/first").mkdir(parents=True)
    (tmp_path / "models/first/best.npz").write_bytes(b"its weights")
    arguments = ["--build", build, "--bundle", out / "chars.egb"]
    arguments += ["--output", tmp_path / "models/second"]
    result = json.loads((build / "training/result.json").read_text("utf-8"))
    for weights, words in ((b"its weights", "after first, whose"), (b"others", "of SHA-256 ")):
        result["start_sha256"] = hashlib.sha256(weights).hexdigest()
        (build / "training/result.json").write_text(json.dumps(result), "utf-8")
        subprocess.run([sys.executable, ROOT / "scripts/ship_model.py", *arguments], check=True)
        assert words in (tmp_path / "models/second/README.md").read_text("utf-8")
