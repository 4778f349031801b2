"""Build the on-board program and library: ``python scripts/build_runtime.py BOARD``.

The board's description (edge_runtime/boards/BOARD.toml, table [runtime]) names the target; the
compiler is zig's clang from the PyPI package ziglang, or the system's g++ for the host, or what
--cxx says (a cross GCC, a vendor's SDK). Only what changed is compiled again. Output:
edge_runtime/cpp/build/BOARD/ with edge_classify, edge_bench, libedge_runtime.a and .so.
"""

import argparse
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.board import Board, read_board
from edge_runtime.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
CPP = ROOT / "edge_runtime/cpp"
PROGRAM_ONLY = {"main.cpp", "options.cpp", "bench.cpp", "times.cpp", "backend.cpp"} | {
    *("n2cube.cpp", "n2cube_library.cpp", "elf_exports.cpp", "vart.cpp"),  # DPUs
    *("core.cpp", "core_mapped.cpp", "core_simulated.cpp"),  # the open core
}

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
COMMON = [
    *("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden"),
    *("-ffunction-sections", "-fdata-sections", "-pthread", "-D_FILE_OFFSET_BITS=64", *WARNINGS),
]
SANITIZED = [
    "-DEDGEGLYPH_TEST_BUILD",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]


class BuildError(Exception):
    """What cannot be built, and why, in one line."""


@dataclass(frozen=True)
class Toolchain:
    """Commands and flags of one build.

    sanitize : address and undefined-behaviour sanitizers instead of a stripped program
    libraries : what the program alone is linked to
    vart : flags of vart.cpp alone; none: without the back end vart
    """

    cxx: list[str]
    ar: list[str]
    flags: list[str]
    link: list[str]
    sanitize: bool
    libraries: list[str]
    vart: list[str]

    @property
    def compile_flags(self) -> list[str]:
        """Flags that every source is compiled with."""
        version = re.search(
            r'__version__ = "(.+)"', (ROOT / "edge_runtime/__init__.py").read_text("utf-8")
        )
        if not version:
            raise BuildError("edge_runtime/__init__.py states no __version__")
        defines = [
            f'-DEDGEGLYPH_VERSION="{version[1]}"',
            f"-I{CPP / 'include'}",
            f"-I{CPP / 'src'}",
        ]
        return [*COMMON, *self.flags, *defines, *(SANITIZED if self.sanitize else [])]

    def fingerprint(self) -> str:
        """Hash of all that an object depends on beside its sources."""
        text = "\0".join([*self.cxx, *self.compile_flags])
        return hashlib.sha256(text.encode()).hexdigest()


def toolchain(board: str, cxx: str | None, sanitize: bool, vart: str | None = None) -> Toolchain:
    """Read a board's description and find its compiler."""
    runtime = read_board(board).runtime
    if cxx:
        command = shlex.split(cxx)
        ar = command[0].replace("clang++", "llvm-ar").replace("g++", "ar")
        archiver = [ar if shutil.which(ar) else "ar"]
        flags = runtime.gcc_flags
    elif not runtime.zig_target:
        command, archiver, flags = ["g++"], ["ar"], runtime.gcc_flags
    else:
        if not has_zig():
            raise BuildError(
                f"{board} needs a cross-compiler: pip install 'edgeglyph[runtime]' (zig), or name "
                f"one with CXX, for example CXX={runtime.gcc_triple}-g++"
            )
        zig = [sys.executable, "-m", "ziglang"]
        command, archiver = [*zig, "c++", "-target", runtime.zig_target], [*zig, "ar"]
        flags = runtime.zig_flags
    if not shutil.which(command[0]):
        raise BuildError(f"{command[0]}: no such compiler; install g++, or name one with CXX")
    # zig links its own C++ library statically; GCC is told to, as boards often lack a new one.
    gcc = command[0] != sys.executable and "clang" not in command[0]
    static = ["-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"]
    link = static if gcc and not sanitize and not vart else []
    libraries, vart_flags = ["-ldl"], list[str]()
    if vart:
        if not gcc:
            raise BuildError(
                "VART is built with GCC's C++ library: name the SDK's compiler, "
                f"for example CXX={runtime.gcc_triple or 'aarch64-linux-gnu'}-g++"
            )
        root = Path(vart)
        if not (root / "usr/include/vart/runner.hpp").is_file():
            raise BuildError(f"{root}: no sysroot with VART (lacks usr/include/vart/runner.hpp)")
        vart_flags = ["-DEDGEGLYPH_VART", "-isystem", str(root / "usr/include")]
        libraries += [f"-L{root / 'usr/lib'}", "-lvart-runner", "-lxir"]
    return Toolchain(command, archiver, list(flags), link, sanitize, libraries, vart_flags)


def has_zig() -> bool:
    """Whether the PyPI package ziglang is installed."""
    return importlib.util.find_spec("ziglang") is not None


