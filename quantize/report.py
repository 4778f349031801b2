"""The lines that `run` prints when it is done."""

from pathlib import Path

from quantize.artifacts import ONNX_NAME
from quantize.pipeline import Result


def _finer_biases(result: Result) -> list[str]:
    """Name the biases that are finer than their sums: board and evaluation graph differ there."""
    quantization = result.quantization
    rows = [
        f"{name} ({row['fix_point']}, sums {row['integer_fix_point']})"
        for name, row in quantization.fix_points().items()
        if "integer_fix_point" in row
    ]
    if not rows:
        return []
    how = {
        "board": "rounded half up as the vendor's compiler does; --bias evaluation reads them as "
        "its evaluation graph does",
        "evaluation": "read as the vendor's evaluation graph does, and not as a board",
    }[quantization.provenance["settings"]["bias"]]
    return [f"biases finer than their sums: {', '.join(rows)}; {how}"]


def summary(result: Result, folder: Path) -> str:
    """Say what was made, how good it is and what was proved."""
    provenance = result.quantization.provenance
    errors = provenance["logit_errors"].items()
    lines = [
        f"method {provenance['method']} (squared error of logits: "
        + ", ".join(f"{name} {value:.4g}" for name, value in errors)
        + f"; {provenance['calibration']['count']:,} calibration inputs)",
        f"{ONNX_NAME} in ONNX Runtime = integer reference on {result.compared:,} inputs",
    ]
    accuracy = result.accuracy
    if accuracy is not None:
        lines.append(
            f"accuracy: float {accuracy.float_network.value:.2%}, "
            f"int8 {accuracy.int8_network.value:.2%}, agreement {accuracy.agreement.value:.2%}, "
            f"ties {accuracy.ties.value:.2%} "
            f"(n = {accuracy.float_network.n:,}{' ' + accuracy.split if accuracy.split else ''})"
        )
    lines += _finer_biases(result)
    return "\n".join([*lines, f"wrote {folder / 'quantization.json'}"])
