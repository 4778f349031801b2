"""The bundle: ONE file with everything that a board needs to classify, and to prove that it can.

Sections (docs/bundle.md): ``manifest`` and ``layers`` in JSON, ``weights`` as int8, ``scores`` as
u64, ``golden`` vectors, ``checks``, and where a compiler made one, a vendor's kernel (``dpu``) or a
program for the open core (``core``).
"""

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import container, integer, preprocess
from edge_runtime.alphabet import Alphabet
from edge_runtime.bundle_checks import (
    MAX_GOLDEN,
    MAX_JSON_DEPTH,
    MAX_JSON_KEYS,
    Checks,
    check_limits,
    check_plain,
    check_scores,
    score_bytes,
)
from edge_runtime.core_section import CoreImage
from edge_runtime.dpu_kernel import DpuKernel
from edge_runtime.errors import BundleError, EdgeGlyphError, VerificationError
from edge_runtime.files import write_bytes
from edge_runtime.layer_rows import layer_of, row_of
from edge_runtime.layers import Conv, Int8, IntegerNetwork, Layer
from edge_runtime.scores import ScoreTable, WideScoreTable

_COUNT = struct.Struct("<I")


@dataclass(frozen=True)
class GoldenVectors:
    """Inputs with what every layer must make of them.

    inputs : int8 [N, height, width, channels];  checksums : [N][layers] CRC-32 of the outputs
    logits : int8 or int32 [N, classes]
    """

    inputs: Int8
    checksums: tuple[tuple[int, ...], ...]
    logits: integer.Logits

    @classmethod
    def record(cls, network: IntegerNetwork, inputs: Int8) -> "GoldenVectors":
        """Run the reference on ``inputs`` and keep what it says."""
        sums = tuple(
            tuple(integer.checksums(network, inputs[i : i + 1])) for i in range(len(inputs))
        )
        return cls(inputs, sums, integer.run(network, inputs))


