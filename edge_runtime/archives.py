"""Unpack an archive of images once, safely, into a cache folder named after its content.

An archive may come from anywhere, so nothing in it is trusted: only plain files and folders are
made, below one fresh folder, within stated limits, and the folder gets its name when complete.
"""

import datetime
import gzip
import logging
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from edge_runtime.archive_members import Member, members_of_tar, members_of_zip
from edge_runtime.errors import SourceError
from edge_runtime.files import read_memory, replacing_folder, sha256_of, write_json

log = logging.getLogger(__name__)

ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar", ".zip")
_MIB = 2**20
_CHUNK_BYTES = _MIB
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    struct.error,
    ValueError,
)
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; the official ones stay far below.

    ratio : unpacked bytes for each byte of the archive, looked at beyond 64 MiB
    """

    members: int = 500_000
    member_bytes: int = 2**30
    total_bytes: int = 16 * 2**30
    ratio: int = 200

    def total_of(self, archive_bytes: int) -> int:
        """Bytes that an archive of this size may unpack to."""
        return min(self.total_bytes, max(64 * _MIB, self.ratio * archive_bytes))

    def too_large(self, archive_bytes: int) -> str:
        """Say that the limit of `total_of` was reached, and where it comes from."""
        return (
            f"unpacks to more than {self.total_of(archive_bytes):,} bytes; the limits are "
            f"{self.total_bytes:,} bytes and, beyond 64 MiB, {self.ratio} times the archive's size"
        )


def default_cache() -> Path:
    """Return ``$XDG_CACHE_HOME/edgeglyph``, or ``~/.cache/edgeglyph`` where that is not set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "edgeglyph"


def is_archive(path: Path) -> bool:
    """Whether a file's name says that it is an archive which `unpack` takes."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def looks_like_html(first_bytes: bytes) -> bool:
    """Whether a file's first bytes are those of a web page."""
    return _HTML.match(first_bytes.removeprefix(b"\xef\xbb\xbf")) is not None


def unpack(archive: Path, cache: Path | None = None, limits: Limits | None = None) -> Path:
    """Unpack an archive into the cache, or find it there, and return its folder.

    The folder is named after the archive and its SHA-256; a JSON file beside it remembers both.

    Parameters
    ----------
    archive : a .tgz, .tar.gz, .tar or .zip file
    cache : folder of unpacked archives; `default_cache` by default

    Raises
    ------
    SourceError
        No archive, a damaged one, one that leads out of its folder or goes beyond a limit. Nothing
        half-unpacked is left behind.
    """
    cache = cache or default_cache()
    limits = limits or Limits()
    kind = _kind(archive)
    sha256 = sha256_of(archive)
    log.info("%s: SHA-256 %s", archive, sha256)
    stem = next(archive.name[: -len(s)] for s in ARCHIVE_SUFFIXES if _ends_with(archive, s))
    folder = cache / f"{stem}-{sha256[:12]}"
    memory = cache / f"{folder.name}.json"
    if _is_complete(folder, memory, sha256):
        log.info("%s: unpacked before in %s", archive.name, folder)
        return folder
    _compare_with_memory(archive, cache, stem, sha256)
    with replacing_folder(folder) as temporary:
        files, size = _write_members(archive, kind, temporary, limits)
    write_json(
        memory,
        {
            "archive": archive.name,
            "sha256": sha256,
            "bytes": archive.stat().st_size,
            "files": files,
            "unpacked_bytes": size,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        },
    )
    log.info("%s: %s files unpacked into %s", archive.name, f"{files:,}", folder)
    return folder


def _ends_with(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)


def _kind(archive: Path) -> str:
    """``gzip``, ``tar`` or ``zip`` from the content; it must agree with the file's name."""
    if not is_archive(archive):
        raise SourceError(f"{archive}: an archive's name ends in {', '.join(ARCHIVE_SUFFIXES)}")
    try:
        with archive.open("rb") as stream:
            start = stream.read(1024)
    except OSError as error:
        raise SourceError(f"{archive}: cannot be read ({error.strerror})") from None
    if not start:
        raise SourceError(f"{archive}: the file is empty (0 bytes); download it again")
    if looks_like_html(start):
        raise SourceError(
            f"{archive}: is an HTML page, not an archive; open it in a browser to see what the "
            "server answered, and download the archive itself"
        )
    kind = kind_of_content(start)
    named = {".zip": "zip", ".tar": "tar"}.get(archive.suffix.lower(), "gzip")
    if kind is None:
        raise SourceError(f"{archive}: is not a {named} archive, nor any that we know")
    if kind != named:
        right = {"gzip": ".tgz", "tar": ".tar", "zip": ".zip"}[kind]
        raise SourceError(f"{archive}: its content is {kind}, so its name must end in {right}")
    return kind


