"""report.json: all that a report shows, from the files that the stages wrote, with thumbnails.

Its form is `report.schema.json`, JSON Schema 2020-12; SCHEMA changes whenever a reader of the
former form would be wrong. Nothing is measured here.
"""

import base64
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from edge_runtime.alphabet import Alphabet
from edge_runtime.bench.report import SCHEMA as BENCH_SCHEMA
from edge_runtime.bundle import Bundle, read_bundle
from edge_runtime.errors import ImageError, InputError
from edge_runtime.evaluation.provenance import command_line, provenance
from edge_runtime.evaluation.results import SCHEMA as EVALUATION_SCHEMA
from edge_runtime.evaluation.robustness import SCHEMA as ROBUSTNESS_SCHEMA
from edge_runtime.files import sha256_of
from edge_runtime.images import read_gray
from edge_runtime.look_alikes import look_alikes
from edge_runtime.metrics import group_of

SCHEMA: Final = 2
SCHEMA_FILE: Final = Path(__file__).with_name("report.schema.json")
_SIDE: Final = 48  # pixels of a thumbnail's longer side
_AGAIN: Final = "`make evaluate` writes it"
# Figures are of what a board computes wherever it was measured, by the first of these engines.
_INTEGERS: Final = ("int8", "native", "onnx-int8", "tf-int8")


@dataclass(frozen=True)
class Sources:
    """Files that a report is made of; None where there is none.

    evaluation : of `python -m edge_runtime evaluate --json` with several rungs
    robustness : of `python -m edge_runtime robustness`;  quantization : quantization.json
    bench : of `python -m edge_runtime bench`, of this network or of another
    """

    bundle: Path
    evaluation: Path
    robustness: Path | None = None
    quantization: Path | None = None
    bench: Path | None = None


@dataclass
class _Pictures:
    """Images that lists refer to by number, each once."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, shown: dict[str, Any]) -> int:
        """Number of an image that an evaluation shows."""
        path = shown["path"]
        if path not in self.numbers:
            self.numbers[path] = len(self.rows)
            kept = ("path", "label", "source", "height", "width", "contrast")
            thumbnail = _thumbnail(Path(path))
            self.rows.append({key: shown[key] for key in kept} | {"thumbnail": thumbnail})
        return self.numbers[path]

    def answer(self, shown: dict[str, Any]) -> dict[str, Any]:
        """One network's answer to an image, which it names by number."""
        return {"image": self.number(shown), "top": shown["top"], "p_real": shown["p_real"]}


def collect(sources: Sources) -> dict[str, Any]:
    """Put a report's data together.

    Raises
    ------
    InputError
        A file is missing, damaged, of another form, or of another bundle.
    """
    bundle = read_bundle(sources.bundle)
    figures = _read(sources.evaluation, EVALUATION_SCHEMA)
    digest = sha256_of(sources.bundle)
    if figures["bundle_sha256"] != digest:
        raise InputError(f"{sources.evaluation}: is of another bundle; {_AGAIN}")
    if "backends" not in figures:
        raise InputError(f"{sources.evaluation}: is of one network alone; {_AGAIN}")
    robustness = (
        None if sources.robustness is None else _read(sources.robustness, ROBUSTNESS_SCHEMA)
    )
    quantized = None if sources.quantization is None else _read(sources.quantization, None)
    bench = None if sources.bench is None else _read(sources.bench, BENCH_SCHEMA)
    pictures = _Pictures()
    details = {name: _details(one, pictures) for name, one in figures["details"].items()}
    return {
        "schema": SCHEMA,
        "bundle": _bundle(bundle, digest),
        "order": [symbol for group in groups(bundle.alphabet) for symbol in group],
        "groups": groups(bundle.alphabet),
        "summary": _summary(figures),
        "n": figures["n"],
        "splits": figures["splits"],
        "images_sha256": figures.get("images_sha256"),
        "skipped": figures["skipped"],
        "networks": figures["backends"],
        "float_to_int8": figures.get("float_to_int8"),
        "agreement": figures["agreement"],
        "mcnemar": figures["mcnemar"],
        "ladder": figures["ladder"],
        "not_verified": figures["not_verified"],
        "cost": figures.get("cost"),
        "details": details,
        "images": pictures.rows,
        "quantizer": None if quantized is None else _quantizer(quantized),
        "robustness": None if robustness is None else _without(robustness, "provenance"),
        "bench": bench,
        "provenance": {
            "report": provenance(command_line(), [], sources.evaluation),
            "evaluation": figures["provenance"],
            "robustness": None if robustness is None else robustness["provenance"],
            "quantization": _file(sources.quantization),
            "bench": _file(sources.bench),
        },
    }