@dataclass(frozen=True)
class Bundle:
    """A compiled classifier.

    checks : checksums of what was compiled; taken of this bundle where none are given
    manifest : provenance and settings as JSON values; see docs/bundle.md for its keys
    dpu : the vendor compiler's kernel for one board's DPU, or None
    core : program and weights for the open core, or None
    """

    name: str
    alphabet: Alphabet
    network: IntegerNetwork
    scores: ScoreTable | WideScoreTable
    golden: GoldenVectors
    checks: Checks | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    dpu: DpuKernel | None = None
    core: CoreImage | None = None

    def __post_init__(self) -> None:
        classes = self.golden.logits.shape[-1]
        if len(self.alphabet) != classes:
            raise ValueError(f"{len(self.alphabet)} symbols, but the network has {classes} classes")
        if self.network.int32_logits != isinstance(self.scores, WideScoreTable):
            raise ValueError("the score table is not for the network's kind of logits")
        check_scores(self.manifest.get("scores"))
        if self.dpu is not None:
            self.dpu.check(self.network)
        if self.core is not None:
            self.core.check(self.network)
        if self.checks is None:
            object.__setattr__(self, "checks", self.current_checks())

    @property
    def temperature(self) -> float:
        """What logits are divided by before scores are taken of them; 1 if not calibrated."""
        return float((self.manifest.get("scores") or {}).get("temperature", 1.0))

    @property
    def threshold(self) -> int | None:
        """p_real, in millionths, below which an image is perhaps no character, if calibrated."""
        gate = (self.manifest.get("scores") or {}).get("gate")
        return None if gate is None else int(gate["threshold"])

    def current_checks(self) -> Checks:
        """Take the checksums anew, of what this bundle holds now."""
        return Checks.of(self.network, self.scores, self.alphabet)

    def self_test(self) -> None:
        """Compare the checksums, then run the golden vectors.

        Raises
        ------
        VerificationError
            Names the first layer (or table) that differs.
        """
        if self.checks is not None:
            changed = self.checks.first_difference(self.current_checks(), self.network)
            if changed:
                raise VerificationError(
                    f"self-test of bundle {self.name!r} failed: {changed}; compile the bundle again"
                )
        for i, expected in enumerate(self.golden.checksums):
            found = integer.checksums(self.network, self.golden.inputs[i : i + 1])
            for layer, want, have in zip(self.network.layers, expected, found, strict=True):
                if want != have:
                    raise VerificationError(
                        f"self-test of bundle {self.name!r} failed: golden vector {i} differs "
                        f"first at layer {layer.name}; compile the bundle again"
                    )
        if not np.array_equal(integer.run(self.network, self.golden.inputs), self.golden.logits):
            raise VerificationError(f"self-test of bundle {self.name!r} failed: logits differ")


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle in one step; the same bundle always gives the same bytes."""
    layers, weights = _pack_layers(bundle.network)
    manifest = {
        "name": bundle.name,
        "alphabet": list(bundle.alphabet.symbols),
        "preprocessing": {
            "version": preprocess.VERSION,
            "side": preprocess.SIDE,
            "fix_point": preprocess.FIX_POINT,
        },
    } | bundle.manifest
    sections = {
        "manifest": _json(manifest),
        "layers": _json(layers),
        "weights": weights,
        "scores": score_bytes(bundle.scores),
        "golden": _pack_golden(bundle.golden),
        "checks": (bundle.checks or bundle.current_checks()).pack(),
    }
    if bundle.dpu:
        sections["dpu"] = bundle.dpu.pack()
    if bundle.core:
        sections["core"] = bundle.core.pack()
    write_bytes(path, container.pack(sections))


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle.

    Raises
    ------
    BundleError
        When the file is missing, truncated, damaged, or says something impossible.
    """
    try:
        if path.stat().st_size > container.MAX_BYTES:
            raise BundleError(f"{path}: over the limit of {container.MAX_BYTES:,} bytes")
        data = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: no such bundle; `make compile` writes one") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
    sections = container.unpack(data, str(path))
    try:
        manifest = _from_json(sections["manifest"])
        network = _unpack_layers(_from_json(sections["layers"]), sections["weights"])
        if manifest["preprocessing"]["version"] != preprocess.VERSION:
            raise ValueError(
                f"preprocessing version {manifest['preprocessing']['version']}, "
                f"this program has {preprocess.VERSION}"
            )
        return Bundle(
            name=str(manifest["name"]),
            alphabet=Alphabet(tuple(manifest["alphabet"])),
            network=network,
            scores=_unpack_scores(sections["scores"], network.int32_logits),
            golden=_unpack_golden(sections["golden"], network),
            checks=Checks.unpack(sections["checks"], len(network.layers)),
            manifest=manifest,
            dpu=DpuKernel.unpack(sections["dpu"], _from_json) if "dpu" in sections else None,
            core=CoreImage.unpack(sections["core"], _from_json) if "core" in sections else None,
        )
    except KeyError as error:
        raise BundleError(f"{path}: lacks {error}; compile it again") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
        struct.error,
        EdgeGlyphError,
    ) as error:
        raise BundleError(f"{path}: not a usable bundle ({error})") from None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode("utf-8")


