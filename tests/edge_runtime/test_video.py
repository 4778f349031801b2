"""Videos of known readings through the command line, with the shipped model."""

import _thread
import csv
import errno
import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.recognizer import Recognizer
from edge_runtime.video import command
from edge_runtime.video.readings import ReadingsFile
from edge_runtime.video.source import Camera
from tests.video_files import ROI, meter, noisy, read_video, write_video

MODEL = Path("models/scene62/scene62.egb").resolve()
ENGINE = ("--bundle", MODEL, "--backend", "onnx-int8")  # the same integers as int8, sooner


@functools.cache
def _opened(bundle, backend, model):
    return Recognizer.open(bundle, backend, model)


@pytest.fixture
def video(run_cli, monkeypatch):
    """Run the command; return its code, standard output and standard error."""
    # Opening an engine tests it, which takes longer than these videos: once for all.
    monkeypatch.setattr(command, "open_recognizer", _opened)

    def run(source, output, *options):
        return run_cli(main, "video", source, "--output", output, *ENGINE, *options)

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def one_line(err: str) -> str:
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("suffix", "rate"), [(".mp4", 30000 / 1001), (".avi", 25.0), (".mkv", 12.5)]
)
def test_a_meter_is_read_and_size_rate_and_count_are_kept(tmp_path, video, suffix, rate):
    source = write_video(tmp_path / f"in{suffix}", noisy([meter("04792")] * 12), rate)
    output, table = tmp_path / f"out{suffix}", tmp_path / "out.csv"
    code, out, _ = video(source, output, "--roi", f"{ROI}:allow=digits", "--readings", table)
    assert code == 0
    frames, found_rate = read_video(output)
    assert len(frames) == 12
    assert {frame.shape for frame in frames} == {(120, 240, 3)}
    assert found_rate == pytest.approx(rate, abs=2e-3)
    rows = rows_of(table)
    assert [row["text"] for row in rows] == ["04792"] * 12
    assert [row["stable"] for row in rows] == ["no"] * 4 + ["yes"] * 8
    times = [float(row["time_s"]) for row in rows]
    assert times == pytest.approx([i / rate for i in range(12)], abs=1.1e-3)
    assert all(float(row["confidence"]) > 0.5 for row in rows)
    assert out.startswith(f"{4 / rate:.2f} s  meter: 04792")
    assert "12 frames" in out
    drawn = np.abs(frames[-1].astype(int) - read_video(source)[0][-1]).max(axis=2) > 60
    assert drawn[:30].any()  # the panel above the field
    assert not drawn[94:99].any()  # and nothing where nothing is to be said
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [source.name, output.name, "out.csv"]
    )


def test_odd_sides_are_kept_in_avi_and_refused_elsewhere(tmp_path, video):
    source = write_video(tmp_path / "in.avi", noisy([meter("04792", size=(241, 121))] * 3), 24.0)
    code, _, _ = video(source, tmp_path / "out.avi", "--roi", ROI)
    frames, rate = read_video(tmp_path / "out.avi")
    assert (code, len(frames), frames[0].shape, rate) == (0, 3, (121, 241, 3), 24.0)
    code, _, err = video(source, tmp_path / "out.mp4", "--roi", ROI)
    assert code == 2
    assert "241×121 pixels are odd" in one_line(err)
    assert not (tmp_path / "out.mp4").exists()


def test_a_digit_that_changes_is_noticed_in_two_frames(tmp_path, video):
    pictures = [meter("04792")] * 12 + [meter("04793")] * 10
    source = write_video(tmp_path / "in.avi", noisy(pictures))
    lines = tmp_path / "out.jsonl"
    code, out, _ = video(
        source, tmp_path / "out.avi", "--roi", f"{ROI}:allow=digits", "--readings", lines
    )
    readings = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert code == 0
    assert [r["text"] for r in readings] == ["04792"] * 13 + ["04793"] * 9
    # The other four digits stay stable while the last one begins anew.
    assert [c["stable"] for c in readings[14]["cells"]] == [True] * 4 + [False]
    assert [r["stable"] for r in readings[13:]] == [False] * 4 + [True] * 5
    assert [line.split()[-3] for line in out.splitlines()[:2]] == ["04792", "04793"]
    assert readings[0]["cells"][0]["corners"] == [[20, 30], [60, 30], [60, 90], [20, 90]]


