"""Archives, honest and hostile. Python's own tarfile and zipfile write them."""

import contextlib
import gzip
import io
import json
import logging
import os
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.archives import Limits, default_cache, looks_like_html, unpack
from edge_runtime.errors import SourceError

FILES = {
    "English/Img/a.png": b"first",
    "English/Img/with space é.png": b"second" * 100,
    "English/empty.png": b"",
}


def entry(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(data)


def write_tar(path, *entries):
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as tar:
        for info, data in entries:
            tar.addfile(info, data)
    return path


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def honest(path):
    if path.suffix == ".zip":
        return write_zip(path, FILES)
    return write_tar(path, *(entry(name, data) for name, data in FILES.items()))


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def assert_refused(archive, cache, message, limits=None):
    with pytest.raises(SourceError, match=message) as caught:
        unpack(archive, cache, limits)
    assert "\n" not in str(caught.value)
    assert archive.name in str(caught.value)
    assert not cache.exists() or list(cache.iterdir()) == []  # nothing half-written
    assert not (cache.parent / "outside").exists()


@pytest.mark.parametrize("name", ["Some Imgs.tgz", "x.tar.gz", "x.tar", "X.ZIP", "x.zip"])
def test_unpacked_once_and_remembered(tmp_path, name, caplog):
    caplog.set_level(logging.INFO)
    archive = honest(tmp_path / name) if name != "X.ZIP" else write_zip(tmp_path / name, FILES)
    folder = unpack(archive, tmp_path / "cache")
    assert content(folder) == FILES
    memory = json.loads(folder.with_name(f"{folder.name}.json").read_text())
    assert memory["archive"] == name
    assert folder.name.endswith(memory["sha256"][:12])
    assert memory["sha256"] in caplog.text
    assert (memory["files"], memory["unpacked_bytes"]) == (3, 605)
    inode = folder.stat().st_ino
    assert unpack(archive, tmp_path / "cache").stat().st_ino == inode
    (folder / "English/Img/a.png").unlink()
    assert content(unpack(archive, tmp_path / "cache")) == FILES  # made whole again


def test_another_content_under_the_same_name_is_said(tmp_path, caplog):
    archive = honest(tmp_path / "x.zip")
    first = unpack(archive, tmp_path / "cache")
    write_zip(archive, {"b.png": b"new"})
    assert unpack(archive, tmp_path / "cache") != first
    assert "has another content than on" in caplog.text


@pytest.mark.parametrize(
    "name", ["../outside/a.png", "a/../../outside", "/outside/a.png", "C:\\outside", "..\\outside"]
)
@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_names_that_lead_out(tmp_path, name, kind):
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        write_zip(archive, {"a.png": b"", name: b""})
    else:
        write_tar(archive, entry("a.png"), entry(name))
    assert_refused(archive, tmp_path / "cache", "leads out of the archive's folder")


@given(st.text(alphabet="ab./\\: \n\0", min_size=1, max_size=12))
def test_no_name_is_ever_written_outside(tmp_path_factory, name):
    root = tmp_path_factory.mktemp("any")
    archive = write_tar(root / "x.tar", entry(name, b"x"))
    with contextlib.suppress(SourceError):
        unpack(archive, root / "one/cache")
    outside = [p for p in root.rglob("*") if root / "one/cache" not in [p, *p.parents]]
    assert sorted(p.name for p in outside) == ["one", "x.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside"])
def test_links_that_lead_out(tmp_path, kind, target):
    archive = write_tar(tmp_path / "x.tgz", entry("link", type=kind, linkname=target))
    assert_refused(archive, tmp_path / "cache", "link 'link' to .* leads out")


def test_a_zip_link_that_leads_out(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "../../outside")
    assert_refused(tmp_path / "x.zip", tmp_path / "cache", "link 'link' to .* leads out")


