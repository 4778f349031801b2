"""Settings: defaults ← preset ← command line, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import SettingsError
from edge_runtime.presets import PRESETS
from quantize.__main__ import METHODS as OFFERED
from quantize.methods import METHODS
from quantize.settings import Settings, load_settings


def test_presets_differ_where_they_should() -> None:
    counts = [load_settings(name).calibration_count for name in PRESETS]
    assert counts == [64, 512, 1024, 512, 1024]
    reports = [load_settings(name).report_only for name in PRESETS]
    assert reports == [True, False, False, True, True]


def test_the_command_line_wins_over_the_preset() -> None:
    found = load_settings("tiny", calibration_count=7, method=None, seed=3)
    assert (found.calibration_count, found.method, found.seed) == (7, "best", 3)
    assert found.calib_batch_size == load_settings("tiny").calib_batch_size


def test_the_command_line_offers_every_method() -> None:
    assert sorted(OFFERED) == sorted(METHODS)


def test_a_file_may_hold_the_tables_of_other_stages(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nepochs = 3\n[quantize]\ncalibration_count = 9\n")
    assert load_settings(str(path)).calibration_count == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[quantize]\ncalibration = 9\n", "no setting 'calibration'; there are method"),
        ("[quantise]\n", r"no table \[quantise\]"),
        ("seed = 1\n", "'seed' stands outside"),
        ("[quantize\n", "not a TOML file"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings(str(path))


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(SettingsError, match="no preset 'huge': there are tiny, quick, full"):
        load_settings("huge")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "guess"), ("calibration_count", 0), ("calibration_count", 1.5),
        ("calib_batch_size", -1), ("calib_batch_size", True), ("seed", -1),
        ("max_accuracy_loss", -0.1), ("max_accuracy_loss", 101), ("max_accuracy_loss", "1"),
        ("max_accuracy_loss", float("nan")), ("report_only", 1),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=key):
        Settings(**{key: value})
