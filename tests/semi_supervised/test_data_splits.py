"""The data stage with protocols and label budgets, on real small inputs."""

import json
from collections import Counter

from edge_runtime.alphabet import parse_alphabet
from semi_supervised.__main__ import main
from semi_supervised.data import make_data
from semi_supervised.settings import load_settings

DIGITS = parse_alphabet("0123456789")
TINY = load_settings("tiny")


def test_the_protocol_and_all_that_it_resolved_to_are_written(class_folders, tmp_path, run_cli):
    options = ("--source", class_folders, "--output", tmp_path, "--preset", "tiny")
    options = (*options, "--alphabet", "0123456789")
    code, out, _ = run_cli(main, "data", *options, "--protocol", "all", "--labels-per-class", "2")
    assert code == 0
    header, _, row = out.splitlines()[:3]
    assert header.split() == ["source", "train", "unlabeled", "validation", "test", "excluded"]
    assert row.split() == ["folder", "20", "20", "10", "0", "0"]
    splits = json.loads((tmp_path / "data.json").read_text())["splits"]
    assert (splits["protocol"], splits["labels_per_class"]) == ("all", 2)
    assert splits["per_class"]["train"] == dict.fromkeys("0123456789", 2)
    first = (tmp_path / "manifest.csv").read_bytes()
    run_cli(
        main, "data", *options, "--set", "data.protocol=all", "--set", "data.labels_per_class=2"
    )
    assert (tmp_path / "manifest.csv").read_bytes() == first


def test_characters_are_drawn_only_where_the_protocol_trains_on_them(class_folders, tmp_path):
    def drawn(*settings):
        data = load_settings("tiny", ["data.added_per_class=3", *settings]).data
        report = make_data(str(class_folders), tmp_path, DIGITS, data)
        return Counter((i.source, i.split) for i in report.images)

    assert drawn()["drawn", "train"] == 30
    found = drawn("data.added_per_class=0", "data.labels_per_class=0")
    assert found["drawn", "train"] == 10 * TINY.data.synthetic_per_class
    assert found["folder", "train"] == 0
    found = drawn("data.protocol=cross-source", "data.train_sources=drawn")
    assert found["folder", "test"] == 50
    assert found["drawn", "train"] + found["drawn", "validation"] == 30
