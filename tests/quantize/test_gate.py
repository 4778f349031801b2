"""What `compile` makes of the calibration that `freeze` left in gate.json."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle import read_bundle
from edge_runtime.files import sha256_of
from edge_runtime.scores import build_table
from quantize.__main__ import main
from quantize.gate import Gate, read_gate
from tests.quantize.conftest import Cli


def calibration(model: Path, **changes: Any) -> dict[str, Any]:
    """As `freeze` writes it, for an ONNX model whose frozen graph has another hash."""
    digest = sha256_of(model)
    return {
        "schema": 1,
        "frozen_model_sha256": "0" * 64,
        "files": {"frozen_model.pb": "0" * 64, "model.onnx": digest},
        "temperature": 1.75,
        "threshold_millionths": 912_345,
        "wanted_acceptance": 0.95,
    } | changes


def compiled(folder: Path, run_cli: Cli) -> tuple[int, str]:
    code, _, err = run_cli(main, "compile", "--quantized", folder, "--output", folder / "gated.egb")
    return code, err


def test_temperature_and_threshold_reach_the_bundle(
    copy: Path, run_cli: Cli, tmp_path: Path
) -> None:
    (copy / "gate.json").write_text(json.dumps(calibration(copy / "model.onnx")))
    assert compiled(copy, run_cli)[0] == 0
    plain, bundle = read_bundle(copy / "digits.egb"), read_bundle(copy / "gated.egb")
    assert (bundle.temperature, bundle.threshold) == (1.75, 912_345)
    scores = {"logit_scale": 1.0, "temperature": 1.75}
    gate = {"threshold": 912_345, "acceptance": 0.95}
    assert bundle.manifest["scores"] == scores | {"gate": gate}
    assert bundle.manifest["files"]["gate.json"] == sha256_of(copy / "gate.json")
    network = bundle.network
    assert bundle.scores == build_table(network.int32_logits, network.logits_fix_point, 1.0, 1.75)
    # Integers are the same; only what is made of them is softer.
    assert np.array_equal(bundle.golden.logits, plain.golden.logits)
    before, after = (b.scores.probabilities(b.golden.logits)[0] for b in (plain, bundle))
    assert after.max() < before.max()
    code, out, _ = run_cli(main, "info", copy / "gated.egb")
    assert code == 0
    assert "1.75" in out
    assert "p_real >= 0.912345 accepts 95 % of characters" in out
    assert "p_real is not calibrated" in run_cli(main, "info", copy / "digits.egb")[1]
    assert run_cli(main, "verify", copy)[0] == 0


@pytest.mark.parametrize("of_another", [False, True])
def test_without_a_calibration_of_this_network_a_line_says_so(
    copy: Path, caplog: pytest.LogCaptureFixture, of_another: bool, run_cli: Cli
) -> None:
    if of_another:
        table = calibration(copy / "model_int8.onnx")
        (copy / "gate.json").write_text(json.dumps(table))
    with caplog.at_level(logging.INFO, "quantize.gate"):
        assert compiled(copy, run_cli)[0] == 0
    bundle = read_bundle(copy / "gated.egb")
    assert (bundle.temperature, bundle.threshold) == (1.0, None)
    assert "gate.json" not in bundle.manifest["files"]
    (record,) = [r for r in caplog.records if r.name == "quantize.gate"]
    assert ("is of another network" if of_another else "no such file") in record.getMessage()
    assert "temperature 1 and no threshold" in record.getMessage()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 2}, "schema 2, this program reads 1"),
        ({"temperature": 0.1}, "temperature 0.1 is not within 0.25 to 4"),
        ({"temperature": "warm"}, "temperature 'warm'"),
        ({"temperature": True}, "temperature True"),
        ({"threshold_millionths": 1_000_001}, "threshold 1000001 is not within"),
        ({"threshold_millionths": -1}, "threshold -1 is not within"),
        ({"threshold_millionths": 0.9}, "threshold 0.9 is not within"),
        ({"wanted_acceptance": 95}, "acceptance 95 is not within"),
        ({"files": None}, "not a usable calibration"),
    ],
)
def test_impossible_calibrations_are_refused(
    copy: Path, run_cli: Cli, changes: dict[str, Any], words: str
) -> None:
    table = calibration(copy / "model.onnx", **changes)
    (copy / "gate.json").write_text(json.dumps(table))
    code, err = compiled(copy, run_cli)
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{copy / 'gate.json'}: not a usable calibration (" in err
    assert words in err
    assert not (copy / "gated.egb").exists()


def test_a_cut_off_file_and_missing_entries(copy: Path, run_cli: Cli) -> None:
    text = json.dumps(calibration(copy / "model.onnx"))
    for length in (0, 1, len(text) // 2, len(text) - 1):
        (copy / "gate.json").write_text(text[:length])
        code, err = compiled(copy, run_cli)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "gate.json: not a usable calibration (no JSON, or cut off)" in err
    for key in calibration(copy / "model.onnx"):
        table = calibration(copy / "model.onnx")
        del table[key]
        (copy / "gate.json").write_text(json.dumps(table))
        code, err = compiled(copy, run_cli)
        assert code == 2
        assert f"lacks '{key}'" in err


def test_a_frozen_graph_is_known_by_its_own_hash(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    model = tmp_path / "model.onnx"
    model.write_bytes(b"x")
    path.write_text(json.dumps(calibration(model)))
    for digest in ("0" * 64, sha256_of(model)):
        assert read_gate(path, digest) == Gate(1.75, 912_345, 0.95, sha256_of(path))
    assert read_gate(path, "1" * 64) == Gate()
