"""The self-test of float32 sums near 2^24: it passes where they are exact, and fails elsewhere."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edge_runtime import exactness
from edge_runtime.bundle import read_bundle
from edge_runtime.errors import VerificationError
from edge_runtime.runners import open_runner


def test_sums_are_exact_integers_near_the_limit() -> None:
    weights, inputs, sums = exactness.operands()
    for n, row, column, o in [(0, 1, 1, 0), (1, 0, 5, 3), (0, 5, 2, 2), (1, 3, 3, 15)]:
        total = 0
        for i in range(3):
            for j in range(3):
                r, c = row + i - 1, column + j - 1
                if 0 <= r < 6 and 0 <= c < 6:
                    pairs = zip(inputs[n, r, c].tolist(), weights[o, i, j].tolist(), strict=True)
                    total += sum(a * b for a, b in pairs)
        assert sums[n, row, column, o] == total
    assert sums[0, 2, 2, 0] == -sums[0, 2, 2, 2]
    assert 0.97 * 2**24 < np.abs(sums).max() < 2**24
    # Above 2^23 the last bit of a float32 is 1: odd sums show whether it is there.
    assert np.mean((np.abs(sums) > 2**23) & (sums % 2 == 1)) > 0.05


def test_the_model_is_valid_and_onnx_runtime_is_exact_here() -> None:
    onnx.checker.check_model(onnx.load_from_string(exactness._model()), full_check=True)
    exactness.check_onnx_runtime(ort.SessionOptions())


def test_it_takes_no_time_worth_mentioning() -> None:
    """Processor time of this thread, the best of ten, caches emptied: 2 ms where it was written."""
    spent = []
    for _ in range(10):
        exactness.operands.cache_clear()
        exactness._model.cache_clear()
        started = time.thread_time()
        exactness.check_onnx_runtime(ort.SessionOptions())
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.05


def bfloat16(x: Any) -> Any:
    """Round float32 to eight bits of mantissa, as reduced-precision kernels do."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def winograd(inputs: Any, weights: Any) -> Any:
    """F(2×2, 3×3) of Lavin & Gray 2016 in float32: exact in real numbers, not in floating point."""
    b = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
    g = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
    a = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    padded = np.pad(inputs.astype(np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = np.einsum("ij,ojkc,lk->ilco", g, weights.astype(np.float32), g)
    found = np.empty((len(inputs), 6, 6, len(weights)), np.float32)
    for r in range(0, 6, 2):
        for c in range(0, 6, 2):
            tile = padded[:, r : r + 4, c : c + 4]
            turned = np.einsum("ij,njkc,lk->nilc", b, tile, b)
            product = np.einsum("nilc,ilco->nilo", turned, kernel)
            found[:, r : r + 2, c : c + 2] = np.einsum("ij,njko,lk->nilo", a, product, a)
    return found


@pytest.mark.parametrize("how", ["bfloat16", "winograd", "one"])
def test_what_is_not_exact_is_refused(how: str) -> None:
    weights, inputs, sums = exactness.operands()
    found = {
        "bfloat16": bfloat16(sums.astype(np.float32)),
        "winograd": winograd(inputs, weights),
        "one": sums + (np.arange(sums.size) == 77).reshape(sums.shape),
    }[how]
    np.testing.assert_allclose(found, sums, rtol=0.01, atol=500)  # near, as a real kernel would be
    with pytest.raises(VerificationError, match=r"near 2\^24: .* exactly; .* back end int8"):
        exactness.check_sums(found, how)


def test_the_integer_model_is_not_run_where_sums_are_not_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the model is even opened; the float model may be run."""

    def inexact(found: Any, engine: str) -> None:
        raise VerificationError("sums differ")

    folder = Path(__file__).parents[2] / "models" / "scene62"
    bundle = read_bundle(folder / "scene62.egb")
    monkeypatch.setattr(exactness, "check_sums", inexact)
    with pytest.raises(VerificationError, match="sums differ"):
        open_runner("onnx-int8", bundle, folder / "scene62.egb", None)
    open_runner("onnx", bundle, folder / "scene62.egb", None)
