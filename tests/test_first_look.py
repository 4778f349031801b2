"""`make`'s first step: the sample crops, read with the shipped model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from tests.conftest import toy_bundle

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models/scene62/scene62.egb"


def first_look(bundle, picture):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/first_look.py", "--bundle", bundle, "--output", picture],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_says_what_classify_says(tmp_path, run_cli):
    out = first_look(SHIPPED, tmp_path / "first.png")
    said = re.findall(r"(\S) +→ (\S) +(\d+\.\d) %(?: +([✓≈✗]))?", out)
    lines = run_cli(main, "classify", "--bundle", SHIPPED, "--json", ROOT / "edge_runtime/samples")
    expected = {}
    for answer in map(json.loads, lines[1].splitlines()):
        kind, _, shown = Path(answer["path"]).stem.partition("_")
        said_of_it = (answer["label"], f"{100 * answer['confidence']:.1f}")
        expected.setdefault("–" if kind == "other" else shown, []).append(said_of_it)
    found = {}
    for shown, label, percent, _ in said:
        found.setdefault(shown, []).append((label, percent))
    assert {k: sorted(v) for k, v in found.items()} == {k: sorted(v) for k, v in expected.items()}
    right = [shown for shown, label, _, mark in said if mark == "✓"]
    assert right == [shown for shown, label, *_ in said if shown == label]
    assert f"{len(right)} of 62 right" in out
    assert np.asarray(Image.open(tmp_path / "first.png")).shape[2] == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_any_bundle_will_do(tmp_path, seed):
    write_bundle(tmp_path / "toy.egb", toy_bundle(seed=seed))
    assert " of 62 right, " in first_look(tmp_path / "toy.egb", tmp_path / "first.png")
