"""The sections and symbols of an ELF file: as much as a vendor's artifact needs.

Little-endian files of both classes. The numbers come from strangers, so every offset is checked
before it is used; nothing is loaded or executed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_runtime.errors import InputError

MAGIC = b"\x7fELF"
_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64"}
_NO_BITS = 8  # the type of a section without bytes in the file
_MAX_SECTIONS = 65_536
# Offsets in the file header and formats, by class (1: 32 bits, 2: 64 bits).
_SHOFF = {1: (32, "<I"), 2: (40, "<Q")}
_SHNUM = {1: 48, 2: 60}  # section count, and index of the section of names
# A section's header: name, type, flags, address, offset, size, link, info, alignment, entry size.
_SECTION = {1: struct.Struct("<10I"), 2: struct.Struct("<IIQQQQIIQQ")}
_SYMBOL = {1: struct.Struct("<IIIBBH"), 2: struct.Struct("<IBBHQQ")}


@dataclass(frozen=True)
class Section:
    """A named part of the file; ``data`` is empty where it takes no bytes there."""

    name: str
    data: bytes
    entry_size: int
    link: int


@dataclass(frozen=True)
class Symbol:
    """A name in a symbol table, and the section that it lies in (0: defined elsewhere)."""

    name: str
    value: int
    size: int
    section: int


@dataclass(frozen=True)
class ElfFile:
    """Sections in the file's order, the unnamed first one included."""

    bits: int
    machine: str
    sections: tuple[Section, ...]

    def section(self, name: str) -> bytes | None:
        """Bytes of the first section of that name, None where there is none."""
        return next((s.data for s in self.sections if s.name == name), None)

    def symbols(self, table: str = ".symtab") -> Iterator[Symbol]:
        """Symbols of a table that can be read; none where the file was stripped."""
        form = _SYMBOL[self.bits // 32]
        for section in self.sections:
            if section.name != table or section.link >= len(self.sections):
                continue
            names = self.sections[section.link].data
            whole = len(section.data) // form.size * form.size
            for row in form.iter_unpack(section.data[:whole]):
                name, value, size, at = (
                    (row[0], row[1], row[2], row[5])
                    if self.bits == 32
                    else (row[0], row[4], row[5], row[3])
                )
                yield Symbol(text_at(names, name), value, size, at)


def parse_elf(data: bytes, name: str) -> ElfFile:
    """Read the table of sections.

    Raises
    ------
    InputError
        Naming ``name``, when this is no ELF file, or one that is cut off or damaged.
    """
    if not data.startswith(MAGIC):
        raise InputError(f"{name}: is no ELF file")
    if len(data) < 52 or data[4] not in (1, 2) or data[5] != 1:
        raise InputError(f"{name}: is no little-endian ELF file of 32 or 64 bits, or cut off")
    kind = data[4]
    at, form = _SHOFF[kind]
    try:
        (machine,) = struct.unpack_from("<H", data, 18)
        (table,) = struct.unpack_from(form, data, at)
        count, names_index = struct.unpack_from("<HH", data, _SHNUM[kind])
        rows = _rows(data, table, count, kind)
    except (struct.error, ValueError):
        raise InputError(
            f"{name}: its table of sections lies outside the file; it was cut off or damaged, "
            "copy it again"
        ) from None
    if names_index >= len(rows):
        raise InputError(f"{name}: names no section; it was stripped or damaged")
    names = _bytes(data, rows[names_index], name)
    sections = tuple(
        Section(text_at(names, row[0]), _bytes(data, row, name), row[9], row[6]) for row in rows
    )
    return ElfFile(32 * kind, _MACHINES.get(machine, f"machine {machine}"), sections)


def text_at(strings: bytes, offset: int) -> str:
    """Return the zero-terminated text at an offset of a string section; empty outside of it."""
    end = strings.find(b"\0", offset)
    text = strings[offset : end if end >= 0 else len(strings)].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _rows(data: bytes, table: int, count: int, kind: int) -> list[tuple[int, ...]]:
    form = _SECTION[kind]
    if not 0 < count <= _MAX_SECTIONS or table == 0:
        raise ValueError("no sections")
    return [form.unpack_from(data, table + i * form.size) for i in range(count)]


def _bytes(data: bytes, row: tuple[int, ...], name: str) -> bytes:
    if row[1] in (0, _NO_BITS):
        return b""
    if row[4] + row[5] > len(data):
        raise InputError(
            f"{name}: a section ends at byte {row[4] + row[5]:,}, but the file has {len(data):,}; "
            "it was cut off, copy it again"
        )
    return data[row[4] : row[4] + row[5]]
