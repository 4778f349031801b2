"""Steps of the video reader by themselves."""

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge_runtime.errors import VerificationError
from edge_runtime.recognizer import Recognizer
from edge_runtime.video.engine import Engine
from edge_runtime.video.fields import Cells, Contours
from edge_runtime.video.geometry import Box
from edge_runtime.video.ink import components, framed
from edge_runtime.video.layout import Layout
from edge_runtime.video.lettering import shade, write_text
from edge_runtime.video.pipeline import Pipeline
from edge_runtime.video.roi import parse_roi
from edge_runtime.video.run import Limits, Result, read_video
from edge_runtime.video.sink import VideoSink
from edge_runtime.video.smoothing import BLANK, CellTrack
from edge_runtime.video.splitters import ContourSplitter, GridSplitter
from tests.conftest import toy_bundle
from tests.video_files import meter, noisy


def millionths(*values):
    return np.array([round(1e6 * v) for v in values], np.int64)


SAID = millionths(0.9, 0.06, 0.04)
OTHER = millionths(0.02, 0.96, 0.02)
REAL, FAKE = 990_000, 10_000


def test_a_still_picture_is_no_surer_for_being_shown_long():
    track = CellTrack(8, 500_000)
    states = [track.update(SAID, REAL) for _ in range(100)]
    assert {s.choice for s in states} == {0}
    assert [s.confidence for s in states] == pytest.approx([0.9] * 100)
    assert [s.p_real for s in states] == pytest.approx([0.99] * 100)
    assert [s.age for s in states] == list(range(1, 101))


def test_the_average_is_of_log_probabilities():
    rng = np.random.default_rng(0)
    frames = [rng.dirichlet([5, 4, 4]) for _ in range(4)]  # none marked against another
    track = CellTrack(8, None)
    for p in frames:
        state = track.update(millionths(*p), REAL)
    mean = np.exp(np.mean(np.log([np.round(p, 6) for p in frames]), axis=0))
    assert state.choice == mean.argmax()
    assert state.confidence == pytest.approx(mean.max() / mean.sum())
    # Beyond its reach, the average is exponential: old frames fade by 1 - 1/8.
    long = CellTrack(8, None)
    weights = np.log(SAID / 1e6)
    slight = millionths(0.5, 0.3, 0.2)
    for _ in range(50):
        long.update(SAID, REAL)
    state = long.update(slight, REAL)
    logs = weights * 7 / 8 + np.log(slight / 1e6) / 8
    assert state.confidence == pytest.approx(np.exp(logs).max() / np.exp(logs).sum())


def test_one_bad_frame_changes_nothing_and_two_do():
    track = CellTrack(8, 500_000)
    choices = [
        track.update(p, REAL).choice for p in [SAID] * 10 + [OTHER] + [SAID] * 3 + [OTHER] * 3
    ]
    assert choices == [0] * 15 + [1, 1]
    state = track.update(OTHER, REAL)
    assert state.confidence == pytest.approx(0.96)  # nothing of before the change is in it
    assert state.age == 3


def test_two_frames_that_say_different_things_are_no_change():
    track = CellTrack(8, 500_000)
    third = millionths(0.02, 0.02, 0.96)
    for p in [SAID] * 20 + [OTHER, third]:
        assert track.update(p, REAL).choice == 0


def test_a_cell_that_wavers_between_look_alikes_is_averaged():
    track = CellTrack(8, 500_000)
    one, other = millionths(0.6, 0.4, 1e-6), millionths(0.45, 0.55, 1e-6)
    for p in [one] * 8 + [other, other, other, one, other, other]:
        state = track.update(p, REAL)
        assert state.choice == 0
    assert 0.5 < state.confidence < 0.6


def test_a_character_that_goes_and_comes():
    track = CellTrack(8, 600_000)
    gates = [FAKE] * 3 + [REAL] * 6 + [FAKE] * 3
    choices = [track.update(SAID, gate).choice for gate in gates]
    assert choices == [BLANK] * 4 + [0] * 6 + [BLANK] * 2
    assert CellTrack(8, None).update(SAID, 0).choice == 0  # a bundle without a threshold


def test_smoothing_of_one_takes_each_frame_by_itself():
    track = CellTrack(1, 500_000)
    slight = millionths(0.4, 0.5, 0.1)
    assert [track.update(p, REAL).choice for p in (SAID, OTHER, SAID, slight)] == [0, 1, 0, 1]


@pytest.mark.parametrize("length", [9, 100, 101])
@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("gap", [0.0, 25.0, 90.0])
def test_cells_are_equal_and_fill_the_field(length, count, gap):
    boxes = GridSplitter(Cells(count, 2, gap)).split(np.zeros((40, length), np.uint8))
    assert len(boxes) == 2 * count
    assert [box.row for box in boxes] == [0] * count + [1] * count
    first = boxes[:count]
    assert first[0].x == 0
    assert all(box.width >= 1 and box.x + box.width <= length for box in boxes)
    assert max(b.width for b in first) - min(b.width for b in first) <= 1
    if not gap:
        assert first[-1].x + first[-1].width == length
        assert all(a.x + a.width == b.x for a, b in itertools.pairwise(first))


