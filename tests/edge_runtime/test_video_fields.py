"""Fields as users write them, and where they lie in a picture."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import SettingsError
from edge_runtime.pixels import gray_of
from edge_runtime.video.fields import WHOLE, Cells, Contours, Field, Length
from edge_runtime.video.fields_file import read_fields
from edge_runtime.video.geometry import Box, PlacedField
from edge_runtime.video.roi import parse_roi


def test_what_a_user_writes():
    meter, plate, third = parse_roi(
        "meter=40,60.5,320,80:cells=2x6:gap=10%:allow=digits:blank=. ;"
        " plate = 5%,60%,30%,20% :contours=40-90%:allow=upper+digits; 1,2,30,40"
    )
    assert meter == Field.box(
        "meter",
        (Length(40), Length(60.5), Length(320), Length(80)),
        split=Cells(6, 2, 10.0),
        allow="0123456789",
        blank=".",
    )
    assert plate.name == "plate"
    assert plate.split == Contours(40, 90)
    assert plate.allow == "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    assert plate.corners[2] == (Length(35, True), Length(80, True))
    assert (third.name, third.split) == ("field3", Contours())
    assert parse_roi(None) == parse_roi("  ") == (WHOLE,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("meter", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,3", "is not X,Y,WIDTH,HEIGHT"),
        ("-1,2,30,40", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,nan,40", "is not X,Y,WIDTH,HEIGHT"),
        ("1e3,2,30,40", "is not X,Y,WIDTH,HEIGHT"),
        ("١,2,30,40", "is not X,Y,WIDTH,HEIGHT"),
        ("1,2,30%,40", "both px or both %"),
        ("1,2,0,40", "nothing in it"),
        ("1,2,30,40:cells=0", "1 to 256 cells"),
        ("1,2,30,40:cells=9999x9999", "1 to 256 cells"),
        ("1,2,30,40:cells=x", "write it like"),
        ("1,2,30,40:gap=5", "gap needs cells"),
        ("1,2,30,40:cells=2:gap=95", "0 to 90 per cent"),
        ("1,2,30,40:cells=2:contours", "not both"),
        ("1,2,30,40:cells=2:cells=3", "there twice"),
        ("1,2,30,40:contours=90-40", "heights go up"),
        ("1,2,30,40:allow=", "names no symbol"),
        ("1,2,30,40:blank=", "one character"),
        ("1,2,30,40:colour=red", "no option 'colour'"),
        ("a=1,2,30,40;a=1,2,30,40", "two fields are called 'a'"),
        (";;", "there are 0 fields"),
        (";".join(["1,2,30,40"] * 65), "name 1 to 64"),
        (f"{'n' * 41}=1,2,30,40", "cannot be a field's name"),
        ("a\nb=1,2,30,40", "cannot be a field's name"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text, said):
    with pytest.raises(SettingsError, match=r".") as caught:
        parse_roi(text)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


_PIECES = st.sampled_from(
    ["a=", "1,2,30,40", "%", ",", ":", ";", "=", "cells=", "2x3", "contours", "gap=", "allow=",
     "blank=", "9" * 30, "-", ".", "é", "\n", "\x00", "\ud800", "nan", "1e9", " ", "digits+"]
)  # fmt: skip


def _fields_or_line(text):
    try:
        return parse_roi(text)
    except SettingsError as error:
        return str(error)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_gives_fields_or_one_line(text):
    found = _fields_or_line(text)
    if isinstance(found, str):
        assert len(found.splitlines()) == 1
        assert len(found) < 400
        return
    for field in found:
        with contextlib.suppress(SettingsError):
            placed = PlacedField(field, 64, 48)
            assert placed.cut(np.zeros((48, 64, 3), np.uint8)).shape == (
                placed.height,
                placed.width,
            )


@given(
    st.tuples(*[st.integers(0, 4000)] * 2, *[st.integers(1, 4000)] * 2),
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(0, 90),
)
def test_what_is_written_is_what_is_read(box, rows, columns, gap):
    (field,) = parse_roi(f"m={','.join(map(str, box))}:cells={rows}x{columns}:gap={gap}")
    assert field.split == Cells(columns, rows, gap)
    x, y, width, height = box
    assert [(a.value, b.value) for a, b in field.corners] == [
        (x, y), (x + width, y), (x + width, y + height), (x, y + height)
    ]  # fmt: skip


def test_a_file_of_fields(tmp_path):
    path = tmp_path / "fields.toml"
    path.write_text('[[field]]\nname = "meter"\nbox = [40, 60, "50%", 80.5]\ncells = 6\n', "utf-8")
    with pytest.raises(SettingsError, match="both px or both %"):
        parse_roi(str(path))
    path.write_text(
        '[[field]]\nname = "meter"\nbox = ["4%", 60, "50%", 80.5]\ncells = 6\nrows = 2\ngap = 5\n'
        'allow = "digits"\nblank = "?"\n'
        "[[field]]\ncorners = [[1, 2], [30, 4], [31, 44], [2, 40]]\ncontours = [40, 90]\n",
        "utf-8",
    )
    box = (Length(4, True), Length(60), Length(50, True), Length(80.5))
    first, second = read_fields(path)
    assert first == Field.box("meter", box, split=Cells(6, 2, 5.0), allow="0123456789", blank="?")
    assert (second.name, second.upright, second.split) == ("field2", False, Contours(40, 90))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "[[field]] tables"),
        ("a = 1", "[[field]] tables"),
        ("[[field]", "not a TOML file"),
        ("[field]\nx = 1", "[[field]] tables"),
        ("field = [1]", "write [[field]]"),
        ("[[field]]\ncolour = 1", "no key colour"),
        ("[[field]]\nname = 'a'", "either its box or its corners"),
        ("[[field]]\nbox = 'x'", "write box ="),
        ("[[field]]\nbox = [1, 2, 3, true]", "neither pixels"),
        ("[[field]]\nbox = [1, 2, inf, 4]", "no place in a picture"),
        ("[[field]]\nbox = [1, 2, nan, 4]", "no place in a picture"),
        ("[[field]]\nbox = [1, 2, '3x%', 4]", "neither pixels"),
        ("[[field]]\nbox = [1, 2, 3, 4]\ncells = 1.5", "whole numbers"),
        ("[[field]]\nbox = [1, 2, 3, 4]\ncells = 2\ngap = 'x'", "not a number"),
        ("[[field]]\nbox = [1, 2, 3, 4]\nrows = 2", "need cells"),
        ("[[field]]\nbox = [1, 2, 3, 4]\ncells = 2\ncontours = true", "not both"),
        ("[[field]]\nbox = [1, 2, 3, 4]\ncontours = 5", "contours = true"),
        ("[[field]]\nbox = [1, 2, 3, 4]\nallow = ''", "not a text"),
        ("[[field]]\nbox = [1, 2, 3, 4]\nname = ['x']", "not a text"),
        ("[[field]]\ncorners = [[1, 2], [3, 4], [5, 6]]", "write corners"),
    ],
)
def test_a_bad_file_of_fields_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "fields.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError) as caught:
        parse_roi(str(path))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_an_upright_field_is_exactly_its_pixels():
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    placed = PlacedField(parse_roi("m=10,5,20,30")[0], 64, 48)
    assert np.array_equal(placed.cut(frame), gray_of(frame[5:35, 10:30, ::-1]))
    whole = PlacedField(WHOLE, 64, 48)
    assert whole.cut(frame).shape == (48, 64)
    assert placed.outline(Box(1, 2, 3, 4)).tolist() == [[11, 7], [14, 7], [14, 11], [11, 11]]


def test_corners_go_clockwise_and_outlines_go_back():
    def placed(*points):
        corners = tuple((Length(x), Length(y)) for x, y in points)
        return PlacedField(Field("q", corners, upright=False), 100, 100)

    quad = [(10, 10), (80, 20), (75, 70), (5, 50)]
    field = placed(*quad)
    own = field.outline(Box(0, 0, field.width, field.height))
    assert np.allclose(own, quad, atol=1e-3)
    for wrong in (quad[::-1], [quad[0], quad[2], quad[1], quad[3]], [(0, 0)] * 4):
        with pytest.raises(SettingsError, match="clockwise"):
            placed(*wrong)
    with pytest.raises(SettingsError, match="leaves the picture"):
        placed((10, 10), (101, 20), (75, 70), (5, 50))
    with pytest.raises(SettingsError, match="too few"):
        placed((10, 10), (80, 10), (80, 14), (10, 14))
