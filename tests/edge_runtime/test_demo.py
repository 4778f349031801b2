"""The demo's parts without a browser: drawn strokes, answers, and a server that trusts nobody."""

import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.__main__ import main
from edge_runtime.bundle import write_bundle
from edge_runtime.demo.answers import Answers
from edge_runtime.demo.server import MOST_BYTES, DemoServer
from edge_runtime.demo.strokes import INK, SIDE, parse_strokes, render_strokes
from edge_runtime.errors import InputError
from edge_runtime.images import read_gray
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.runners import Int8Runner
from tests.conftest import draw_character, toy_bundle
from tests.edge_runtime.conftest import ROOT

SHIPPED = ROOT / "models/scene62/scene62.egb"
LETTER_A = [[(0.3, 0.9), (0.5, 0.1), (0.7, 0.9)], [(0.38, 0.6), (0.62, 0.6)]]


@pytest.fixture(scope="module")
def server():
    bundle = toy_bundle()
    with DemoServer(Answers(Recognizer(bundle, Int8Runner(bundle))), "int8", 0) as demo:
        threading.Thread(target=demo.serve_forever, daemon=True).start()
        yield demo
        demo.shutdown()


def ask(server, method="POST", path="/classify", body=b"", **headers):
    """Status, headers and body of an answer; a header given as None is left out."""
    given = {"Content-Type": "application/octet-stream", "Host": f"127.0.0.1:{server.server_port}"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given.setdefault("Content-Length", str(len(body)))
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, dict(response.headers), response.read()
    connection.close()
    return answer


def png(picture):
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


# --- Strokes -------------------------------------------------------------------------------------


def test_strokes_fill_the_square_as_trained():
    """The longer side is 106 of 128 pixels, centered, whatever the place and size on the pad."""
    big = render_strokes(LETTER_A)
    small = render_strokes([[(0.1 + x / 8, 0.7 + y / 8) for x, y in s] for s in LETTER_A])
    assert big.shape == (SIDE, SIDE)
    assert np.abs(big.astype(int) - small).mean() < 2  # a quarter pixel, by rounding
    rows, columns = (np.flatnonzero((big < 128).any(axis=axis)) for axis in (1, 0))
    assert np.ptp(rows) + 1 == pytest.approx(INK, abs=1)
    assert rows[0] == pytest.approx(SIDE - 1 - rows[-1], abs=1)
    assert columns[0] == pytest.approx(SIDE - 1 - columns[-1], abs=1)
    middle = big[SIDE // 2] < 128  # two lines of the A, about 6 pixels wide each
    assert np.count_nonzero(middle) == pytest.approx(12, abs=3)


def test_a_dot_stays_small():
    dot = render_strokes([[(0.2, 0.9)]])
    assert 20 < np.count_nonzero(dot < 128) < 60


def test_drawn_characters_are_read():
    """Plain drawings of ten characters, by the shipped model."""
    drawn = {
        "A": LETTER_A,
        "L": [[(0.3, 0.1), (0.3, 0.9), (0.7, 0.9)]],
        "T": [[(0.2, 0.1), (0.8, 0.1)], [(0.5, 0.1), (0.5, 0.9)]],
        "H": [[(0.3, 0.1), (0.3, 0.9)], [(0.7, 0.1), (0.7, 0.9)], [(0.3, 0.5), (0.7, 0.5)]],
        "N": [[(0.3, 0.9), (0.3, 0.1), (0.7, 0.9), (0.7, 0.1)]],
        "E": [[(0.7, 0.1), (0.3, 0.1), (0.3, 0.9), (0.7, 0.9)], [(0.3, 0.5), (0.6, 0.5)]],
        "F": [[(0.7, 0.1), (0.3, 0.1), (0.3, 0.9)], [(0.3, 0.5), (0.6, 0.5)]],
        "7": [[(0.2, 0.1), (0.7, 0.1), (0.4, 0.9)]],
        "4": [[(0.6, 0.9), (0.6, 0.1), (0.2, 0.6), (0.8, 0.6)]],
        "Z": [[(0.2, 0.1), (0.8, 0.1), (0.2, 0.9), (0.8, 0.9)]],
    }
    answers = Recognizer.open(SHIPPED, "int8").classify([render_strokes(s) for s in drawn.values()])
    read = [p.label.upper() for p in answers]
    assert sum(a == b for a, b in zip(read, drawn, strict=True)) >= 9, read


def _is_stroke(value):
    return (
        isinstance(value, list)
        and value
        and all(
            isinstance(p, list) and [type(v) in (int, float) for v in p] == [True, True]
            for p in value
        )
    )


POINTS = st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2)).map(list), min_size=1, max_size=9)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(POINTS, min_size=1, max_size=4))
def test_every_drawing_on_the_pad_is_drawn(strokes):
    gray = render_strokes(parse_strokes(strokes))
    assert gray.shape == (SIDE, SIDE)
    assert gray.min() < 128


@given(JSON_VALUES.filter(lambda value: not _is_stroke(value)))
def test_anything_else_is_refused_in_one_line(value):
    with pytest.raises(InputError) as caught:
        parse_strokes([[[0.5, 0.5]], value])  # one bad stroke spoils a drawing
    assert "\n" not in str(caught.value)


# --- Answers -------------------------------------------------------------------------------------


