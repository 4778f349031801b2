"""An answer as one line: text, JSON or CSV.

Text and JSON are those of ``edge_classify``, the on-board program, byte for byte (the remark
"perhaps not a character" is Python's alone). Probabilities have six decimals or one.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from edge_runtime.errors import ImageError
from edge_runtime.look_alikes import either
from edge_runtime.scores import Prediction, decimal, decimals

Answer = Prediction | ImageError
Line = Callable[[Path, Answer], str]


def text_line(path: Path, answer: Answer, threshold: int | None) -> str:
    """One line for people; ``threshold`` is the bundle's of p_real, in millionths."""
    if isinstance(answer, ImageError):
        return f"{path}: error: {answer}"
    others = ", ".join(f"{label} {percent(value)}" for label, value in answer.top[1:])
    remarks = [
        f"{answer.label}  {percent(answer.confidence)}",
        f"(then {others})" if others else "",
    ]
    remarks += [look_alikes_remark(answer), gate_remark(answer, threshold)]
    return f"{path}: {'  '.join(remark for remark in remarks if remark)}"


def json_line(path: Path, answer: Answer) -> str:
    """One line of JSON, the same text on every platform."""
    if isinstance(answer, ImageError):
        return f'{{"path": {_text(str(path))}, "error": {_text(str(answer))}}}'
    p = answer
    top = ", ".join(f"[{_text(label)}, {decimal(value)}]" for label, value in p.top)
    return (
        f'{{"path": {_text(str(path))}, "label": {_text(p.label)}, '
        f'"confidence": {decimal(p.confidence)}, "p_real": {decimal(p.p_real)}, '
        f'"top": [{top}], "logits": [{decimals(p.logits)}]}}'
    )


def csv_header(top_k: int) -> str:
    """Names of the columns of `csv_line`."""
    names = ["path", "label", "confidence", "p_real", "character", "alike", "alike_confidence"]
    for rank in range(2, top_k + 1):
        names += [f"label_{rank}", f"confidence_{rank}"]
    return _csv([*names, "error"])


def csv_line(path: Path, answer: Answer, threshold: int | None, top_k: int) -> str:
    """One row: ``character`` is yes or no by the gate, empty where the bundle has no threshold."""
    if isinstance(answer, ImageError):
        return _csv([str(path), *[""] * (4 + 2 * top_k), str(answer)])
    passes = "" if threshold is None else "yes" if answer.p_real >= threshold else "no"
    row = [str(path), answer.label, decimal(answer.confidence), decimal(answer.p_real), passes]
    row += ["".join(s for s, _ in answer.alike), decimal(answer.alike_confidence)]
    for label, value in answer.top[1:]:
        row += [label, decimal(value)]
    row += [""] * 2 * (top_k - len(answer.top))  # an alphabet of fewer symbols
    return _csv([*row, ""])


def look_alikes_remark(p: Prediction) -> str:
    """``O, 0 or o: 99.3 %``, or nothing where the alphabet has no look-alike of the label."""
    if len(p.alike) < 2:
        return ""
    return f"{either([symbol for symbol, _ in p.alike])}: {percent(p.alike_confidence)}"


def gate_remark(p: Prediction, threshold: int | None) -> str:
    """Say so where p_real is below the bundle's threshold."""
    if threshold is None or p.p_real >= threshold:
        return ""
    return f"perhaps not a character: p_real {decimal(p.p_real)} < {decimal(threshold)}"


def percent(millionths: int) -> str:
    """``99.3 %``."""
    return f"{millionths / 10_000:.1f} %"


def _text(value: str) -> str:
    """JSON string; a byte of a file's name that is not UTF-8 becomes a lone surrogate's escape."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\\ud800-\\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _csv(row: list[str]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(row)
    return stream.getvalue()
