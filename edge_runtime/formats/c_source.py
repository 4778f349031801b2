"""Write the integer network as one C99 file: `network.c.in` with a network's tables in it."""

import importlib.resources
import re
from collections.abc import Iterable
from pathlib import Path

from edge_runtime import __version__
from edge_runtime.bundle import Bundle
from edge_runtime.files import sha256_of
from edge_runtime.formats.arena import plan_arena
from edge_runtime.layers import Activation, Add, AvgPool, Concat, Conv, Layer, output_range
from edge_runtime.scores import ScoreTable, WideScoreTable

_PER_LINE = 24  # numbers
_RESERVED = frozenset({"main", "int", "char", "long", "short", "float", "double", "auto", "if"})

_WIDE = """\
{tables}
/* 2^30 exp(-distance), in units of a logit */
static uint64_t weight(int64_t distance) {{
    const int64_t scaled = distance >> {shift};
    const uint32_t d = scaled < 16777215 ? (uint32_t)scaled : 16777215;
    uint64_t e = coarse[d >> 16];
    e = (e * middle[(d >> 8) & 255] + (UINT64_C(1) << 29)) >> 30;
    return (e * fine[d & 255] + (UINT64_C(1) << 29)) >> 30;
}}

/* Of the class "fake", whose logit is 0, beside a largest logit. */
static uint64_t fake_weight(int32_t best) {{
    const uint64_t beside = weight(best < 0 ? -(int64_t)best : best);
    return best < 0 ? (UINT64_C(1) << 60) / (beside ? beside : 1) : beside;
}}"""

_NARROW = """\
{tables}
/* 2^30 exp(-distance), in units of a logit */
static uint64_t weight(int64_t distance) {{
    return softmax[distance];
}}

/* Of the class "fake", whose logit is 0, beside a largest logit. */
static uint64_t fake_weight(int32_t best) {{
    return fake[best + 128];
}}"""


def identifier(name: str) -> str:
    """Turn a bundle's name into what C takes as the first part of names."""
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not found or found[0].isdigit() or found in _RESERVED:
        found = f"net_{found}".rstrip("_")
    return found


def c_source(bundle: Bundle, path: Path) -> str:
    """Return the C99 file of a bundle (read from ``path``); the same bundle gives the same text."""
    network, name = bundle.network, identifier(bundle.name)
    offsets, arena = plan_arena(network)
    golden_inputs = bundle.golden.inputs.reshape(len(bundle.golden.inputs), -1)
    golden = "\n".join(
        (
            f"#define GOLDEN {len(golden_inputs)}",
            _rows("int8_t", "golden_inputs", golden_inputs.tolist()),
            _rows("int32_t", "golden_logits", bundle.golden.logits.tolist()),
        )
    )
    scores = bundle.manifest.get("scores") or {}
    weights = [layer for layer in network.layers if isinstance(layer, Conv)]
    parameters = sum(layer.weights.size + layer.bias.size for layer in weights)
    tables, table_bytes = _scores(bundle.scores)
    texts = {
        "TITLE": f"{name}: a classifier of {len(bundle.alphabet)} characters",
        "RELEASE": __version__,
        "SHA256": sha256_of(path),
        "NAME": name,
        "MACRO": name.upper(),
        "CLASSES": str(len(bundle.alphabet)),
        "ARENA": str(max(1, arena)),
        "CONSTANT_BYTES": f"{parameters + table_bytes:,}",
        "LOGIT_FIX_POINT": str(network.logits_fix_point),
        "LOGIT_SCALE": f"{float(scores.get('logit_scale', 1.0))!r}",
        "THRESHOLD": str(bundle.threshold or 0),
        "TABLES": "\n\n".join(_tables(bundle, name, offsets)),
        "SCORES": tables,
        "GOLDEN": golden,
    }
    template = importlib.resources.files("edge_runtime.formats").joinpath("network.c.in")
    return re.sub(r"@([A-Z0-9_]+?)@", lambda found: texts[found[1]], template.read_text("utf-8"))


def _tables(bundle: Bundle, name: str, offsets: list[int]) -> Iterable[str]:
    """Yield symbols, weights, inputs of layers, layers."""
    network = bundle.network
    shapes = network.output_shapes()
    symbols = ", ".join(map(_text, bundle.alphabet.symbols))
    yield f"const char *const {name}_symbols[CLASSES] = {{{_wrapped(symbols)}}};"
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Conv):
            yield f"/* {_comment(layer.name)}: {' × '.join(map(str, layer.weights.shape))} */"
            yield _array("int8_t", f"weights_{i}", layer.weights.ravel().tolist())
            yield _array("int8_t", f"bias_{i}", layer.bias.tolist())
    maps = [
        _map(-1, network.input_shape)
        if source < 0
        else _map(_offset(network.layers[source], offsets[source]), shapes[source])
        for layer in network.layers
        for source in layer.sources
    ]
    yield "static const map sources[] = {\n    " + ",\n    ".join(maps) + ",\n};"
    rows, first = [], 0
    for i, layer in enumerate(network.layers):
        rows.append(_layer(layer, i, first, _map(offsets[i], shapes[i])))
        first += len(layer.sources)
    yield f"#define LAYERS {len(rows)}"
    yield "static const layer layers[LAYERS] = {\n" + "\n".join(rows) + "\n};"


