"""Downloads from a server of the tests' own, which can break off, change its mind and lie."""

import http.server
import json
import logging
import threading

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from semi_supervised.download import download

DATA = b"\x1f\x8b" + np.random.default_rng(0).integers(0, 256, 900_000, np.uint8).tobytes()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``data`` at every path, as its fields say, and keeps the requests' headers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.etag = '"one"'
        self.status = 200
        self.content_type = "application/gzip"
        self.breaks_after = []  # bytes of the next answers' bodies
        self.busy = 0  # answers of 503 before the first good one
        self.says_length = True
        self.honors_if_range = True
        self.redirect = None
        self.requests = []

    def url(self, name="English%20Img.tgz"):
        return f"http://127.0.0.1:{self.server_port}/data/{name}?download=1"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if server.redirect:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        if server.busy:
            server.busy -= 1
            self.send_error(503)
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if wanted and (fresh or not server.honors_if_range):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = server.data[start:]
        self.send_response(416 if start and not body else 206 if start else 200)
        if start:
            last = len(server.data) - 1
            span = f"{start}-{last}" if body else "*"
            self.send_header("Content-Range", f"bytes {span}/{len(server.data)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Type", server.content_type)
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.breaks_after:
            body = body[: server.breaks_after.pop(0)]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server, folder, **options):
    return download(server.url(), folder, first_pause_s=0.001, **options)


def names(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def start_of(headers):
    return int(headers["Range"].removeprefix("bytes=").removesuffix("-"))


def test_downloaded_once_and_remembered(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = fetch(server, tmp_path)
    assert path == tmp_path / "English Img.tgz"
    assert path.read_bytes() == DATA
    assert names(tmp_path) == ["English Img.tgz", "English Img.tgz.json"]
    memory = json.loads((tmp_path / "English Img.tgz.json").read_text())
    assert (memory["url"], memory["bytes"]) == (server.url(), len(DATA))
    assert memory["sha256"] in caplog.text
    assert fetch(server, tmp_path) == path
    assert len(server.requests) == 1


def test_broken_connections_are_continued(server, tmp_path):
    server.breaks_after = [300_000, 1000, 0, 0, 250_000]
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert len(server.requests) == 6
    assert 300_000 - 2**14 <= start_of(server.requests[1]) <= 300_000
    assert server.requests[1]["If-Range"] == '"one"'


def test_the_next_call_goes_on_where_one_gave_up(server, tmp_path):
    server.breaks_after = [500_000, 0, 0, 0, 0, 0]
    with pytest.raises(SourceError, match=r"failed .*, 5 times in a row; .*goes on from here"):
        fetch(server, tmp_path)
    assert names(tmp_path) == ["English Img.tgz.part", "English Img.tgz.part.json"]
    server.breaks_after = []
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert 500_000 - 2**14 <= start_of(server.requests[-1]) <= 500_000


@pytest.mark.parametrize("honors_if_range", [True, False])
def test_a_changed_file_is_begun_anew(server, tmp_path, honors_if_range):
    server.honors_if_range = honors_if_range
    server.breaks_after = [500_000, *[0] * 5]
    with pytest.raises(SourceError):
        fetch(server, tmp_path)
    server.breaks_after = []
    server.data = DATA[:1000] + DATA[::-1]
    server.etag = '"two"'
    assert fetch(server, tmp_path).read_bytes() == server.data


def test_without_validators_nothing_is_continued(server, tmp_path):
    server.etag = None
    server.breaks_after = [500_000]
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert "Range" not in server.requests[1]


def test_a_complete_partial_file_is_taken(server, tmp_path):
    fetch(server, tmp_path).rename(tmp_path / "English Img.tgz.part")
    version = {"url": server.url(), "etag": '"one"', "last_modified": None}
    (tmp_path / "English Img.tgz.part.json").write_text(json.dumps(version))
    assert fetch(server, tmp_path).read_bytes() == DATA
    assert server.requests[-1]["Range"] == f"bytes={len(DATA)}-"


def test_a_changed_checksum_is_said(server, tmp_path, caplog):
    fetch(server, tmp_path).unlink()
    server.data = DATA + b"more"
    fetch(server, tmp_path)
    assert "is another file than on" in caplog.text


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.busy = 2
    assert fetch(server, tmp_path).read_bytes() == DATA


def test_the_size_limit(server, tmp_path):
    for says_length in (True, False):
        server.says_length = says_length
        with pytest.raises(SourceError, match="over the limit of 800,000"):
            fetch(server, tmp_path, max_bytes=800_000)
        assert "English Img.tgz.part" not in names(tmp_path)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [("text/html; charset=utf-8", DATA), ("application/gzip", b"\n<!doctype html><p>404")],
)
def test_a_web_page_is_refused(server, tmp_path, content_type, data):
    server.content_type, server.data = content_type, data
    with pytest.raises(SourceError, match="answers an HTML page, not an archive"):
        fetch(server, tmp_path)
    assert not [name for name in names(tmp_path) if name.endswith((".tgz", ".part"))]


def test_an_error_is_one_line_and_not_repeated(server, tmp_path):
    server.status = 404
    with pytest.raises(SourceError, match="answers 404 Not Found") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_no_server(server, tmp_path):
    url = "http://127.0.0.1:1/x.tgz"
    with pytest.raises(SourceError, match=r"x\.tgz: the connection failed \(.*refused") as caught:
        download(url, tmp_path, first_pause_s=0.001)
    assert "object at" not in str(caught.value)


def test_endless_redirects(server, tmp_path):
    server.redirect = server.url()
    with pytest.raises(SourceError, match=r"cannot be downloaded .*redirects"):
        fetch(server, tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x.tgz", "only http"),
        ("file:///etc/x.tgz", "only http"),
        ("http:///x.tgz", "only http"),
        ("http://host/chars74k/", "does not end in the name of an archive"),
        ("http://host/index.html", "does not end in the name of an archive"),
        ("http://host/..%2Fx.tgz", "does not end in the name of an archive"),
        ("http://me:secret@host/x.tgz", "an address at host holds a user name"),
        ("http://[bad/x.tgz", "not an address"),
    ],
)
def test_bad_addresses(tmp_path, url, message):
    with pytest.raises(SourceError, match=message) as caught:
        download(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        fetch(server, tmp_path / "file/sub")