def groups(alphabet: Alphabet) -> list[list[str]]:
    """Symbols that are taken for one another, as `top1_merged` has them: 0 O o, 1 I i l L, A a."""
    symbols = alphabet.symbols
    found: dict[str, list[str]] = {}
    for number, alike in enumerate(look_alikes(alphabet)):
        first = symbols[alike[0]]
        found.setdefault(group_of(first, look_alikes=True), []).append(symbols[number])
    return list(found.values())


def _file(path: Path | None) -> dict[str, str] | None:
    """Where a part is from that says nothing of it itself."""
    return None if path is None else {"path": str(path), "sha256": sha256_of(path)}


def _read(path: Path, schema: int | None) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {_AGAIN}") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read, or is no JSON; {_AGAIN}") from None
    if not isinstance(found, dict) or (schema is not None and found.get("schema") != schema):
        raise InputError(f"{path}: not of the form that this program reads; {_AGAIN}")
    return found


def _bundle(bundle: Bundle, digest: str) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": bundle.name,
        "sha256": digest,
        "alphabet": list(bundle.alphabet.symbols),
        "layers": len(bundle.network.layers),
        "board": manifest.get("board"),
        "method": manifest.get("method"),
        "temperature": bundle.temperature,
        "threshold_millionths": bundle.threshold,
    }


def _summary(figures: dict[str, Any]) -> dict[str, Any]:
    """What one screen says: how good, whether int8 is safe, how fast, what it confuses."""
    backends = figures["backends"]
    integers = (backends[name] for name in _INTEGERS if name in backends)
    shown = next(integers, next(iter(backends.values())))
    costs = (figures.get("cost") or {}).get("rungs", {})
    fastest = min(costs, key=lambda name: costs[name]["median_ms"], default=None)
    return {
        "network": shown["backend"],
        "accuracy": shown["metrics"]["top1_62"],
        "points_lost": (figures.get("float_to_int8") or {}).get("points"),
        "fastest": None
        if fastest is None
        else {"network": fastest, "median_ms": costs[fastest]["median_ms"]},
        "confusions": shown["confusions"],
        "verified": [row["title"] for row in figures["ladder"]],
        "not_verified": list(figures["not_verified"]),
    }


def _details(one: dict[str, Any], pictures: _Pictures) -> dict[str, Any]:
    cells = [
        cell | {"examples": [pictures.answer(shown) for shown in cell["examples"]]}
        for cell in one["confusion"]
    ]
    lists = {key: [pictures.answer(s) for s in one[key]] for key in ("worst", "ambiguous")}
    return one | lists | {"confusion": cells}


def _quantizer(quantized: dict[str, Any]) -> dict[str, Any]:
    """The layer table: fix points, shifts, and what the analysis found of each."""
    analysis = quantized["analysis"]
    return {
        "method": quantized["method"],
        "logit_errors": quantized["logit_errors"],
        "calibration": quantized["calibration"],
        "layers": [row | {"analysis": analysis.get(row["name"])} for row in quantized["layers"]],
    }


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def _thumbnail(path: Path) -> str | None:
    """A small gray PNG as a data address; None where the image is gone."""
    try:
        picture = Image.fromarray(np.asarray(read_gray(path)))
    except ImageError:
        return None
    picture.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
