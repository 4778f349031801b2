"""Download one file that the user named by its address: resumable, checked, remembered."""

import contextlib
import datetime
import logging
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm

from edge_runtime.archives import ARCHIVE_SUFFIXES, is_archive, looks_like_html
from edge_runtime.errors import SourceError
from edge_runtime.files import read_memory, sha256_of, write_json

log = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**30
_CHUNK_BYTES = 2**14  # at most this much of a broken answer is fetched twice
_ATTEMPTS = 5  # in a row that bring nothing
_TIMEOUT_S = (15, 60)  # to connect, between two packets
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class _Version:
    """What tells one version of a remote file from another; the JSON beside a partial file."""

    url: str
    etag: str | None
    last_modified: str | None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> "_Version":
        return cls(url, headers.get("ETag"), headers.get("Last-Modified"))

    @property
    def validator(self) -> str | None:
        """Value of If-Range; a weak ETag does not promise identical bytes."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.last_modified


class _TryAgainError(Exception):
    """The connection broke or the server was busy: another attempt may succeed."""


def download(
    url: str, folder: Path, max_bytes: int = MAX_BYTES, first_pause_s: float = 1.0
) -> Path:
    """Download an archive into ``folder``, or find it there, and return its path.

    A broken download is kept as ``NAME.part`` and continued by the next call where the server still
    has the same file. ``NAME.json`` remembers address, SHA-256, size and date.

    Parameters
    ----------
    url : http:// or https://, ending in the name of an archive
    first_pause_s : seconds before the second attempt; each further pause is twice as long

    Raises
    ------
    SourceError
        Another kind of address, an answer that is no archive, no answer, more than ``max_bytes``.
    """
    path = folder / _file_name(url)
    memory = path.with_name(f"{path.name}.json")
    remembered = read_memory(memory)
    if path.is_file() and remembered.get("url") == url:
        if path.stat().st_size == remembered.get("bytes"):
            log.info("%s: downloaded on %s; remove it to do so again", path, remembered["date"])
            return path
        log.warning("%s: has not the size of what was downloaded; downloading again", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        _fetch_with_retries(url, part, max_bytes, first_pause_s)
    except OSError as error:
        raise SourceError(f"{path}: cannot be written ({error.strerror or error})") from None
    sha256 = sha256_of(part)
    log.info("%s: %s bytes, SHA-256 %s", url, f"{part.stat().st_size:,}", sha256)
    if remembered.get("url") == url and remembered.get("sha256") not in (None, sha256):
        log.warning(
            "%s: is another file than on %s (SHA-256 was %s)",
            url,
            remembered.get("date"),
            remembered["sha256"],
        )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    size = part.stat().st_size
    part.replace(path)
    write_json(memory, {"url": url, "sha256": sha256, "bytes": size, "date": now})
    _version_file(part).unlink(missing_ok=True)
    return path


def _file_name(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username
    except ValueError as error:
        raise SourceError(f"{url}: not an address ({error})") from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise SourceError(f"{url}: only http:// and https:// addresses are downloaded")
    if user is not None:
        raise SourceError(
            f"an address at {host} holds a user name; it would be remembered, so download the "
            "file yourself and name it"
        )
    name = unquote(parts.path.rsplit("/", 1)[-1])
    if not is_archive(Path(name)) or not name.isprintable() or "/" in name or "\\" in name:
        raise SourceError(
            f"{url}: does not end in the name of an archive ({', '.join(ARCHIVE_SUFFIXES)}); "
            "a page about a data set is no data: open it and copy the archive's own address"
        )
    return name


def _fetch_with_retries(url: str, part: Path, max_bytes: int, first_pause_s: float) -> None:
    failures, reached = 0, 0
    while True:
        try:
            _fetch(url, part, max_bytes)
            return
        except _TryAgainError as error:
            size = part.stat().st_size if part.exists() else 0
            failures = 1 if size > reached else failures + 1
            reached = max(size, reached)
            if failures >= _ATTEMPTS:
                raise SourceError(
                    f"{url}: {error}, {_ATTEMPTS} times in a row; the same command goes on from "
                    f"here ({size:,} bytes are kept)"
                ) from None
            log.warning("%s: %s; trying again", url, error)
            time.sleep(first_pause_s * 2 ** (failures - 1))


def _fetch(url: str, part: Path, max_bytes: int) -> None:
    """Bring ``part`` to its full length, in one request; go on where an earlier one ended."""
    known = _known_version(part, url)
    have = part.stat().st_size if known else 0
    headers = {"Accept-Encoding": "identity"}
    if known and known.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    with _answer(url, headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if known and _Version.of(url, response.headers) == known and have == _total(response):
                return
            part.unlink(missing_ok=True)
            raise _TryAgainError("the file there has changed since the download began")
        _check_answer(url, response)
        version = _Version.of(url, response.headers)
        total = _total(response)
        if response.status_code == requests.codes.partial_content:
            if version != known or _start(response) != have:
                part.unlink(missing_ok=True)
                raise _TryAgainError("the file there has changed since the download began")
        else:
            if have:
                log.warning("%s: has changed or cannot be continued; from the beginning", url)
            have = 0
            part.unlink(missing_ok=True)
            write_json(_version_file(part), asdict(version))
        _check_room(url, part, have, total, max_bytes)
        _append(url, response, part, have, total, max_bytes)


def _append(
    url: str,
    response: requests.Response,
    part: Path,
    have: int,
    total: int | None,
    max_bytes: int,
) -> None:
    bar = tqdm(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None)
    with bar, part.open("ab") as output, _network_errors():
        for chunk in response.iter_content(_CHUNK_BYTES):
            if have == 0 and looks_like_html(chunk):
                output.close()
                part.unlink()
                _refuse_html(url)
            have += len(chunk)
            if have > max_bytes:
                output.close()
                part.unlink()
                raise SourceError(f"{url}: is over the limit of {max_bytes:,} bytes")
            output.write(chunk)
            bar.update(len(chunk))
    if total is not None and have != total:
        raise _TryAgainError(f"the connection ended after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _answer(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    try:
        with _network_errors():
            response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S)
    except requests.exceptions.SSLError as error:
        raise SourceError(f"{url}: no secure connection ({_cause(error)})") from None
    except requests.RequestException as error:
        raise SourceError(f"{url}: cannot be downloaded ({_cause(error)})") from None
    with response:
        if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
            raise SourceError(f"{url}: sends on to an insecure address, {response.url}")
        yield response


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except requests.exceptions.SSLError:
        raise
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        raise _TryAgainError(f"the connection failed ({_cause(error)})") from None


def _cause(error: BaseException) -> str:
    """Name the innermost reason, in one line and without addresses of Python objects."""
    while (inner := error.__context__ or error.__cause__) is not None:
        error = inner
    return re.sub(r"<[^>]*>:? ?|\s+", " ", str(error)).strip() or type(error).__name__


def _check_answer(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in _TRY_AGAIN:
        raise _TryAgainError(f"the server answers {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise SourceError(
            f"{url}: the server answers {status} {response.reason}; check the address"
        )
    content_type = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if content_type in ("text/html", "application/xhtml+xml"):
        _refuse_html(url)


def _refuse_html(url: str) -> None:
    raise SourceError(
        f"{url}: answers an HTML page, not an archive; open it in a browser and copy the "
        "archive's own address, or download it there and name the file"
    )


def _check_room(url: str, part: Path, have: int, total: int | None, max_bytes: int) -> None:
    if total is None:
        return
    if total > max_bytes:
        raise SourceError(f"{url}: {total:,} bytes is over the limit of {max_bytes:,}")
    free = shutil.disk_usage(part.parent).free
    if total - have > free:
        raise SourceError(f"{part.parent}: {total - have:,} bytes are needed and {free:,} are free")


def _total(response: requests.Response) -> int | None:
    """Length of the whole remote file, where the answer says it."""
    whole = re.fullmatch(r"bytes .*/(\d+)", response.headers.get("Content-Range", ""))
    if whole:
        return int(whole[1])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and response.status_code == requests.codes.ok else None


def _start(response: requests.Response) -> int | None:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known_version(part: Path, url: str) -> _Version | None:
    """Version that a partial file belongs to; None where it cannot be continued."""
    known = read_memory(_version_file(part))
    if not part.is_file() or known.get("url") != url:
        return None
    return _Version(url, known.get("etag"), known.get("last_modified"))