def test_an_answer_is_the_recognizers(server, tmp_path):
    path = tmp_path / "7.png"
    draw_character("7").save(path)
    status, headers, body = ask(server, body=path.read_bytes())
    answer = json.loads(body)
    (p,) = server.answers.recognizer.classify([read_gray(path)], top_k=6)
    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert (answer["label"], tuple(answer["logits"])) == (p.label, p.logits)
    assert answer["top"] == [[label, value / 1e6] for label, value in p.top]
    assert answer["p_real"] == p.p_real / 1e6
    assert answer["input"] == (preprocess(read_gray(path)).ravel().astype(int) + 128).tolist()
    assert (answer["threshold"], answer["character"]) == (None, None)


def test_a_drawing_is_answered_as_its_pixels_are(server):
    body = json.dumps({"strokes": LETTER_A}).encode()
    drawn = json.loads(ask(server, path="/draw", body=body, Content_Type="application/json")[2])
    picture = png(Image.fromarray(render_strokes(LETTER_A)))
    given = json.loads(ask(server, body=picture)[2])
    assert {k: v for k, v in drawn.items() if k != "ms"} == {
        k: v for k, v in given.items() if k != "ms"
    }


def test_hostile_pictures_get_one_line(server):
    whole = png(draw_character("A"))
    bomb = bytearray(png(Image.new("L", (1, 1))))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    for body, words in [
        (b"", "the file is empty"),
        (b"<svg onload='alert(1)'/>", "not a PNG"),
        (whole[:60], "damaged or truncated"),
        (bytes(bomb), "over the limit"),
        (b"\xff\xd8\xff" + bytes(1000), "damaged or truncated"),
        (b"P5 99999 99999 255\n", "over the limit"),
    ]:
        status, _, answer = ask(server, body=body)
        line = json.loads(answer)["error"]
        assert status == 200
        assert words in line
        assert "\n" not in line
    for body in (b"", b"{", b"[" * 100_000, b"\xff", b"3", b'{"strokes": [[[0, 1e999]]]}'):
        _, _, answer = ask(server, path="/draw", body=body, Content_Type="application/json")
        assert set(json.loads(answer)) == {"error"}


# --- The server ----------------------------------------------------------------------------------


def test_the_page_holds_itself_to_its_policy(server):
    status, headers, page = ask(server, "GET", "/", Content_Type=None)
    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert b"{{ " not in page
    for address in (b"http://", b"https://", b"//"):
        rest = page.replace(b"http://www.w3.org/2000/svg", b"")
        assert b'="' + address not in rest
        assert b"url(" not in rest
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8062", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("[::2]:80", "127.0.0.1:80:80", "", None, "127.0.0.2", "LOCALHOST@evil.example"),
    ],
)
def test_other_names_are_refused(server, host):
    """A name that was made to point to this computer gets neither page nor answers."""
    for method, path in (("GET", "/"), ("POST", "/classify")):
        status, _, body = ask(server, method, path, Host=host)
        assert status == 421
        assert "alone" in json.loads(body)["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "[::1]:8062", "127.0.0.1"])
def test_own_names_are_fine_on_any_port(server, host):
    """As `ssh -L 9000:localhost:8062` makes them."""
    assert ask(server, "GET", "/", Host=host)[0] == 200


def test_other_sites_may_link_but_not_ask(server):
    other = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    own = f"http://127.0.0.1:{server.server_port}"
    picture = png(draw_character("A"))
    for headers, expected in [
        (other, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": own, "Sec_Fetch_Site": "same-origin"}, 200),
    ]:
        assert ask(server, body=picture, **headers)[0] == expected
    assert ask(server, "GET", "/", **other)[0] == 403
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(server, "GET", "/", **link)[0] == 200
    assert ask(server, body=picture, Sec_Fetch_Mode="navigate", **other)[0] == 403


def test_requests_have_limits(server):
    for status, change in [
        (413, {"body": bytes(MOST_BYTES + 1)}),
        (411, {"Content_Length": None}),
        (411, {"Content_Length": "-1"}),
        (415, {"Content_Type": "text/plain", "body": b"x"}),
        (404, {"path": "/etc/passwd"}),
        (404, {"path": "/../page.py", "method": "GET"}),
        (501, {"method": "PUT"}),
    ]:
        assert ask(server, **change)[0] == status, change
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as line:
        head = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n"
        line.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode())
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100).startswith(b"HTTP/1.0 413 ")
    assert ask(server, "GET", "/")[0] == 200  # and goes on


def test_many_at_once_are_all_answered_or_told_to_wait(server):
    body = png(draw_character("A"))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(server, body=body)[0])) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    assert set(found) <= {200, 503}
    assert ask(server, body=body)[0] == 200


def test_it_listens_on_this_computer_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_the_command(tmp_path, run_cli):
    bundle = tmp_path / "toy.egb"
    write_bundle(bundle, toy_bundle())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run_cli(main, "demo", "--bundle", bundle, "--port", port)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"port {port} cannot be had" in err
    command = [sys.executable, "-m", "edge_runtime", "demo", "--bundle", str(bundle), "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # Whoever runs the tests in the background ignores Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        address = line.split(" is at ")[1].split()[0]
        connection = http.client.HTTPConnection(address.split("/")[2], timeout=30)
        connection.request("GET", "/")
        assert b"EdgeGlyph" in connection.getresponse().read()
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_page_travels_with_the_package():
    """What pyproject.toml ships: page and samples beside the code."""
    import tomllib

    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "edge_runtime.demo" in shipped["packages"]
    for package, patterns in (("edge_runtime", "samples/*.png"), ("edge_runtime.demo", "page.*")):
        assert patterns in shipped["package-data"][package]
        assert list((ROOT / Path(*package.split("."))).glob(patterns))
