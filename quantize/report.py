"""The lines that `run` prints when it is done."""

from pathlib import Path

from quantize.artifacts import ONNX_NAME
from quantize.pipeline import Result


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
    return "\n".join([*lines, f"wrote {folder / 'quantization.json'}"])
