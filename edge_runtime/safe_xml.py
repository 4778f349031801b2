"""Parse small XML files that nobody vouches for: no DOCTYPE, hence no entities of their own."""

import logging
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from edge_runtime.errors import SourceError

log = logging.getLogger(__name__)

MAX_XML_BYTES = 64 * 2**20
_LATIN_1 = "iso-8859-1"
_OnDeclaration = Callable[[str, str | None, int], None]


def parse_xml(path: Path) -> ElementTree.Element:
    """Parse an XML file and return its root.

    A file that says (or, saying nothing, means) UTF-8 but is not is read as ISO-8859-1, with a
    warning: files of data sets are often labeled wrongly.

    Raises
    ------
    SourceError
        Missing, too large, a DOCTYPE (which may hold entities), another encoding than it says, or
        not well-formed; the message has the line.
    """
    try:
        size = path.stat().st_size
        if size > MAX_XML_BYTES:
            raise SourceError(f"{path}: {size:,} bytes is over the limit of {MAX_XML_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    encoding = _look_through(path, data)
    parser = ElementTree.XMLParser(encoding=encoding)
    parser.feed(data)
    root: ElementTree.Element = parser.close()
    return root


def _look_through(path: Path, data: bytes) -> str | None:
    """Return the encoding to use instead of the declared one, or None, once all is well."""
    declared: list[str | None] = [None]

    def on_declaration(version: str, encoding: str | None, standalone: int) -> None:
        declared[0] = encoding

    try:
        _check(path, data, None, on_declaration)
        return None
    except expat.ExpatError as error:
        says_utf_8 = (declared[0] or "utf-8").lower() in ("utf-8", "utf8")
        if not says_utf_8 or _is_utf_8(data) or b"\0" in data:
            _refuse(path, error)
    try:
        _check(path, data, _LATIN_1, on_declaration)
    except expat.ExpatError as error:
        _refuse(path, error)
    log.warning("%s: is not UTF-8 as it says; read as ISO-8859-1", path)
    return _LATIN_1


def _check(path: Path, data: bytes, encoding: str | None, on_declaration: _OnDeclaration) -> None:
    def on_doctype(*_: object) -> None:
        raise SourceError(f"{path}: has a DOCTYPE, which we do not trust; remove it from the file")

    parser = expat.ParserCreate(encoding)
    parser.XmlDeclHandler = on_declaration
    parser.StartDoctypeDeclHandler = on_doctype
    try:
        parser.Parse(data, True)
    except (LookupError, ValueError) as error:  # from Python's table of encodings
        raise SourceError(f"{path}: {error}; save it as UTF-8") from None


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse(path: Path, error: expat.ExpatError) -> NoReturn:
    raise SourceError(
        f"{path}:{error.lineno}: not well-formed XML, or not in the encoding that it says "
        f"({expat.ErrorString(error.code)})"
    ) from None
