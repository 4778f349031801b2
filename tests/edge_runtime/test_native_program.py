"""edge_classify against `python -m edge_runtime classify`: the same text for the same input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from tests.conftest import branched_bundle, draw_character, toy_bundle
from tests.edge_runtime.conftest import ROOT
from tests.image_files import damaged, jpeg_files, lossless_files

SHIPPED = ROOT / "models/scene62/scene62.egb"


@pytest.fixture(params=[toy_bundle, branched_bundle], ids=["int8", "int32"])
def bundle(request, tmp_path):
    path = tmp_path / "a.egb"
    write_bundle(path, request.param())
    return path


@pytest.fixture
def images(tmp_path):
    """A folder of good and damaged files, some with unusual names, some in folders."""
    root, rng = tmp_path / "images", np.random.default_rng(0)
    (root / "b/inner").mkdir(parents=True)
    files = [*lossless_files(1), *jpeg_files(1)]
    for i, (name, data) in enumerate(files):
        folder = (root, root / "b", root / "b/inner")[i % 3]
        keep = i % 7 or name.endswith("jpg")  # damaged JPEGs may differ: docs/runtime.md
        (folder / name).write_bytes(data if keep else damaged(data, rng))
    draw_character("A").save(root / 'q"uo\\te\n é☃.PNG')
    (root / "not an image.txt").write_text("x")
    (root / "folder.png").mkdir()
    return root


def same_text(run_cli, classify_native, *arguments):
    expected = run_cli(main, "classify", "--backend", "int8", *arguments)
    code, out, _ = classify_native(*arguments)
    assert (code, out) == expected[:2]
    return code, out


@pytest.mark.parametrize("form", [(), ("--json",), ("--json", "--top-k", "99"), ("--top-k=1",)])
def test_the_same_text(bundle, images, form, run_cli, classify_native):
    code, out = same_text(run_cli, classify_native, "--bundle", bundle, *form, images)
    assert code == 2
    assert len(out.splitlines()) > 150


def test_threads_keep_the_order(bundle, images, classify_native):
    one, many = (
        classify_native("--bundle", bundle, "--json", "--threads", n, images) for n in (1, 7)
    )
    assert one == many


def test_paths_are_written_as_python_does(bundle, images, run_cli, classify_native, monkeypatch):
    monkeypatch.chdir(images)
    names = ["./c0d8i0t0.png", ".//b/./c0d8i0t1.png", "b/../c0d8i0t0.png", "none.png", "b/", "."]
    names += ["p5m255.pgm/x.png", f"//{str(images)[1:]}/c0d8i0t0.png"]
    same_text(run_cli, classify_native, "--bundle", bundle, "--json", *names)


def test_standard_input(bundle, classify_native, tmp_path):
    draw_character("7").save(tmp_path / "7.png")
    data = (tmp_path / "7.png").read_bytes()
    arguments = ["--bundle", str(bundle), "--json", "-"]
    python = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "classify", "--backend", "int8", *arguments],
        input=data,
        capture_output=True,
        check=True,
    )
    code, out, _ = classify_native(*arguments, input=data)
    assert (code, out) == (0, python.stdout.decode())
    assert out.startswith('{"path": "-", "label"')
    assert classify_native(*arguments, input=b"")[0] == 2


def test_names_that_are_not_utf8(bundle, classify_native, tmp_path):
    path = bytes(tmp_path) + b"/\xff\xe9.png"
    with open(path, "wb") as file:  # noqa: PTH123 - a name as bytes
        draw_character("A").save(file, "PNG")
    for form in ([], ["--json"]):
        python = subprocess.run(
            [sys.executable, "-m", "edge_runtime", "classify", "--bundle", bundle, *form, path],
            capture_output=True,
            check=True,
        )
        code, out, _ = classify_native("--bundle", bundle, *form, tmp_path)
        assert (code, out) == (0, python.stdout.decode("utf-8", "surrogateescape"))
    assert r"\udcff\udce9.png" in out


def test_mistakes_get_one_line_and_exit_code_2(bundle, images, tmp_path, classify_native):
    half = tmp_path / "half.egb"
    half.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
    (tmp_path / "empty").mkdir()
    for arguments, words in [
        (("--bundle", half, images), "was cut off"),
        (("--bundle", tmp_path / "none.egb", images), "no such bundle; `make compile` writes one"),
        (("--bundle", bundle), "name images"),
        (("--bundle", bundle, tmp_path / "empty"), "no image in this folder"),
        (("--bundle", bundle, "--top-k", "0", images), "at least 1"),
        (("--bundle", bundle, "--top-k", "x", images), "needs a number"),
        (("--bundle", bundle, "--backend", "gpu", images), "no back end 'gpu'"),
        (("--bundle", bundle, "--isa", "mmx", images), "no instruction set 'mmx'"),
        (("--bundle", bundle, "--b", images), "could be"),
        (("--bundle", bundle, "--nonsense", images), "no option --nonsense"),
        ((images,), "--bundle"),
    ]:
        code, out, err = classify_native(*arguments)
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert words in err


def test_version_and_help(classify_native):
    assert classify_native("--version")[1].startswith("edge_classify 0.")
    assert "--bundle FILE.egb" in classify_native("--help")[1]


def test_bench_and_footprint(native_build, classify_native, tmp_path):
    """The shipped model on a 64×64 PNG: below 0.7 MB of program and 4 MB of memory."""
    Image.new("L", (64, 64), 7).save(tmp_path / "a.png")
    arguments = ("--bundle", SHIPPED, "--bench", tmp_path / "a.png")
    code, out, _ = classify_native(*arguments, "--json")
    figures = json.loads(out)
    assert code == 0
    assert set(figures["image"]) == {"median_us", "p99_us", "runs"}
    assert figures["image"]["median_us"] > figures["network"]["median_us"] * 0.9
    assert 0 < figures["open_us"] < figures["first_answer_us"]
    assert 500 < figures["peak_kb"] < 4096
    assert (native_build / "edge_classify").stat().st_size < 700_000
    assert "µs median" in classify_native(*arguments)[1]


def test_times_of_what_was_classified(bundle, images, classify_native):
    """One line on standard error; what is on standard output stays the same."""
    plain = classify_native("--bundle", bundle, "--json", images)
    for threads in ("1", "3"):
        given = ("--bundle", bundle, "--json", "--times", "--threads", threads, images)
        code, out, err = classify_native(*given)
        assert (code, out) == plain[:2]
        times = json.loads(err)
        assert (times["images"], times["threads"]) == (len(out.splitlines()), int(threads))
        assert 0 < times["median_us"] <= times["p99_us"] < times["seconds"] * 1e6
        rate = times["images"] / times["seconds"]
        assert times["images_per_second"] == pytest.approx(rate, rel=0.01)


def test_a_closed_reader_ends_it_quietly(bundle, images, native_build):
    line = f'"{native_build}/edge_classify" --bundle "{bundle}" "{images}" | head -n 1'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
