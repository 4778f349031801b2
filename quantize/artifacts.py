"""What `run` leaves on disk: quantization.json says how, quantized.npz holds the integers.

The two are one thing. The JSON names every tensor and layer, and the archive's hash; the archive
holds an int8 array for each weight and bias, under the tensor's name.
"""

import io
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import __version__
from edge_runtime.alphabet import Alphabet
from edge_runtime.errors import EdgeGlyphError, InputError
from edge_runtime.files import sha256_of, write_bytes, write_json
from edge_runtime.layer_rows import layer_of, row_of
from edge_runtime.layers import Conv, Int8, IntegerNetwork, Layer
from quantize.lower import TensorNames

SCHEMA = 2
JSON_NAME = "quantization.json"
WEIGHTS_NAME = "quantized.npz"
CALIBRATION_NAME = "calibration.npz"
ONNX_NAME = "model_int8.onnx"
QDQ_NAME = "model_qdq.onnx"
EVAL_NAME = "quantize_eval_model.pb"
STOCK_NAME = "quantize_eval_stock.pb"
PAGE_NAME = "quantization.html"
DEPLOY_NAME = "deploy_model.pb"


@dataclass(frozen=True)
class Quantization:
    """A quantized network with its history.

    tensors : names in the source graph, layer by layer
    bias_positions : of every bias as its method found it, which may be finer than the layer's
        sums; the integers have the position of the sums then
    provenance : the JSON's other entries: source, method, calibration, accuracy, settings, …
    """

    network: IntegerNetwork
    input_name: str
    tensors: tuple[TensorNames, ...]
    alphabet: Alphabet | None
    logit_scale: float
    bias_positions: dict[str, int]
    provenance: dict[str, Any]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.network.classes

    def with_provenance(self, **entries: Any) -> "Quantization":
        """Return a copy with more entries in its history."""
        return replace(self, provenance=self.provenance | entries)

    def fix_points(self) -> dict[str, dict[str, Any]]:
        """Kind and fix point of every tensor, by its name in the source graph."""
        network = self.network
        found: dict[str, dict[str, Any]] = {
            self.input_name: {"kind": "input", "fix_point": network.input_fix_point}
        }
        for layer, names in zip(network.layers, self.tensors, strict=True):
            if isinstance(layer, Conv) and names.weight is not None and names.bias is not None:
                entry = network.fix_point(layer.source)
                weight = layer.shift_cut + layer.fix_point - entry
                found[names.weight] = {"kind": "weight", "fix_point": weight}
                bias = weight + entry - layer.shift_bias
                chosen = self.bias_positions[names.bias]
                found[names.bias] = {"kind": "bias", "fix_point": chosen}
                if chosen != bias:
                    found[names.bias]["integer_fix_point"] = bias
            found[names.activation] = {"kind": "activation", "fix_point": layer.fix_point}
        return found


def write_arrays(path: Path, arrays: dict[str, np.ndarray[Any, Any]]) -> str:
    """Write an .npz in one step and return its SHA-256; equal arrays give equal bytes."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getvalue())
    return sha256_of(path)


def write_quantization(folder: Path, quantization: Quantization) -> None:
    """Write quantized.npz, then quantization.json, which names it by its hash."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for layer, names in zip(quantization.network.layers, quantization.tensors, strict=True):
        if isinstance(layer, Conv):
            arrays[str(names.weight)], arrays[str(names.bias)] = layer.weights, layer.bias
    digest = write_arrays(folder / WEIGHTS_NAME, arrays)
    network, alphabet = quantization.network, quantization.alphabet
    rows = zip(network.layers, quantization.tensors, strict=True)
    write_json(
        folder / JSON_NAME,
        {
            "schema": SCHEMA,
            "created_by": f"edgeglyph {__version__}",
            **quantization.provenance,
            "alphabet": None if alphabet is None else list(alphabet.symbols),
            "logit_scale": quantization.logit_scale,
            "weights": {"file": WEIGHTS_NAME, "sha256": digest},
            "input": {"name": quantization.input_name, "shape": list(network.input_shape)},
            "tensors": quantization.fix_points(),
            "layers": [_row(layer, names) for layer, names in rows],
        },
    )


def _row(layer: Layer, names: TensorNames) -> dict[str, Any]:
    row = row_of(layer) | {"activation_tensor": names.activation}
    if isinstance(layer, Conv):
        row |= {"weight": names.weight, "bias": names.bias}
    return row


def read_quantization(folder: Path) -> Quantization:
    """Read what `run` wrote into ``folder``.

    Raises
    ------
    InputError
        When a file is missing, damaged, or does not belong to the other.
    """
    path = folder / JSON_NAME
    again = "run `python -m quantize run` again"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `python -m quantize run` writes it") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read; {again}") from None
    try:
        table = json.loads(text)
        if table["schema"] != SCHEMA:
            raise ValueError(f"schema {table['schema']}, this program reads {SCHEMA}")
        arrays = _read_arrays(folder / table["weights"]["file"], table["weights"]["sha256"])
        return _parse(table, arrays)
    except KeyError as error:
        raise InputError(f"{path}: lacks {error}; {again}") from None
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, EdgeGlyphError) as error:
        raise InputError(f"{path}: not a usable quantization ({error}); {again}") from None


def _read_arrays(path: Path, digest: str) -> dict[str, Int8]:
    again = "run `python -m quantize run` again"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {again}")
    if sha256_of(path) != digest:
        raise InputError(f"{path}: is not the file that {JSON_NAME} was written with; {again}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        raise InputError(f"{path}: damaged; {again}") from None


def _parse(table: dict[str, Any], arrays: dict[str, Int8]) -> Quantization:
    tensors = table["tensors"]
    layers: list[Layer] = []
    names: list[TensorNames] = []
    for row in table["layers"]:
        weight, bias = row.get("weight"), row.get("bias")
        layers.append(layer_of(row, *(() if weight is None else (arrays[weight], arrays[bias]))))
        names.append(TensorNames(row["activation_tensor"], weight, bias))
    name, (height, width, channels) = table["input"]["name"], table["input"]["shape"]
    network = IntegerNetwork(
        (height, width, channels), int(tensors[name]["fix_point"]), tuple(layers)
    )
    kept = (
        "source",
        "method",
        "logit_errors",
        "ties",
        "stock_output",
        "analysis",
        "calibration",
        "accuracy",
        "settings",
    )
    symbols = table["alphabet"]
    return Quantization(
        network,
        name,
        tuple(names),
        None if symbols is None else Alphabet(tuple(symbols)),
        float(table["logit_scale"]),
        {each.bias: int(tensors[each.bias]["fix_point"]) for each in names if each.bias},
        {key: table[key] for key in kept},
    )