def test_links_inside_are_copied_or_left_out(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    archive = write_tar(
        tmp_path / "x.tar",
        entry("a/one.png", b"1"),
        entry("b/hard.png", type=tarfile.LNKTYPE, linkname="a/one.png"),
        entry("b/soft.png", type=tarfile.SYMTYPE, linkname="../a/one.png"),
    )
    folder = unpack(archive, tmp_path / "cache")
    assert content(folder) == {"a/one.png": b"1", "b/hard.png": b"1"}
    assert not (folder / "b/hard.png").is_symlink()
    assert "1 links inside" in caplog.text


def test_a_file_through_a_link_stays_inside(tmp_path):
    archive = write_tar(
        tmp_path / "x.tar",
        entry("sub", type=tarfile.DIRTYPE),
        entry("sub/up", type=tarfile.SYMTYPE, linkname="."),
        entry("sub/up/a.png", b"1"),
    )
    folder = unpack(archive, tmp_path / "cache")
    assert content(folder) == {"sub/up/a.png": b"1"}
    assert not (folder / "sub/up").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path, kind):
    archive = write_tar(tmp_path / "x.tar", entry("dev", type=kind))
    assert_refused(archive, tmp_path / "cache", "'dev' is no plain file, folder or link")


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_limits_are_stated(tmp_path, kind):
    files = {f"{i}.png": bytes(1000) for i in range(20)}
    archive = tmp_path / f"x.{kind}"
    if kind == "zip":
        write_zip(archive, files)
    else:
        write_tar(archive, *(entry(*item) for item in files.items()))
    cache = tmp_path / "cache"
    assert_refused(archive, cache, "more than 19 members, the limit", Limits(members=19))
    assert_refused(archive, cache, "1,000 bytes, over the limit of 999", Limits(member_bytes=999))
    assert_refused(archive, cache, "more than 19,999 bytes", Limits(total_bytes=19_999))


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_a_bomb(tmp_path, kind):
    archive = tmp_path / f"bomb.{kind}"
    zeros = bytes(80 * 2**20)
    if kind == "zip":
        write_zip(archive, {"zeros.png": zeros})
    else:
        write_tar(archive, entry("zeros.png", zeros))
    assert archive.stat().st_size < 10**6
    assert_refused(archive, tmp_path / "cache", "beyond 64 MiB, 200 times the archive's size")


def test_a_huge_header_is_not_read(tmp_path):
    archive = tmp_path / "x.tgz"
    header = tarfile.TarInfo("name")
    header.type = tarfile.GNUTYPE_LONGNAME
    header.size = 60 * 2**20
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(header.size), 1))
    assert_refused(archive, tmp_path / "cache", "header of 62,914,560 bytes")


@pytest.mark.parametrize("name", ["x.tgz", "x.tar", "x.zip"])
def test_every_truncation_is_noticed(tmp_path, name):
    entries = {f"{i}.png": os.urandom(700) for i in range(4)}
    archive = tmp_path / name
    if name == "x.zip":
        write_zip(archive, entries)
    else:
        write_tar(archive, *(entry(*item) for item in entries.items()))
    whole = archive.read_bytes()
    # A tar's end is padded with zeros up to 10,240 bytes: cut within what counts.
    end = 4 * (512 + 1024) if name == "x.tar" else len(whole) - 1
    for length in range(300, end + 1, 97):
        archive.write_bytes(whole[:length])
        assert_refused(archive, tmp_path / "cache", "truncated|no such|not a|is not")


def test_a_damaged_member(tmp_path):
    archive = write_tar(tmp_path / "x.tar", entry("a.png", b"1"), entry("b.png", b"2"))
    data = bytearray(archive.read_bytes())
    data[1024:1030] = b"XXXXXX"  # the second header
    archive.write_bytes(data)
    assert_refused(archive, tmp_path / "cache", "truncated or damaged")


def test_an_encrypted_zip(tmp_path):
    archive = write_zip(tmp_path / "x.zip", {"a.png": b"1"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert_refused(archive, tmp_path / "cache", "is encrypted")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.tgz", b"\n <!DOCTYPE html><html>404</html>", "is an HTML page, not an archive"),
        ("x.zip", b"<!-- a --><HTML>", "is an HTML page"),
        ("x.tgz", b"hello, this is text", "is not a gzip archive"),
        ("x.zip", gzip.compress(b"x"), r"its content is gzip, so its name must end in \.tgz"),
        ("x.tgz", b"PK\x03\x04 and more", r"its content is zip, so its name must end in \.zip"),
        ("x.tgz", b"", "is empty"),
        ("x.rar", b"Rar!", r"name ends in \.tgz"),
    ],
)
def test_no_archive_at_all(tmp_path, name, data, message):
    archive = tmp_path / name
    archive.write_bytes(data)
    assert_refused(archive, tmp_path / "cache", message)


def test_a_missing_archive(tmp_path):
    assert_refused(tmp_path / "none.tgz", tmp_path / "cache", "No such file")


def test_what_macos_adds_is_left_out(tmp_path):
    files = {"a.png": b"1", "__MACOSX/._a.png": b"2", "._a.png": b"3"}
    assert content(unpack(write_zip(tmp_path / "x.zip", files), tmp_path / "c")) == {"a.png": b"1"}


def test_a_file_that_is_a_folder_too(tmp_path):
    archive = write_tar(tmp_path / "x.tar", entry("a", b"1"), entry("a/b", b"2"))
    assert_refused(archive, tmp_path / "cache", "both a folder and a file")


def test_the_cache_follows_the_convention(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "edgeglyph"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache/edgeglyph"


def test_pictures_are_no_web_pages():
    assert not looks_like_html(b"\x89PNG\r\n<html>")
    assert looks_like_html(b"\xef\xbb\xbf<!doctype HTML>")
