"""List the members of a tar or zip archive one after the other, trusting none of them.

Python's own ``extract`` is not used (its data filter is younger than the Pythons that we support):
a member is a checked name and a stream of bytes, and whoever writes it makes a plain file.
"""

import contextlib
import gzip
import io
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from edge_runtime.errors import SourceError

_HEADER_BYTES = 2**20  # a name or a table of attributes that is longer is an attack
_BLOCK = 512
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """One member, whose path stays inside the archive.

    target : what a link names, seen from the archive's root
    open : returns the stream of a file's bytes, to be read before the next member
    """

    path: PurePosixPath
    kind: Literal["file", "folder", "hard link", "link"]
    size: int = 0
    target: PurePosixPath | None = None
    open: Callable[[], IO[bytes]] = io.BytesIO


def members_of_tar(
    archive: Path, stream: IO[bytes], zipped: bool, allowed_bytes: int, too_large: str
) -> Iterator[Member]:
    """Yield the members of a tar; `SourceError` for hostile ones and a missing end.

    Parameters
    ----------
    stream : the opened archive; ``zipped`` where gzip is around the tar
    allowed_bytes : how long the tar may be, ``too_large`` being said where it is longer
    """
    with gzip.open(stream) if zipped else contextlib.nullcontext(stream) as content:
        bounded = _Bounded(cast(IO[bytes], content), allowed_bytes, f"{archive}: {too_large}")
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
                yield _tar_member(archive, tar, info)
        if len(bounded.last_read) < _BLOCK or bounded.last_read.strip(b"\0"):
            raise SourceError(f"{archive}: truncated or damaged archive; download it again")
        while bounded.read(_HEADER_BYTES):  # to the end of gzip, where its checksum is
            pass


def _tar_member(archive: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    path = _inside(archive, info.name, PurePosixPath())
    if info.isdir():
        return Member(path, "folder")
    if info.issym():
        return Member(path, "link", target=_inside(archive, info.linkname, path.parent, path))
    if info.islnk():
        target = _inside(archive, info.linkname, PurePosixPath(), path)
        return Member(path, "hard link", target=target)
    if not info.isreg() or info.issparse():
        raise SourceError(f"{archive}: member {info.name!r} is no plain file, folder or link")
    return Member(path, "file", info.size, None, lambda: cast(IO[bytes], tar.extractfile(info)))


def members_of_zip(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    """Yield the members of a zip; `SourceError` for hostile and encrypted ones."""
    with zipfile.ZipFile(stream) as opened:
        for info in opened.infolist():
            yield _zip_member(archive, opened, info)


def _zip_member(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    path = _inside(archive, info.filename, PurePosixPath())
    mode = info.external_attr >> 16
    if info.flag_bits & 1:
        raise SourceError(f"{archive}: member {info.filename!r} is encrypted; unpack it yourself")
    if info.is_dir():
        return Member(path, "folder")
    if stat.S_ISLNK(mode):
        with opened.open(info) as link:
            name = link.read(4096).decode("utf-8", "replace")
        return Member(path, "link", target=_inside(archive, name, path.parent, path))
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise SourceError(f"{archive}: member {info.filename!r} is no plain file, folder or link")
    return Member(path, "file", info.file_size, None, lambda: opened.open(info))


def _inside(
    archive: Path, name: str, base: PurePosixPath, link: PurePosixPath | None = None
) -> PurePosixPath:
    """Path of a name seen from ``base``; `SourceError` where it leads out of the archive."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # from a tar whose names are in an older encoding
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    what = f"link {str(link)!r} to" if link else "member"
    parts: list[str] = list(base.parts)
    plain = name.replace("\\", "/")
    leads_out = plain.startswith("/") or _DRIVE.match(plain) is not None
    for part in plain.split("/"):
        if part == "..":
            leads_out = leads_out or not parts or link is None
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if leads_out or not plain.isprintable():
        raise SourceError(
            f"{archive}: {what} {name!r} leads out of the archive's folder or is no proper name; "
            "nothing was unpacked"
        )
    return PurePosixPath(*parts)


class _Bounded(io.RawIOBase):
    """A stream that refuses to go beyond a number of bytes, or to read a huge header at once."""

    def __init__(self, inner: IO[bytes], allowed_bytes: int, message: str) -> None:
        self._inner = inner
        self._allowed = allowed_bytes
        self._message = message
        self.last_read = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise SourceError(f"{self._message} (a header of {size:,} bytes)")
        self.last_read = self._inner.read(size)
        self._check(self._inner.tell())
        return self.last_read

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        self._check(position)
        return self._inner.seek(position, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def _check(self, position: int) -> None:
        if position > self._allowed:
            raise SourceError(self._message)