def test_empty_cells_are_blank(tmp_path, video):
    source = write_video(tmp_path / "in.avi", noisy([meter(" 4 92")] * 6))
    table = tmp_path / "out.csv"
    roi = f"a={ROI[6:]}:allow=digits; b={ROI[6:]}:allow=digits:blank=?"
    code, out, _ = video(source, tmp_path / "out.avi", "--roi", roi, "--readings", table)
    assert code == 0
    texts = {(row["field"], row["text"]) for row in rows_of(table)}
    assert texts == {("a", "_4_92"), ("b", "?4?92")}
    assert "a: _4_92" in out
    cells = rows_of(table)[-1]["cells"].split()
    assert [cell.split(":")[0] for cell in cells] == ["", "4", "", "9", "2"]


@pytest.mark.parametrize(("ink", "ground"), [(235, 30), (25, 225)])
def test_contours_find_what_cells_find(tmp_path, video, ink, ground):
    source = write_video(tmp_path / "in.avi", noisy([meter("47K92", ink, ground)] * 5))
    table = tmp_path / "out.csv"
    box, allow = "20,30,200,60", "allow=digits+upper"  # not g for 9
    roi = f"a={box}:cells=5:{allow}; b={box}:contours:{allow}"
    roi += f"; c=5%,10%,90%,80%:contours=30-90:{allow}"
    code, _, _ = video(source, tmp_path / "out.avi", "--roi", roi, "--readings", table)
    assert code == 0
    assert {row["text"] for row in rows_of(table)} == {"47K92"}


def test_rows_and_gaps(tmp_path, video):
    both = meter("04792", size=(240, 200))
    both.paste(meter("31586").crop((20, 30, 220, 90)), (20, 90))
    source = write_video(tmp_path / "in.avi", noisy([both] * 3))
    table = tmp_path / "out.csv"
    roi = "display=20,30,200,120:cells=2x5:allow=digits:gap=5"
    grid = tmp_path / "grid.toml"
    grid.write_text(
        '[[field]]\nname = "display"\nbox = [20, 30, 200, 120]\ncells = 5\nrows = 2\n'
        'allow = "digits"\n'
    )
    code, _, _ = video(source, tmp_path / "o.avi", "--roi", roi, "--readings", table)
    assert code == 0
    assert rows_of(table)[-1]["text"] == "04792 31586"
    code, _, _ = video(source, tmp_path / "o.avi", "--roi", grid, "--readings", table)
    assert code == 0
    assert rows_of(table)[-1]["text"] == "04792 31586"


def test_a_slanted_display_is_straightened(tmp_path, video):
    corners = [(60, 40), (250, 85), (235, 160), (40, 100)]  # clockwise from the top left
    display = meter("04792").crop((20, 30, 220, 90))
    slanted = display.transform(
        (300, 200), Image.Transform.PERSPECTIVE, _coefficients(corners, display.size)
    )
    source = write_video(tmp_path / "in.avi", noisy([slanted] * 3))
    fields = tmp_path / "fields.toml"
    fields.write_text(
        f"[[field]]\nname = 'd'\ncorners = {[list(c) for c in corners]}\ncells = 5\n"
        "allow = 'digits'\n"
    )
    table = tmp_path / "out.csv"
    code, _, _ = video(source, tmp_path / "out.avi", "--roi", fields, "--readings", table)
    assert code == 0
    assert [row["text"] for row in rows_of(table)] == ["04792"] * 3


def _coefficients(corners, size):
    """Pillow's eight numbers that bring a rectangle into the corners (solved by least squares)."""
    width, height = size
    rows, right = [], []
    targets = [(0, 0), (width, 0), (width, height), (0, height)]
    for (x, y), (u, v) in zip(corners, targets, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.array(rows, float), np.array(right, float)).tolist()


def test_two_engines_side_by_side(tmp_path, video):
    source = write_video(tmp_path / "in.mp4", noisy([meter("04792")] * 3))
    table = tmp_path / "out.csv"
    roi = f"{ROI}:allow=digits"
    code, out, _ = video(
        source, tmp_path / "out.mp4", "--roi", roi, "--against", "onnx", "--readings", table
    )
    assert code == 0
    frames, _ = read_video(tmp_path / "out.mp4")
    assert (len(frames), frames[0].shape) == (3, (120, 480, 3))
    rows = rows_of(table)
    assert [row["engine"] for row in rows] == ["onnx-int8", "onnx"] * 3
    assert {row["text"] for row in rows} == {"04792"}
    assert rows[0]["confidence"] != rows[1]["confidence"]  # two networks, int8 and float
    assert "the same text in 3 of 3 readings, the same character in 15 of 15 cells" in out
    rates = [line.split() for line in out.splitlines() if line.startswith("onnx")]
    assert all(float(value.replace(",", "")) > 0 for row in rates for value in row[1:])
    assert len(rates) == 2


