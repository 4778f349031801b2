"""classify: forms of output, look-alikes, pictures on a terminal, sheets, watched folders."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.alphabet import ALPHABET_62, parse_alphabet
from edge_runtime.bundle import write_bundle
from edge_runtime.look_alikes import LOOK_ALIKES, either, look_alikes
from edge_runtime.preprocess import preprocess
from edge_runtime.scores import ScoreTable, predictions
from edge_runtime.terminal import half_blocks
from edge_runtime.watch import PATIENCE, FolderWatch
from tests.conftest import draw_character, toy_bundle
from tests.edge_runtime.conftest import ROOT

SAMPLES = ROOT / "edge_runtime/samples"
GATE = 985_720  # millionths


@pytest.fixture
def bundle(tmp_path):
    """A toy bundle with a gate that "O" does not pass and "0" and "A" do."""
    path = tmp_path / "toy.egb"
    unsure = ScoreTable.build(3, 1.0, 20.0)
    gate = {"scores": {"temperature": 20.0, "gate": {"threshold": GATE, "acceptance": 0.95}}}
    write_bundle(path, replace(toy_bundle(), scores=unsure, checks=None, manifest=gate))
    return path


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for symbol in "O0A":
        draw_character(symbol).save(folder / f"{symbol}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


# --- Look-alikes ---------------------------------------------------------------------------------


def test_look_alikes_are_sets_within_the_alphabet():
    sets = look_alikes(ALPHABET_62)
    named = {s: "".join(ALPHABET_62.symbols[c] for c in sets[ALPHABET_62.index(s)]) for s in "O1cA"}
    assert named == {"O": "0Oo", "1": "1Il", "c": "Cc", "A": "A"}
    assert look_alikes(parse_alphabet("O7Q")) == ((0,), (1,), (2,))
    assert sum(map(len, LOOK_ALIKES)) == len(set("".join(LOOK_ALIKES)))  # no symbol in two sets


def test_either():
    assert [either(s) for s in ("A", "Cc", "O0o")] == ["A", "C or c", "O, 0 or o"]


@given(st.lists(st.integers(-128, 127), min_size=62, max_size=62))
def test_alike_starts_with_the_label_and_falls(logits):
    q = np.array([logits], np.int8)
    probabilities, p_real = ScoreTable.build(3, 1.0, 1.0).probabilities(q)
    (p,) = predictions(q, probabilities, p_real, ALPHABET_62, 1)
    values = [logits[ALPHABET_62.index(symbol)] for symbol, _ in p.alike]
    assert p.alike[0] == (p.label, p.confidence)
    assert values == sorted(values, reverse=True)
    assert {s for s, _ in p.alike} == next((set(a) for a in LOOK_ALIKES if p.label in a), {p.label})
    assert p.confidence <= p.alike_confidence <= 1_000_031  # 62 roundings


# --- Lines ---------------------------------------------------------------------------------------


def test_csv_holds_what_json_holds(bundle, images, run_cli):
    arguments = ("classify", "--bundle", bundle, "--top-k", 4, images)
    code, out, err = run_cli(main, *arguments, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    answers = [json.loads(line) for line in run_cli(main, *arguments, "--json")[1].splitlines()]
    assert code == 2
    assert err == "1 of 4 images could not be read\n"
    assert len(rows) == len(answers) == 4
    for row, answer in zip(rows, answers, strict=True):
        assert row["path"] == answer["path"]
        assert row["error"] == answer.get("error", "")
        if "error" in answer:
            assert {row[k] for k in row if k not in ("path", "error")} == {""}
            continue
        top = [[row["label"], row["confidence"]]]
        top += [[row[f"label_{k}"], row[f"confidence_{k}"]] for k in (2, 3, 4)]
        assert top == [[label, f"{p:.6f}"] for label, p in answer["top"]]
        assert row["p_real"] == f"{answer['p_real']:.6f}"
        assert row["character"] == ("no" if Path(row["path"]).name == "O.png" else "yes")
        assert row["alike"].startswith(row["label"])


def test_a_path_with_commas_and_quotes_stays_one_field(bundle, tmp_path, run_cli):
    path = tmp_path / 'a,"b"\nc.png'
    draw_character("7").save(path)
    out = run_cli(main, "classify", "--bundle", bundle, "--csv", path)[1]
    assert [row["path"] for row in csv.DictReader(io.StringIO(out))] == [str(path)]


def test_text_names_look_alikes_and_doubt(bundle, images, run_cli):
    out = run_cli(main, "classify", "--bundle", bundle, images)[1]
    answers = run_cli(main, "classify", "--bundle", bundle, "--json", "--top-k", 62, images)[1]
    for line, answer in zip(out.splitlines(), map(json.loads, answers.splitlines()), strict=True):
        if "error" in answer:
            continue
        assert ("perhaps not a character: p_real" in line) == ("O.png" in line)
        alike = next((a for a in LOOK_ALIKES if answer["label"] in a), None)
        if alike:
            together = 100 * sum(p for label, p in answer["top"] if label in alike)
            said = re.search(r"  (.(?:, .)* or .): (\d+\.\d) %", line)
            assert set(re.findall(r"\w", said[1].replace(" or ", " "))) == set(alike)
            assert float(said[2]) == pytest.approx(together, abs=0.051)
        else:
            assert " or " not in line


def test_mistakes_get_one_line(bundle, images, tmp_path, run_cli):
    for arguments, words in [
        ((images / "O.png", "--watch"), "not a folder; --watch takes folders alone"),
        ((images, "--watch", "--annotate", tmp_path / "a.png"), "do not go together"),
        (("-", "--annotate", tmp_path / "a.png"), "not on standard input"),
    ]:
        code, out, err = run_cli(main, "classify", "--bundle", bundle, *arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err


# --- Pictures ------------------------------------------------------------------------------------


def test_half_blocks_are_the_input():
    inputs = np.random.default_rng(0).integers(-128, 128, (32, 32, 1)).astype(np.int8)
    rows = half_blocks(inputs)
    pairs = [re.findall(r"38;5;(\d+);48;5;(\d+)m▀", row) for row in rows]
    grays = np.array(pairs, int).transpose(0, 2, 1).reshape(32, 32)
    levels = inputs[..., 0].astype(int) + 128
    assert grays.min() >= 232
    assert grays.max() <= 255
    assert np.abs((grays - 232) / 23 - levels / 255).max() < 1 / 24


def on_a_terminal(*arguments, **environment):
    """Output of classify on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "classify", *map(str, arguments)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environment,
    )
    os.close(theirs)
    parts = []
    with contextlib.suppress(OSError):  # EIO is how a terminal ends
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    with process:
        assert process.stderr.read() == b""
    return b"".join(parts).decode()


