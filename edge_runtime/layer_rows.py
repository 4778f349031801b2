"""Layers as rows of JSON, without their arrays: what a bundle and quantization.json share.

docs/bundle.md lists the keys of every kind.
"""

from typing import Any

from edge_runtime.layers import Activation, Add, AvgPool, Concat, Conv, Int8, Layer, MaxPool


def row_of(layer: Layer) -> dict[str, Any]:
    """Return all that a layer says but its weights and bias."""
    row: dict[str, Any] = {"name": layer.name}
    if isinstance(layer, Add | Concat):
        row["sources"] = list(layer.sources)
    else:
        row["source"] = layer.source
    return row | _details(layer) | {"fix_point": layer.fix_point}


def _details(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Conv):
        return {
            "kind": "depthwise_conv" if layer.depthwise else "conv",
            "stride": list(layer.stride),
            "pad": list(layer.pad),
            "activation": layer.activation.value,
            "shift_cut": layer.shift_cut,
            "shift_bias": layer.shift_bias,
            "output": "int32" if layer.int32_output else "int8",
        }
    if isinstance(layer, AvgPool):
        return {
            "kind": "avg_pool",
            "kernel": list(layer.kernel),
            "stride": list(layer.stride),
            "multiplier": layer.multiplier,
            "shift": layer.shift,
        }
    if isinstance(layer, MaxPool):
        return {
            "kind": "max_pool",
            "kernel": list(layer.kernel),
            "stride": list(layer.stride),
            "pad": list(layer.pad),
            "shift": layer.shift,
        }
    if isinstance(layer, Add):
        return {
            "kind": "add",
            "left_shifts": list(layer.left_shifts),
            "activation": layer.activation.value,
            "shift": layer.shift,
        }
    return {"kind": "concat"}


def layer_of(row: dict[str, Any], weights: Int8 | None = None, bias: Int8 | None = None) -> Layer:
    """Build a layer from its row; convolutions need their arrays.

    Raises
    ------
    KeyError, TypeError, ValueError
        When the row lacks a key, or says something impossible.
    """
    name, kind, fix_point = str(row["name"]), row["kind"], int(row["fix_point"])
    if kind in ("conv", "depthwise_conv") and weights is not None and bias is not None:
        return Conv(
            name,
            int(row["source"]),
            weights,
            bias,
            _pair(row["stride"]),
            _four(row["pad"]),
            _activation(row),
            int(row["shift_cut"]),
            int(row["shift_bias"]),
            fix_point,
            kind == "depthwise_conv",
            _is_int32(name, row),
        )
    if kind == "avg_pool":
        kernel, stride = _pair(row["kernel"]), _pair(row["stride"])
        factor = int(row["multiplier"])
        return AvgPool(
            name, int(row["source"]), kernel, stride, factor, int(row["shift"]), fix_point
        )
    if kind == "max_pool":
        kernel, stride, pad = _pair(row["kernel"]), _pair(row["stride"]), _four(row["pad"])
        return MaxPool(name, int(row["source"]), kernel, stride, pad, int(row["shift"]), fix_point)
    if kind == "add":
        sources, shifts = _pair(row["sources"]), _pair(row["left_shifts"])
        return Add(name, sources, shifts, _activation(row), int(row["shift"]), fix_point)
    if kind == "concat":
        return Concat(name, tuple(int(i) for i in row["sources"]), fix_point)
    raise ValueError(f"layer {name} is of unknown kind {kind!r}")


def _activation(row: dict[str, Any]) -> Activation:
    # Rows of the first bundles say "relu": true or false.
    if "activation" not in row:
        return Activation.RELU if row["relu"] else Activation.NONE
    return Activation(row["activation"])


def _is_int32(name: str, row: dict[str, Any]) -> bool:
    found = row.get("output", "int8")
    if found not in ("int8", "int32"):
        raise ValueError(f"layer {name}: output {found!r} is neither int8 nor int32")
    return bool(found == "int32")


def _pair(values: Any) -> tuple[int, int]:
    first, second = (int(v) for v in values)
    return first, second


def _four(values: Any) -> tuple[int, int, int, int]:
    a, b, c, d = (int(v) for v in values)
    return a, b, c, d