def letters(text, ink=0, ground=255, width=300):
    image = Image.new("L", (width, 60), ground)
    font = ImageFont.load_default(44)
    for i, symbol in enumerate(text):
        ImageDraw.Draw(image).text((20 + 45 * i, 4), symbol, fill=ink, font=font)
    return np.asarray(image)


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (240, 20), (90, 140)])
def test_contours_are_characters_from_left_to_right(ink, ground):
    field = letters("A7iB", ink, ground).copy()
    field[10, 280] = ink  # a speck
    field[55:58, 250:270] = ink  # too low for a character
    boxes = ContourSplitter(Contours()).split(field)
    assert [round((b.x - 20) / 45) for b in boxes] == [0, 1, 2, 3]
    assert boxes[2].y < boxes[3].y + 3  # the i with its dot
    assert ContourSplitter(Contours(90, 100)).split(field) == []
    assert ContourSplitter(Contours()).split(np.full((60, 300), ground, np.uint8)) == []


def test_characters_on_a_plate_in_a_frame():
    field = np.full((90, 340), 120, np.uint8)
    field[12:78, 15:325] = 20
    field[15:75, 20:320] = letters("A7iB")
    boxes = ContourSplitter(Contours()).split(field)
    assert [round((b.x - 40) / 45) for b in boxes] == [0, 1, 2, 3]


def test_a_character_is_framed_whatever_its_cell():
    ink = np.full((40, 24), 30, np.uint8)
    ink[8:32, 9:15] = 220

    def placed(top, left):
        cell = np.full((90, 70), 30, np.uint8)
        cell[top : top + 40, left : left + 24] = ink
        return framed(cell)

    assert np.array_equal(placed(5, 5), placed(45, 40))
    cut = placed(5, 5)
    assert cut.shape[0] == cut.shape[1]
    light = np.argwhere(cut > 128)
    assert light.min(axis=0).tolist() == [3, 12]  # 24 high, 6 wide, in the middle of 31
    assert light.max(axis=0).tolist() == [26, 17]
    # A separator at the cell's edge does not count; without ink the cell stays as it is.
    line = np.full((90, 70), 30, np.uint8)
    line[5:45, 5:29] = ink
    line[:, 68:] = 255
    assert np.array_equal(framed(line), cut)
    flat = np.full((90, 70), 30, np.uint8)
    assert framed(flat) is flat
    assert components(flat) == []


def test_cells_stay_until_two_frames_agree_on_others():
    layout = Layout()
    one, two = [Box(0, 0, 10, 20)], [Box(0, 0, 10, 20), Box(12, 0, 10, 20)]
    assert layout.update(one)
    assert not layout.update(two)
    assert layout.boxes == one
    assert not layout.update(one)
    assert not layout.update(two)
    assert layout.update(two)
    assert layout.boxes == two
    moved = [Box(1, 0, 10, 20), Box(13, 0, 10, 20)]
    assert not layout.update(moved)
    assert layout.boxes == moved


def test_text_that_leaves_the_frame_is_cut_off():
    frame = np.full((20, 30, 3), 100, np.uint8)
    for x, y, anchor in [(-50, 5, "l"), (29, 19, "l"), (15, -100, "m"), (500, 500, "r")]:
        write_text(frame, "Wide text é", x, y, 14, (0, 0, 255), anchor)
    shade(frame, -5, -5, 10, 10)
    assert frame.shape == (20, 30, 3)
    assert frame[0, 0].tolist() == [25, 25, 25]
    clear = np.full((40, 200, 3), 100, np.uint8)
    write_text(clear, "II", 100, 20, 20, (0, 0, 255), "m")
    drawn = np.argwhere(clear[..., 2] > 200)
    assert drawn.mean(axis=0) == pytest.approx([20, 100], abs=2)


def test_a_video_that_lost_frames_is_not_handed_over(tmp_path):
    path = tmp_path / "out.avi"
    with VideoSink(path, 64, 48, 25.0) as sink:
        sink.write(np.zeros((48, 64, 3), np.uint8))
        sink.count += 1
        with pytest.raises(VerificationError, match="is the disk full"):
            sink.finish()
        with pytest.raises(ValueError, match="a frame is"):
            sink.write(np.zeros((48, 66, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [30000 / 1001, 12.5, 119.8765])
def test_odd_sides_at_any_rate(tmp_path, rate):
    with VideoSink(tmp_path / "out.avi", 65, 49, rate) as sink:
        for _ in range(3):
            sink.write(np.zeros((49, 65, 3), np.uint8))
        assert sink.finish() == tmp_path / "out.avi"  # which checks count, sides and rate


class _Loop:
    """A source of the same few frames again and again."""

    name, rate_hz, live = "loop", 25.0, False

    def __init__(self, frames, count):
        self._frames, self.count = frames, count
        self.height, self.width = frames[0].shape[:2]

    def frames(self):
        for i in range(self.count):
            yield i / 25, self._frames[i % len(self._frames)].copy()

    def remarks(self):
        return []

    def close(self):
        pass


class _NoNetwork:
    """A runner that takes no time."""

    integer = True

    def run(self, inputs):
        return np.zeros((len(inputs), 62), np.int8)


def _resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_memory_does_not_grow_with_the_frames(tmp_path):
    engine = Engine("none", Recognizer(toy_bundle(), _NoNetwork()))
    source = _Loop(noisy([meter(f"{i:05d}") for i in range(10, 17)]), 400)
    pipeline = Pipeline(parse_roi("m=20,30,200,60:cells=5"), source.width, source.height, [engine])
    seen, result = [], Result()

    def look():
        seen.append(_resident_mib())

    with VideoSink(tmp_path / "out.mp4", source.width, source.height, 25.0) as sink:
        limits = Limits(None, threading.Event())
        read_video(source, pipeline, sink, None, limits, look, result)
        sink.finish()
    assert result.frames == len(seen) == 400
    # A frame has 86 kB: 300 of them kept would be 25 MiB.
    assert seen[-1] - seen[99] < 8