def test_pictures_on_a_terminal_alone(bundle, images, run_cli):
    path = images / "O.png"
    shown = on_a_terminal("--bundle", bundle, path)
    assert half_blocks(preprocess(np.asarray(Image.open(path))))[8] in shown
    label = json.loads(run_cli(main, "classify", "--bundle", bundle, "--json", path)[1])["label"]
    assert re.search(rf"  {label}\s+\d+\.\d %  [█▏]", shown)
    assert "perhaps not a character" in shown
    assert "▀" not in on_a_terminal("--bundle", bundle, path, NO_COLOR="1")
    assert "▀" not in on_a_terminal("--bundle", bundle, "--picture", "never", path)
    assert "▀" not in run_cli(main, "classify", "--bundle", bundle, path)[1]
    assert "▀" in run_cli(main, "classify", "--bundle", bundle, "--picture", "always", path)[1]


def test_a_sheet_shows_every_image(bundle, images, tmp_path, run_cli):
    sheet = tmp_path / "sheet.png"
    Image.fromarray(np.full((3, 3000), 65000, np.uint16)).save(images / "wide16.png")
    Image.new("RGBA", (9, 9), (255, 0, 0, 0)).save(images / "clear.png")
    code, _, err = run_cli(main, "classify", "--bundle", bundle, images, "--annotate", sheet)
    assert code == 2
    assert f"the sheet is {sheet}" in err
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (2 * 204 + 24, 3 * 144 + 24, 3)
    frames = [tuple(picture[12 + y + 100, 12 + x + 5]) for y in (0, 204) for x in (0, 144, 288)]
    white, amber, red = (255, 255, 255), (143, 90, 0), (185, 44, 34)
    names = ["0.png", "A.png", "O.png", "bad.png", "clear.png", "wide16.png"]
    shown = dict(zip(names, frames, strict=True))
    assert [shown[name] for name in names[:4]] == [white, white, amber, red]
    assert np.ptp(picture[12 + 80, 30:130]) > 200  # a dark character on white


def test_samples_are_one_of_each_class():
    kinds = [ALPHABET_62.symbol_of_folder(path.stem) for path in SAMPLES.glob("*.png")]
    assert sorted(k for k in kinds if k) == sorted(ALPHABET_62.symbols)
    assert kinds.count(None) == 2


# --- Watching ------------------------------------------------------------------------------------


def test_a_file_counts_once_it_rests(tmp_path):
    watch, path = FolderWatch([tmp_path]), tmp_path / "a.png"
    path.write_bytes(b"half")
    assert list(watch.look()) == []
    path.write_bytes(b"half and more")
    assert list(watch.look()) == []
    assert list(watch.look()) == [(path, False)]
    watch.done(path)
    assert list(watch.look()) == []
    path.write_bytes(b"another")
    assert [list(watch.look()), list(watch.look())] == [[], [(path, False)]]


def test_what_stays_unreadable_is_given_up_in_the_end(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    watch = FolderWatch([tmp_path])
    looks = [list(watch.look()) for _ in range(PATIENCE + 5)]
    assert [final for look in looks for _, final in look] == [False] * PATIENCE + [True]


def test_a_watched_folder_from_the_command_line(bundle, images, tmp_path):
    """Answers come as files do; Ctrl-C ends with 0."""
    process = subprocess.Popen(
        [
            sys.executable,
            *["-m", "edge_runtime", "classify", "--json", "--watch", "--bundle"],
            bundle,
            images,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # Whoever runs the tests in the background ignores Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    stop = threading.Timer(120, process.kill)
    stop.start()
    try:
        first = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert {Path(a["path"]).name for a in first} == {"O.png", "0.png", "A.png"}
        whole = (images / "A.png").read_bytes()
        with (images / "new.png").open("wb") as half:
            half.write(whole[:50])
            half.flush()
            time.sleep(1.2)
            half.write(whole[50:])
        later = [json.loads(process.stdout.readline()) for _ in range(2)]
        by_name = {Path(a["path"]).name: a for a in later}
        assert set(by_name) == {"bad.png", "new.png"}
        assert "not a PNG" in by_name["bad.png"]["error"]
        assert (
            by_name["new.png"]["logits"]
            == first[[a["path"][-5] for a in first].index("A")]["logits"]
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        stop.cancel()
        process.kill()
        process.communicate()