def test_a_file_that_breaks_off_leaves_what_was_read(tmp_path, video):
    whole = write_video(tmp_path / "whole.avi", noisy([meter("04792")] * 40))
    source = tmp_path / "in.avi"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    table = tmp_path / "out.csv"
    code, _, err = video(source, tmp_path / "out.avi", "--roi", ROI, "--readings", table)
    assert code == 2
    assert "breaks off after" in err.splitlines()[-1]
    assert "of 40 frames" in err.splitlines()[-1]
    frames, _ = read_video(tmp_path / "out.partial.avi")
    assert 5 < len(frames) < 40
    assert len(rows_of(tmp_path / "out.partial.csv")) == len(frames)
    assert not (tmp_path / "out.avi").exists()
    assert not table.exists()


def test_inputs_that_are_no_videos(tmp_path, video):
    mp4 = write_video(tmp_path / "whole.mp4", noisy([meter("04792")] * 9))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(mp4.read_bytes()[:-400])  # without its table of frames
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.touch()
    text.write_text("not a video\n" * 100)
    none = write_video(tmp_path / "none.avi", [])
    for source, said in [
        (cut, "not a video that can be read"),
        (empty, "0 bytes"),
        (text, "not a video"),
        (none, ""),
        (tmp_path / "missing.mp4", "no such file"),
        (tmp_path, "no such file"),
    ]:
        code, out, err = video(source, tmp_path / "out.avi", "--roi", ROI)
        assert (code, out) == (2, "")
        assert said in one_line(err)
        assert str(source) in err
    assert not list(tmp_path.glob("*out*"))


def test_options_that_cannot_be(tmp_path, video):
    source = write_video(tmp_path / "in.avi", noisy([meter("04792")] * 2))
    output = tmp_path / "out.avi"
    for options, said in [
        (["--roi", "a=200,30,200,60:cells=5"], "leaves the picture, which is 240×120"),
        (["--roi", "a=20,30,200,0:cells=5"], "there is nothing in it"),
        (["--roi", "a=20,30,4,4"], "are too few"),
        (["--roi", "a=20,30,200,60:allow=é"], "the bundle cannot read 'é'"),
        (["--roi", tmp_path / "no.toml"], "no such file"),
        (["--smoothing", "0"], "at least 1"),
        (["--seconds", "nan"], "more than 0"),
        (["--against", "onnx-int8"], "is the first back end, too"),
        (["--readings", tmp_path / "x.txt"], "name one"),
        (["--frame", "0"], "name a .png"),
    ]:
        code, out, err = video(source, output, *options)
        assert (code, out) == (2, "")
        assert said in one_line(err)
    for bad, said in [(source, "is the input itself"), (tmp_path / "x.webm", "videos are written")]:
        code, _, err = video(source, bad)
        assert code == 2
        assert said in one_line(err)
    fast = write_video(tmp_path / "fast.mkv", noisy([meter("04792")] * 2), 1000 / 3)
    code, _, err = video(fast, tmp_path / "out.mp4", "--roi", ROI)
    assert code == 2
    assert "no encoder" in one_line(err)


def test_without_opencv_one_line_says_what_to_install(tmp_path, video, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, _, err = video(tmp_path / "in.avi", tmp_path / "out.avi")
    assert code == 2
    assert "pip install 'edgeglyph[video]'" in one_line(err)


def test_a_variable_rate_keeps_the_frames_and_their_times(tmp_path, video):
    stills = [meter(text) for text in ("04792", "04793", "04794", "04795")]
    source = tmp_path / "in.gif"
    stills[0].save(source, save_all=True, append_images=stills[1:], duration=[100, 100, 600, 100])
    table = tmp_path / "out.csv"
    code, _, err = video(
        source, tmp_path / "out.mp4", "--roi", ROI, "--readings", table, "--smoothing", "1"
    )
    assert code == 0
    assert len(read_video(tmp_path / "out.mp4")[0]) == 4
    times = [float(row["time_s"]) for row in rows_of(table)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.8])
    assert "variable frame rate" in err


