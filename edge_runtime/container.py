"""The outer form of a bundle: named sections in one file, each with a checksum.

docs/bundle.md is the specification. All integers are little-endian::

    8 bytes magic | u32 version | u32 section count | u64 file size
    per section: 16 bytes name (ASCII, zero-padded) | u64 offset | u64 size | u32 CRC-32 | u32 zero
    u32 CRC-32 of all bytes before it | u32 zero
    sections, each at a multiple of 64 bytes, zero-padded
"""

import struct
import zlib

from edge_runtime.errors import BundleError

MAGIC = b"\x89EGB\r\n\x1a\n"  # like PNG's: shows text-mode damage and 7-bit channels at once
VERSION = 1
MAX_BYTES = 256 * 2**20
MAX_SECTIONS = 64
ALIGNMENT = 64
_HEADER = struct.Struct("<8sIIQ")
_ENTRY = struct.Struct("<16sQQII")
_CHECK = struct.Struct("<II")


def pack(sections: dict[str, bytes]) -> bytes:
    """Put named sections into one file's bytes."""
    table_end = _HEADER.size + _ENTRY.size * len(sections) + _CHECK.size
    offset, entries, body = _aligned(table_end), b"", bytearray()
    start = offset
    for name, data in sections.items():
        label = name.encode("ascii")
        if not 1 <= len(label) <= 16:
            raise ValueError(f"section name {name!r} must have 1 to 16 characters")
        entries += _ENTRY.pack(label, offset, len(data), zlib.crc32(data), 0)
        padding = _aligned(len(data)) - len(data)
        body += data + bytes(padding)
        offset += len(data) + padding
    head = _HEADER.pack(MAGIC, VERSION, len(sections), start + len(body)) + entries
    head += _CHECK.pack(zlib.crc32(head), 0)
    return head + bytes(start - len(head)) + bytes(body)


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """Take a file's bytes apart; `BundleError` (naming ``name``) where anything is off."""
    if data[: len(MAGIC)] != MAGIC:
        raise BundleError(f"{name}: is no EdgeGlyph bundle (.egb)")
    if len(data) < _HEADER.size:
        raise BundleError(f"{name}: truncated: {len(data)} bytes; copy or compile it again")
    _, version, count, size = _HEADER.unpack_from(data)
    if version != VERSION:
        raise BundleError(
            f"{name}: bundle format {version}, this program reads {VERSION}; "
            "compile the bundle again with the same release"
        )
    if size != len(data):
        raise BundleError(
            f"{name}: {len(data):,} bytes, but its header says {size:,}; it was cut off or "
            "appended to; copy or compile it again"
        )
    if not 1 <= count <= MAX_SECTIONS:
        raise BundleError(f"{name}: {count} sections; 1 to {MAX_SECTIONS} are allowed")
    table_end = _HEADER.size + _ENTRY.size * count
    if table_end + _CHECK.size > len(data):
        raise BundleError(f"{name}: truncated inside its table of sections")
    if _CHECK.unpack_from(data, table_end) != (zlib.crc32(data[:table_end]), 0):
        raise BundleError(f"{name}: its table of sections is damaged")
    sections: dict[str, bytes] = {}
    for i in range(count):
        label, offset, length, crc, zero = _ENTRY.unpack_from(data, _HEADER.size + i * _ENTRY.size)
        section = label.rstrip(b"\0").decode("ascii", "replace")
        if offset % ALIGNMENT or offset < table_end or offset + length > len(data) or zero:
            raise BundleError(f"{name}: section {section!r} lies outside the file")
        if section in sections:
            raise BundleError(f"{name}: section {section!r} occurs twice")
        sections[section] = data[offset : offset + length]
        if zlib.crc32(sections[section]) != crc:
            raise BundleError(f"{name}: section {section!r} is damaged (checksum differs)")
    return sections


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