def find_compilers(board: Board) -> list[str]:
    """Names of the compilers on this machine that build for a board, the default one first."""
    gcc = f"{board.runtime.gcc_triple}-g++".removeprefix("-")
    zig = ["zig"] if board.runtime.zig_target and has_zig() else []
    return [*zig, *([gcc] if shutil.which(gcc) else [])]


def build(
    board: str, cxx: str | None, output: Path, sanitize: bool = False, vart: str | None = None
) -> Path:
    """Build everything for a board into ``output``; return the program's path."""
    tools = toolchain(board, cxx, sanitize, vart)
    objects = output / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    sources = sorted((CPP / "src").glob("*.cpp"))
    benches = sorted((CPP / "bench").glob("*.cpp"))
    changed = _compile(tools, sources + benches, objects)
    compiled = [objects / f"{s.stem}.o" for s in sources]
    library = [str(o) for o, s in zip(compiled, sources, strict=True) if s.name not in PROGRAM_ONLY]
    program = output / "edge_classify"
    bench = output / "edge_bench"
    shared = output / "libedge_runtime.so"
    archive = output / "libedge_runtime.a"
    if changed or not all(made.is_file() for made in (program, bench, shared, archive)):
        strip = [] if sanitize else ["-s", "-Wl,--gc-sections"]
        flags = [*tools.flags, "-pthread", *tools.link, *strip]
        flags += ["-fsanitize=address,undefined"] if sanitize else []
        _replace(program, [*tools.cxx, *map(str, compiled), *flags, *tools.libraries, "-o"])
        measured = [str(objects / f"{s.stem}.o") for s in benches] + library
        _replace(bench, [*tools.cxx, *measured, *flags, "-o"])
        if not sanitize:  # a sanitized library would need its host to be one
            name = ["-shared", "-Wl,-soname,libedge_runtime.so"]
            _replace(shared, [*tools.cxx, *library, *flags, *name, "-o"])
        _replace(archive, [*tools.ar, "rcs"], library)
    return program


def _compile(tools: Toolchain, sources: list[Path], objects: Path) -> bool:
    """Compile what is older than its source, a header or the flags; whether there was any."""
    stamp = objects / "flags"
    if not stamp.is_file() or stamp.read_text() != tools.fingerprint():
        for old in objects.glob("*.o"):
            old.unlink()
        stamp.write_text(tools.fingerprint())
    stamp, wanted = objects / "vart", shlex.join(tools.vart)
    if not stamp.is_file() or stamp.read_text() != wanted:
        (objects / "vart.o").unlink(missing_ok=True)
        stamp.write_text(wanted)
    headers = [h for folder in ("src", "include", "bench") for h in (CPP / folder).glob("*.h")]
    newest = max(h.stat().st_mtime for h in headers)

    def stale(source: Path) -> bool:
        target = objects / f"{source.stem}.o"
        return not target.is_file() or target.stat().st_mtime < max(newest, source.stat().st_mtime)

    todo = [s for s in sources if stale(s)]
    if not todo:
        return False

    def compile_one(source: Path) -> None:
        target = objects / f"{source.stem}.o"
        flags = [*tools.compile_flags, *(tools.vart if source.name == "vart.cpp" else [])]
        _replace(target, [*tools.cxx, *flags, "-c", str(source), "-o"])

    compile_one(todo[0])  # alone: the first use of a zig target builds its C++ library
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, todo[1:]))
    return True


def _replace(target: Path, command: list[str], inputs: list[str] | None = None) -> None:
    """Run a command that writes its last argument, and put the result in place in one step."""
    new = target.with_name(f"{os.getpid()}-{target.name}")  # two builds may run at a time
    line = [*command, str(new), *(inputs or [])]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        new.unlink(missing_ok=True)
        raise BuildError(f"{shlex.join(line)}\n{done.stderr.strip()}")
    new.replace(target)


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="build_runtime", description=__doc__.splitlines()[0])
    parser.add_argument("board", help="a name from edge_runtime/boards")
    parser.add_argument("--cxx", help="compiler with its options instead of zig or g++")
    parser.add_argument(
        "--output", type=Path, help="folder instead of edge_runtime/cpp/build/BOARD"
    )
    parser.add_argument("--sanitize", action="store_true", help="with sanitizers, for tests")
    parser.add_argument(
        "--vart", metavar="SYSROOT", help="build in the back end vart, with this Vitis AI sysroot"
    )
    options = parser.parse_args()
    output = options.output or CPP / "build" / options.board
    try:
        program = build(
            options.board, options.cxx or None, output, options.sanitize, options.vart or None
        )
    except (BuildError, SettingsError) as error:
        print(f"build_runtime: {error}", file=sys.stderr)
        return 2
    print(f"{os.path.relpath(program)}: {program.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
