"""Board descriptions: one TOML file for each board in ``edge_runtime/boards``, and nothing else.

A new board is a new file. Everything that differs from board to board is a key here: the C++
program's compiler, the DPU and the vendor's flow for it, where things go on the board. Standard
library alone, so that the shell wrappers read boards with any Python from 3.11 on:
``python -m edge_runtime.board zedboard`` prints a line ``key=value`` for each text or number.
"""

import sys
import tomllib
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from edge_runtime.errors import EdgeGlyphError, SettingsError

FOLDER = Path(__file__).resolve().parent / "boards"
ABIS = ("native", "armhf", "aarch64")
FLOWS = ("dnndk", "vitis-ai")


@dataclass(frozen=True)
class Runtime:
    """Compilers of the on-board program.

    zig_target, zig_flags : for zig; without a target the machine's own g++ is used
    gcc_triple, gcc_flags : for GCC and vendors' SDKs
    """

    gcc_flags: tuple[str, ...]
    zig_target: str = ""
    zig_flags: tuple[str, ...] = ()
    gcc_triple: str = ""


@dataclass(frozen=True)
class Dpu:
    """The DPU of a board's usual bitstream, and how the vendor compiles for it.

    target : its size, B512 to B4096
    flow : "dnndk" (decent_q, dnnc, N2Cube) or "vitis-ai" (vai_q, vai_c, VART)
    dcf, dpu, cpu_arch : dnnc's; ``dcf`` is looked for beside the board's file and in the working
        folder, and ``dpu`` taken where it is not found
    arch, fingerprint : vai_c's; ``arch`` a file in the vendor's container, without which one is
        made from the fingerprint
    image : the vendor's container
    """

    target: str
    flow: str
    dcf: str = ""
    dpu: str = ""
    cpu_arch: str = ""
    arch: str = ""
    fingerprint: str = ""
    image: str = ""

    def __post_init__(self) -> None:
        if self.flow not in FLOWS:
            raise SettingsError(f"dpu.flow is {self.flow!r}; there are {', '.join(FLOWS)}")
        needed = ("dpu", "cpu_arch") if self.flow == "dnndk" else ("fingerprint", "image")
        for key in needed:
            if not getattr(self, key):
                raise SettingsError(f"dpu.flow {self.flow!r} needs the key dpu.{key}")
        if self.cpu_arch not in ("", "arm32", "arm64"):
            raise SettingsError(f"dpu.cpu_arch is {self.cpu_arch!r}; there are arm32 and arm64")
        if self.fingerprint:
            check_fingerprint(self.fingerprint, "dpu.fingerprint")


@dataclass(frozen=True)
class Deploy:
    """Where things go on the board: ``folder`` is absolute, and holds a folder per version."""

    folder: str

    def __post_init__(self) -> None:
        if not self.folder.startswith("/") or self.folder == "/":
            raise SettingsError(f"deploy.folder is {self.folder!r}; name a folder, from / on")


@dataclass(frozen=True)
class Board:
    """One board.

    abi : of its programs: "armhf", "aarch64", or "native", that of this machine
    dpu : None where programs run on the CPU alone
    """

    name: str
    title: str
    cpu: str
    abi: str
    runtime: Runtime
    deploy: Deploy
    chip: str = ""
    dpu: Dpu | None = None

    def __post_init__(self) -> None:
        if self.abi not in ABIS:
            raise SettingsError(f"abi is {self.abi!r}; there are {', '.join(ABIS)}")
        if self.abi != "native" and not (self.runtime.zig_target and self.runtime.gcc_triple):
            raise SettingsError(
                f"abi {self.abi!r} needs runtime.zig_target and runtime.gcc_triple to compile for"
            )


def check_fingerprint(text: str, where: str) -> None:
    """Refuse what is no DPU fingerprint: 0x and up to sixteen hexadecimal digits."""
    digits = text.removeprefix("0x")
    if digits == text or not 1 <= len(digits) <= 16 or set(digits) - set("0123456789abcdefABCDEF"):
        raise SettingsError(f"{where} is {text!r}; write it like 0x101000056010407")


def board_names(folder: Path = FOLDER) -> list[str]:
    """Names of all boards."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_board(name: str, folder: Path = FOLDER) -> Board:
    """Read a board's description.

    Raises
    ------
    SettingsError
        No such board, no TOML, a key that is unknown, missing or of another type: one line.
    """
    if name not in board_names(folder):
        raise SettingsError(f"no board {name!r}; there are: {' '.join(board_names(folder))}")
    path = folder / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text("utf-8"))
        board: Board = _build(Board, {"name": name, **values}, "")
        return board
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a TOML file ({error})") from None
    except (SettingsError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _build(kind: type[Any], values: dict[str, Any], where: str) -> Any:
    """Make a dataclass of a table's values, refusing unknown keys, missing ones, other types."""
    known = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in known:
            raise SettingsError(f"no key {where}{key}; there are {', '.join(known)}")
    for name, field in known.items():
        if field.default is MISSING and name not in values:
            raise SettingsError(f"lacks the key {where}{name}")
    return kind(**{k: _value(known[k].type, v, f"{where}{k}") for k, v in values.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, types.UnionType):
        kind = get_args(kind)[0]
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            raise SettingsError(f"{where} must be a table [{where}]")
        return _build(kind, value, f"{where}.")
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SettingsError(f"{where} must be a list of texts, not {value!r}")
        return tuple(value)
    if type(value) is not kind or "\n" in value:
        raise SettingsError(f"{where} must be a text of one line, not {value!r}")
    return value


def lines(board: Board) -> Iterator[str]:
    """Yield ``key=value`` for each key with one value, tables as ``table.key``, for the shell."""

    def of(table: Any, prefix: str) -> Iterator[str]:
        for field in fields(table):
            value = getattr(table, field.name)
            if is_dataclass(value):
                yield from of(value, f"{prefix}{field.name}.")
            elif isinstance(value, str):
                yield f"{prefix}{field.name}={value}"

    yield from of(board, "")


def main() -> int:
    """Print a board's settings for the shell wrappers; without a name, the names of all."""
    try:
        found = lines(read_board(sys.argv[1])) if len(sys.argv) > 1 else board_names()
        print("\n".join(found))
    except EdgeGlyphError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