def _offset(layer: Layer, offset: int) -> int:
    assert not (isinstance(layer, Conv) and layer.int32_output)  # the last, which nothing reads
    return offset


def _map(offset: int, shape: tuple[int, int, int]) -> str:
    return f"{{{offset}, {shape[0]}, {shape[1]}, {shape[2]}}}"


def _layer(layer: Layer, number: int, first: int, output: str) -> str:
    """One row of the table of layers, in the order of the struct's fields."""
    activation = layer.activation if isinstance(layer, Conv | Add) else Activation.NONE
    low, high = output_range(activation, layer.fix_point)
    window, shift, multipliers, data = "1, 1, 1, 1, 0, 0", 0, (1, 1), "NULL, NULL"
    if isinstance(layer, Concat):
        kind = "CONCAT"
    elif isinstance(layer, Add):
        kind, shift = "ADD", layer.shift
        multipliers = (1 << layer.left_shifts[0], 1 << layer.left_shifts[1])
    elif isinstance(layer, Conv):
        kind, shift = "DEPTHWISE" if layer.depthwise else "CONV", layer.shift_cut
        multipliers = (1 << layer.shift_bias, 1)
        window = _window(layer.weights.shape[1:3], layer.stride, layer.pad)
        data = f"weights_{number}, bias_{number}"
    elif isinstance(layer, AvgPool):
        kind, shift, multipliers = "AVERAGE", layer.shift, (layer.multiplier, 1)
        window = _window(layer.kernel, layer.stride, (0, 0, 0, 0))
    else:
        kind, shift = "MAXIMUM", layer.shift
        window = _window(layer.kernel, layer.stride, layer.pad)
    leaky = int(activation is Activation.LEAKY_RELU)
    sums = int(isinstance(layer, Conv) and layer.int32_output)
    factors = ", ".join(f"INT64_C({m})" for m in multipliers)
    return (
        f"    {{{kind}, {leaky}, {sums}, {low}, {high}, {first}, {len(layer.sources)}, {output},\n"
        f"     {window}, {shift}, {{{factors}}}, {data}}},"
    )


def _window(
    kernel: tuple[int, ...], stride: tuple[int, int], pad: tuple[int, int, int, int]
) -> str:
    return ", ".join(map(str, (*kernel, *stride, pad[0], pad[2])))


def _scores(scores: ScoreTable | WideScoreTable) -> tuple[str, int]:
    """Return tables and functions of the scores, and the tables' size in bytes."""
    if isinstance(scores, WideScoreTable):
        parts = {"coarse": scores.coarse, "middle": scores.middle, "fine": scores.fine}
        tables = "\n".join(_array("uint32_t", name, part) for name, part in parts.items())
        return _WIDE.format(tables=tables, shift=scores.shift), 3 * 256 * 4
    fake = [f"UINT64_C({value})" for value in scores.fake]
    tables = "\n".join(
        (_array("uint32_t", "softmax", scores.softmax), _array("uint64_t", "fake", fake))
    )
    return _NARROW.format(tables=tables), 256 * 4 + 256 * 8


def _array(kind: str, name: str, values: Iterable[object]) -> str:
    texts = [str(value) for value in values]
    return f"static const {kind} {name}[{len(texts)}] = {{\n{_lines(texts)}\n}};"


def _rows(kind: str, name: str, rows: list[list[int]]) -> str:
    inner = ",\n".join("{\n" + _lines(list(map(str, row))) + "\n}" for row in rows)
    return f"static const {kind} {name}[{len(rows)}][{len(rows[0])}] = {{\n{inner}\n}};"


def _lines(texts: list[str]) -> str:
    return ",\n".join(",".join(texts[i : i + _PER_LINE]) for i in range(0, len(texts), _PER_LINE))


def _wrapped(text: str) -> str:
    """Break after every 16th comma."""
    parts = text.split(", ")
    lines = [", ".join(parts[i : i + 16]) for i in range(0, len(parts), 16)]
    return "\n    " + ",\n    ".join(lines) + "\n"


def _text(symbol: str) -> str:
    """C string of a symbol's UTF-8; octal escapes take at most three digits, and end there."""
    inner = "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\{byte:03o}"
        for byte in symbol.encode("utf-8")
    )
    return f'"{inner}"'


def _comment(text: str) -> str:
    """What cannot end a comment, nor begin another."""
    return re.sub(r"[^A-Za-z0-9_./ -]", "?", text).replace("*/", "?").replace("/*", "?")