def _from_json(data: bytes) -> Any:
    """Read strict JSON: UTF-8, no key twice, no NaN, limited depth."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys) or len(keys) > MAX_JSON_KEYS:
            raise ValueError(f"a key occurs twice, or too many keys: {', '.join(keys)[:200]}")
        return dict(pairs)

    def refuse(text: str) -> None:
        raise ValueError(f"{text} is no JSON")

    value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    """Refuse what is nested too deep, and texts that no other reader takes."""
    if isinstance(value, dict | list):
        if depth == MAX_JSON_DEPTH:
            raise ValueError(f"JSON nested more than {MAX_JSON_DEPTH} deep")
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_json(inner, depth + 1)
    elif isinstance(value, str) and ("\0" in value or not value.isprintable()):
        value.encode("utf-8")  # half of a surrogate pair: UnicodeEncodeError is a ValueError
        if "\0" in value:
            raise ValueError("a zero character in a text")


def _pack_layers(network: IntegerNetwork) -> tuple[dict[str, Any], bytes]:
    weights = bytearray()
    rows: list[dict[str, Any]] = []
    for layer in network.layers:
        row = row_of(layer)
        if isinstance(layer, Conv):
            row["weights"] = {"offset": len(weights), "shape": list(layer.weights.shape)}
            weights += layer.weights.tobytes()
            row["bias"] = {"offset": len(weights)}
            weights += layer.bias.tobytes()
        rows.append(row)
    head = {"shape": list(network.input_shape), "fix_point": network.input_fix_point}
    return {"input": head, "layers": rows}, bytes(weights)


def _unpack_layers(table: dict[str, Any], weights: bytes) -> IntegerNetwork:
    check_plain(table)
    shape, fix_point = tuple(table["input"]["shape"]), table["input"]["fix_point"]
    if (shape, fix_point) != ((preprocess.SIDE, preprocess.SIDE, 1), preprocess.FIX_POINT):
        raise ValueError(
            f"input {shape} at fix point {fix_point}, but preprocessing makes "
            f"{preprocess.SIDE}×{preprocess.SIDE}×1 at {preprocess.FIX_POINT}"
        )
    layers = tuple(_unpack_layer(row, weights) for row in table["layers"])
    network = IntegerNetwork(shape, fix_point, layers)
    check_limits(network)
    return network


def _unpack_layer(row: dict[str, Any], weights: bytes) -> Layer:
    if "weights" not in row:
        return layer_of(row)
    shape = tuple(int(n) for n in row["weights"]["shape"])
    return layer_of(
        row,
        _int8(weights, int(row["weights"]["offset"]), shape),
        _int8(weights, int(row["bias"]["offset"]), shape[:1]),
    )


def _int8(weights: bytes, offset: int, shape: tuple[int, ...]) -> Int8:
    count = math.prod(shape)
    if len(shape) not in (1, 4) or min(shape) < 1 or offset < 0 or offset + count > len(weights):
        raise ValueError(f"weights {shape} at {offset} lie outside their section")
    return np.frombuffer(weights, np.int8, count, offset).reshape(shape)


def _unpack_scores(data: bytes, int32_logits: bool) -> ScoreTable | WideScoreTable:
    if not int32_logits:
        table = struct.unpack("<512Q", data)
        return ScoreTable(table[:256], table[256:])
    table = struct.unpack("<769Q", data)
    return WideScoreTable(table[:256], table[256:512], table[512:768], table[768])


def _pack_golden(golden: GoldenVectors) -> bytes:
    out = bytearray(_COUNT.pack(len(golden.inputs)))
    for x, sums, logits in zip(golden.inputs, golden.checksums, golden.logits, strict=True):
        out += x.tobytes() + struct.pack(f"<{len(sums)}I", *sums) + integer.output_bytes(logits)
    return bytes(out)


def _unpack_golden(data: bytes, network: IntegerNetwork) -> GoldenVectors:
    (count,) = _COUNT.unpack_from(data)
    shape = network.input_shape
    pixels, layers = int(np.prod(shape)), len(network.layers)
    classes = network.classes
    dtype = "<i4" if network.int32_logits else "i1"
    record = np.dtype(
        [("x", "i1", (pixels,)), ("sums", "<u4", (layers,)), ("logits", dtype, (classes,))]
    )
    if not 1 <= count <= MAX_GOLDEN or len(data) != _COUNT.size + count * record.itemsize:
        raise ValueError(f"{count} golden vectors do not fill their section")
    rows = np.frombuffer(data, record, count, _COUNT.size)
    return GoldenVectors(
        rows["x"].reshape(count, *shape),
        tuple(tuple(int(s) for s in row) for row in rows["sums"]),
        rows["logits"].reshape(count, classes).astype(dtype.lstrip("<")),
    )
