"""Which rungs there are for a bundle on this machine, and why others are absent."""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_runtime.bundle import read_bundle
from edge_runtime.core_model import library_of
from edge_runtime.errors import InputError
from edge_runtime.native import LIBRARY, is_built
from edge_runtime.programs import Program, find_programs
from edge_runtime.runners import BACKENDS, INTEGER_BACKENDS, TENSORFLOW_BACKENDS, model_beside

# From the bottom up: each compares with the first of its kind that was chosen.
_ORDER: Final = ("checkpoint", "tf-saved-model", "tf", "onnx", "int8", "onnx-int8", "tf-int8")
TITLES: Final = {
    "checkpoint": "float (checkpoint)",
    "tf-saved-model": "float (SavedModel)",
    "tf": "float (frozen graph)",
    "onnx": "float (ONNX Runtime)",
    "int8": "int8 (reference)",
    "onnx-int8": "int8 (ONNX Runtime)",
    "tf-int8": "int8 (TensorFlow)",
    "native": "int8 (C++ library)",
    "core-sim": "int8 (open core, simulated)",
}
_PACKAGES: Final = {"onnx": "onnxruntime", "onnx-int8": "onnxruntime"}
GROUPS: Final = ("all", "float", "integer", "no-tf", "host", "programs")
SILICON: Final = "DPU silicon"


@dataclass(frozen=True)
class Rung:
    """One form of the network, and what runs it.

    bundle : the bundle that it reads;  program : the build of edge_classify that it is, if any
    files : what it runs beside the bundle, for provenance and sizes
    model : in place of the file beside the bundle
    """

    name: str
    title: str
    integer: bool
    bundle: Path
    files: tuple[Path, ...] = ()
    program: Program | None = None
    model: Path | None = None

    @property
    def tensorflow(self) -> bool:
        """Whether running it imports TensorFlow."""
        return self.name in TENSORFLOW_BACKENDS


@dataclass(frozen=True)
class Found:
    """Rungs in the ladder's order, and those that are absent with the reason."""

    rungs: list[Rung]
    absent: dict[str, str]


def find_rungs(bundle: Path, programs: tuple[list[Program], dict[str, str]] | None = None) -> Found:
    """Find every rung that can run for a bundle here."""
    rungs: list[Rung] = []
    absent: dict[str, str] = {}
    for name in _ORDER:
        reason = _lacking(name, bundle)
        if reason:
            absent[name] = reason
        else:
            rungs.append(backend_rung(name, bundle))
    if is_built():
        rungs.append(backend_rung("native", bundle))
    builds, missing = programs or find_programs()
    rungs += [program_rung(program, bundle) for program in builds]
    reason = _lacking_core(bundle)
    if reason:
        missing = missing | {"core-sim": reason}
    else:
        rungs.append(backend_rung("core-sim", bundle))
    return Found(rungs, absent | missing)


def backend_rung(name: str, bundle: Path, model: Path | None = None) -> Rung:
    """Rung of a back end of `edge_runtime.runners`."""
    files: tuple[Path, ...] = ()
    if name == "native":
        files = (LIBRARY,)
    elif name == "core-sim":
        core = read_bundle(bundle).core
        files = (library_of(core.target),) if core else ()
    elif name != "int8":
        files = (model or model_beside(name, bundle),)
    return Rung(name, TITLES[name], name in INTEGER_BACKENDS, bundle, files, model=model)


def program_rung(program: Program, bundle: Path) -> Rung:
    """Rung of a build of edge_classify."""
    return Rung(program.name, program.title, True, bundle, (program.path,), program)


def choose(names: Sequence[str], found: Found) -> list[Rung]:
    """Pick rungs by name and by group (`GROUPS`), in the ladder's order, each once.

    Raises
    ------
    InputError
        A name that there is none of, or one that is absent here: what is asked for is not skipped.
    """
    chosen: set[str] = set()
    for name in names:
        members = _group(name, found.rungs)
        if members is not None:
            chosen.update(members)
        elif name in {rung.name for rung in found.rungs}:
            chosen.add(name)
        elif name in found.absent:
            raise InputError(f"rung {name}: {found.absent[name]}")
        else:
            known = [*GROUPS, *(rung.name for rung in found.rungs)]
            raise InputError(f"no rung {name!r}; there are {', '.join(known)}")
    return [rung for rung in found.rungs if rung.name in chosen]


def _group(name: str, rungs: Iterable[Rung]) -> list[str] | None:
    tests: dict[str, Callable[[Rung], bool]] = {
        "all": lambda rung: True,
        "float": lambda rung: not rung.integer,
        "integer": lambda rung: rung.integer,
        "no-tf": lambda rung: not rung.tensorflow,
        "host": lambda rung: rung.program is None or rung.program.processor == "native",
        "programs": lambda rung: rung.program is not None,
    }
    return [rung.name for rung in rungs if tests[name](rung)] if name in tests else None


def _lacking(name: str, bundle: Path) -> str | None:
    """Why a back end cannot run here; None where it can."""
    if name not in BACKENDS or name == "int8":
        return None
    path = model_beside(name, bundle)
    if not path.exists():
        return f"{path}: no such file"
    package = "tensorflow" if name in TENSORFLOW_BACKENDS else _PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    return None


def _lacking_core(bundle: Path) -> str | None:
    """Why the open core cannot be simulated here; None where it can."""
    core = read_bundle(bundle).core
    if core is None:
        return "the bundle holds no core program: python -m quantize compile --target core128"
    if not library_of(core.target).is_file():
        return f"not built: make core-model CORE={core.target}"
    return None