def test_one_frame_as_a_picture(tmp_path, video):
    pictures = [meter("04792")] * 3 + [meter("31586")]
    source = write_video(tmp_path / "in.avi", noisy(pictures))
    output = tmp_path / "look.png"
    roi = ("--roi", f"{ROI}:allow=digits")
    code, out, _ = video(source, output, *roi, "--frame", "3")
    assert code == 0
    assert out.startswith("meter: 200×60 pixels at 20,30; 5 cells; 31586")
    with Image.open(output) as picture:
        assert picture.size == (240, 120)
    code, _, err = video(source, output, *roi, "--frame", "4")
    assert code == 2
    assert "has 4 frames; name one from 0 to 3" in one_line(err)


def test_the_first_seconds_alone(tmp_path, video):
    source = write_video(tmp_path / "in.avi", noisy([meter("04792")] * 20), 10.0)
    code, _, err = video(source, tmp_path / "out.avi", "--roi", ROI, "--seconds", "0.5")
    assert code == 0
    assert len(read_video(tmp_path / "out.avi")[0]) == 5
    assert "could be decoded" not in err


class _Lens:
    """Stands in for OpenCV's capture of a camera; ``at`` is told the number of each picture."""

    def __init__(self, frames, at=lambda number: None):
        self._frames, self._at, self._given = frames, at, 0

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return True

    def get(self, what):
        return 10.0

    def read(self):
        self._given += 1
        self._at(self._given)
        if self._given > len(self._frames):
            return False, None
        return True, self._frames[self._given - 1]

    def release(self):
        pass


def test_a_camera_ends_with_ctrl_c_and_keeps_real_time(tmp_path, video, monkeypatch):
    def interrupt(number):
        if number == 8:
            _thread.interrupt_main()

    times = iter([0.0, *(0.2 * i for i in range(20))])  # half as fast as it says
    lens = _Lens(noisy([meter("04792")] * 20), interrupt)
    camera = Camera(0, lens, lambda: next(times))
    monkeypatch.setattr(command, "open_source", lambda text: camera)
    table = tmp_path / "out.csv"
    code, out, _ = video("camera", tmp_path / "out.avi", "--roi", ROI, "--readings", table)
    assert code == 0
    assert len(rows_of(table)) == 7
    frames, rate = read_video(tmp_path / "out.avi")
    assert (len(frames), rate) == (13, 10.0)  # the last one came at 1.2 s
    assert "meter: 04792" in out


def test_ctrl_c_leaves_a_file_unfinished_under_another_name(tmp_path, video, monkeypatch):
    source = write_video(tmp_path / "in.avi", noisy([meter("04792")] * 20))
    real = command.read_video

    def interrupted(*arguments):
        _thread.interrupt_main()
        real(*arguments)

    def after_three(source, pipeline, sink, readings, limits, advance, result):
        def count():
            if result.frames == 3:
                _thread.interrupt_main()

        real(source, pipeline, sink, readings, limits, count, result)

    monkeypatch.setattr(command, "read_video", after_three)
    code, _, _ = video(source, tmp_path / "out.avi", "--roi", ROI)
    assert code == 130
    assert len(read_video(tmp_path / "out.partial.avi")[0]) == 3
    assert not (tmp_path / "out.avi").exists()
    monkeypatch.setattr(command, "read_video", interrupted)
    code, _, _ = video(source, tmp_path / "new.avi", "--roi", ROI)
    assert code == 130
    assert not list(tmp_path.glob("new*"))


def test_a_camera_that_goes_away_keeps_what_was_read(tmp_path, video, monkeypatch):
    camera = Camera(3, _Lens(noisy([meter("04792")] * 4)))
    monkeypatch.setattr(command, "open_source", lambda text: camera)
    code, _, err = video("camera:3", tmp_path / "out.avi", "--roi", ROI)
    assert code == 2
    assert "camera 3: gives no more pictures" in err.splitlines()[-1]
    assert (tmp_path / "out.partial.avi").exists()


def test_a_full_disk_leaves_nothing_and_one_line(tmp_path, video, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = write_video(tmp_path / "in.avi", noisy([meter("04792")] * 3))
    monkeypatch.setattr(ReadingsFile, "write", full)
    code, _, err = video(
        source, tmp_path / "out.avi", "--roi", ROI, "--readings", tmp_path / "out.csv"
    )
    assert code == 2
    assert "cannot be written (No space left on device)" in one_line(err)
    assert list(tmp_path.iterdir()) == [source]
