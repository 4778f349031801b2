"""HTTP for the page, on this computer alone.

Any page that a browser has open may send requests to 127.0.0.1, and a name of anyone's may be made
to point there (DNS rebinding). So the Host must be this computer's own name, a request from another
site is refused, sizes and times are limited, and nothing but the page and two answers is served.
"""

import json
import re
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edge_runtime import __version__
from edge_runtime.demo.answers import Answers
from edge_runtime.demo.page import build_page
from edge_runtime.errors import InputError

MOST_BYTES = 16 * 2**20
_MOST_WAITING = 8  # requests at once
_PATIENCE_S = 15
_DRAINED = 4 * MOST_BYTES
_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")  # any port: ssh -L
_LENGTH = re.compile(r"[0-9]{1,12}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):  # noqa: N818 - an answer to give, not an error of ours
    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class DemoServer(ThreadingHTTPServer):
    """Serves one recognizer's page; port 0 takes a free one.

    Raises
    ------
    InputError
        The port cannot be had.
    """

    daemon_threads = True

    def __init__(self, answers: Answers, backend: str, port: int) -> None:
        self.answers = answers
        self.page, self.policy = build_page(answers.recognizer, backend, MOST_BYTES)
        self.room = threading.BoundedSemaphore(_MOST_WAITING)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"port {port} cannot be had ({reason}); name another with --port, 0 takes any"
            ) from None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that hang up; all else is our mistake and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    timeout = _PATIENCE_S
    server_version = f"EdgeGlyph/{__version__}"
    sys_version = ""
    _read = False  # whether the request's body was

    def do_GET(self) -> None:
        self._guarded(self._page)

    def do_POST(self) -> None:
        self._guarded(self._answer)

    def _guarded(self, respond: Callable[[], None]) -> None:
        try:
            self._check_origin()
            respond()
        except _Refused as refused:
            self._drain()
            self._send_json(refused.status, {"error": refused.line})

    def _check_origin(self) -> None:
        """Refuse what another name, or another site's page, asks for."""
        host = self.headers.get("Host", "")
        if not _OWN_NAME.fullmatch(host):
            raise _Refused(
                HTTPStatus.MISDIRECTED_REQUEST, f"this page is at {self.server.address} alone"
            )
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site")
        if origin not in (None, f"http://{host}") or site in ("cross-site", "same-site"):
            # A link to the page from elsewhere is fine; questions from elsewhere are not.
            if self.command == "GET" and self.headers.get("Sec-Fetch-Mode") == "navigate":
                return
            raise _Refused(HTTPStatus.FORBIDDEN, "another site's page may not ask here")

    def _page(self) -> None:
        if self.path.partition("?")[0] != "/":
            raise _Refused(HTTPStatus.NOT_FOUND, "there is one page here: /")
        self._send(
            HTTPStatus.OK,
            "text/html; charset=utf-8",
            self.server.page,
            {"Content-Security-Policy": self.server.policy},
        )

    def _answer(self) -> None:
        answers = self.server.answers
        questions = {
            "/classify": ("application/octet-stream", answers.of_image),
            "/draw": ("application/json", answers.of_drawing),
        }
        if self.path not in questions:
            raise _Refused(HTTPStatus.NOT_FOUND, "questions go to /classify or /draw")
        kind, answer = questions[self.path]
        if self.headers.get("Content-Type") != kind:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{self.path} takes {kind}")
        if not self.server.room.acquire(blocking=False):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy with other images; try again")
        try:
            found = answer(self._body())
        except InputError as error:  # an answer too, as a line of `classify --json` is
            found = {"error": str(error)}
        finally:
            self.server.room.release()
        self._send_json(HTTPStatus.OK, found)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "a request says its length")
        if int(length) > MOST_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the picture is over the limit of {MOST_BYTES // 2**20} MiB",
            )
        body = self.rfile.read(int(length))
        self._read = True
        if len(body) < int(length):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request was cut off")
        return body

    def _drain(self) -> None:
        """Read what is left of a request: a connection closed before loses the answer."""
        length = self.headers.get("Content-Length", "")
        left = min(int(length), _DRAINED) if _LENGTH.fullmatch(length) else 0
        while not self._read and left > 0 and (part := self.rfile.read(min(left, 2**16))):
            left -= len(part)

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        data = json.dumps(value, ensure_ascii=False).encode("utf-8")
        self._send(status, "application/json; charset=utf-8", data, {})

    def _send(self, status: HTTPStatus, kind: str, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: a stroke is several requests."""