def kind_of_content(start: bytes) -> str | None:
    """``gzip``, ``tar``, ``zip`` or None from a file's first 512 bytes."""
    if start.startswith(b"\x1f\x8b"):
        return "gzip"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if start[257:262] == b"ustar" else None


def _is_complete(folder: Path, memory: Path, sha256: str) -> bool:
    remembered = read_memory(memory)
    if not folder.is_dir() or remembered.get("sha256") != sha256:
        return False
    found = sum(len(files) for _, _, files in os.walk(folder))
    if found == remembered.get("files"):
        return True
    log.warning("%s: holds %d files, not as unpacked; unpacking again", folder, found)
    return False


def _compare_with_memory(archive: Path, cache: Path, stem: str, sha256: str) -> None:
    """Say so where an archive of this name had another content before."""
    if not cache.is_dir():
        return
    for path in sorted(cache.iterdir()):
        if path.suffix != ".json" or not path.name.startswith(f"{stem}-"):
            continue
        earlier = read_memory(path)
        if earlier.get("archive") == archive.name and earlier.get("sha256") not in (None, sha256):
            log.warning(
                "%s: has another content than on %s (SHA-256 was %s, is %s)",
                archive,
                earlier.get("date"),
                earlier["sha256"],
                sha256,
            )


def _write_members(archive: Path, kind: str, folder: Path, limits: Limits) -> tuple[int, int]:
    """Write all plain files below ``folder``; return their number and their bytes."""
    archive_bytes = archive.stat().st_size
    writer = _Writer(archive, folder, limits, limits.total_of(archive_bytes))
    try:
        with archive.open("rb") as stream, _progress(archive_bytes) as bar:
            for number, member in enumerate(_members(archive, kind, stream, limits), start=1):
                if number > limits.members:
                    raise SourceError(f"{archive}: more than {limits.members:,} members, the limit")
                writer.write(member)
                bar.update(max(0, stream.tell() - bar.n))
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise SourceError(
            f"{archive}: truncated or damaged archive ({reason}); download it again"
        ) from None
    if writer.links:
        log.info("%s: %d links inside the archive are left out", archive.name, writer.links)
    return len(writer.written), writer.size


def _members(archive: Path, kind: str, stream: IO[bytes], limits: Limits) -> Iterator[Member]:
    if kind == "zip":
        return members_of_zip(archive, stream)
    size = archive.stat().st_size
    return members_of_tar(
        archive, stream, kind == "gzip", limits.total_of(size), limits.too_large(size)
    )


def _progress(size: int) -> "tqdm[Any]":
    return tqdm(desc="unpack", total=size, unit="B", unit_scale=True, disable=None, leave=False)


@dataclass
class _Writer:
    """Makes plain files below one folder, as many bytes as are allowed.

    written : paths of the files so far;  size : their bytes;  links : how many were left out
    """

    archive: Path
    folder: Path
    limits: Limits
    allowed_bytes: int
    written: set[PurePosixPath] = field(default_factory=set)
    size: int = 0
    links: int = 0

    def write(self, member: Member) -> None:
        where = f"{self.archive}: member {str(member.path)!r}"
        is_link = member.kind in ("link", "hard link")
        known = member.kind == "hard link" and member.target in self.written
        if member.kind == "folder" or _is_litter(member.path):
            return
        if is_link and not known:
            self.links += 1
            return
        target = self.folder / member.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source = (self.folder / str(member.target)).open("rb") if known else member.open()
            with source, target.open("wb") as output:
                self._copy(source, output, None if known else member.size, where)
        except gzip.BadGzipFile:
            raise
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise SourceError(f"{where} is both a folder and a file: damaged archive") from None
        except OSError as error:
            raise SourceError(f"{where} cannot be written ({error.strerror or error})") from None
        self.written.add(member.path)

    def _copy(self, source: IO[bytes], output: IO[bytes], size: int | None, where: str) -> None:
        limit = self.limits.member_bytes
        if size is not None and size > limit:
            raise SourceError(f"{where} has {size:,} bytes, over the limit of {limit:,}")
        copied = 0
        while chunk := source.read(_CHUNK_BYTES):
            copied += len(chunk)
            self.size += len(chunk)
            if self.size > self.allowed_bytes:
                message = self.limits.too_large(self.archive.stat().st_size)
                raise SourceError(f"{self.archive}: {message}")
            output.write(chunk)
        if size is not None and copied != size:
            raise SourceError(f"{where} ends after {copied:,} of {size:,} bytes: truncated archive")


def _is_litter(path: PurePosixPath) -> bool:
    """Whether a file is what macOS puts into archives beside the files that were meant."""
    return "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store"
