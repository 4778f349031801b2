"""A self-test of floating-point convolutions, whether sums up to 2^24 are exact on this machine.

model_int8.onnx and quantize_eval_stock.pb compute integers in float32, which is exact by direct and
GEMM algorithms, and is not by Winograd or FFT ones or in reduced precision (bf16, TF32). One 3×3
convolution whose sums reach 0.97 · 2^24 tells; it takes a few milliseconds.

The ONNX model of that convolution is written here byte by byte, because an evaluation machine has
ONNX Runtime and not the package onnx. Field numbers are those of onnx.proto3.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import VerificationError

Array = npt.NDArray[Any]
INPUT, OUTPUT = "x", "sums"
_SEED = 20160610
_SIDE, _CHANNELS, _OUTPUTS, _IMAGES = 6, 113, 16, 2
_FLOAT, _INTS = 1, 7  # of TensorProto.DataType and AttributeProto.AttributeType
_OPSET, _IR_VERSION = 13, 7


@functools.cache
def operands() -> tuple[Array, Array, Array]:
    """Weights int8 [out, 3, 3, in], inputs int8 [N, 6, 6, in], and their exact sums int64.

    The convolution has stride 1 and one row of zeros around the map: sums are [N, 6, 6, out].
    """
    rng = np.random.default_rng(_SEED)
    large, both = np.array([126, 127], np.int8), np.array([-127, -126, 126, 127], np.int8)
    weights = rng.choice(both, (_OUTPUTS, 3, 3, _CHANNELS))
    inputs = rng.choice(both, (_IMAGES, _SIDE, _SIDE, _CHANNELS))
    # Half of them add up to almost 2^24, in even and odd sums; the others nearly cancel.
    weights[::2] = rng.choice(large, weights[::2].shape)
    inputs[::2] = rng.choice(large, inputs[::2].shape)
    weights[0], weights[2] = 127, -127
    padded = np.pad(inputs.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * _CHANNELS)
    sums = columns @ weights.reshape(_OUTPUTS, -1).T.astype(np.float64)  # exact up to 2^53
    return weights, inputs, sums.astype(np.int64).reshape(_IMAGES, _SIDE, _SIDE, _OUTPUTS)


def check_tensorflow(tf: Any) -> None:
    """Raise `VerificationError` unless TensorFlow's convolutions are exact."""
    weights, inputs, _ = operands()
    kernel = tf.constant(weights.transpose(1, 2, 3, 0).astype(np.float32))
    sums = tf.nn.conv2d(tf.constant(inputs.astype(np.float32)), kernel, 1, "SAME")
    check_sums(sums.numpy(), "TensorFlow")


def check_onnx_runtime(options: Any) -> None:
    """Raise `VerificationError` unless ONNX Runtime on the CPU, with these options, is exact."""
    import onnxruntime as ort

    session = ort.InferenceSession(_model(), options, providers=["CPUExecutionProvider"])
    inputs = operands()[1].transpose(0, 3, 1, 2).astype(np.float32)
    (found,) = session.run([OUTPUT], {INPUT: inputs})
    check_sums(found.transpose(0, 2, 3, 1), "ONNX Runtime")


def check_sums(found: Array, engine: str) -> None:
    """Raise `VerificationError` unless ``found``, float32 [N, 6, 6, out], are the exact sums."""
    wanted = operands()[2]
    wrong = np.argwhere(found != wanted)
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise VerificationError(
            f"self-test of sums near 2^24: {len(wrong)} of {wanted.size} differ, the first is "
            f"{found[at]:.1f} in {engine}, {wanted[at]} exactly; float32 convolutions are not "
            "exact on this machine (reduced precision, or Winograd): use the back end int8"
        )


@functools.cache
def _model() -> bytes:
    """Return the convolution as a serialized ONNX model, NCHW float32."""
    weights = operands()[0].transpose(0, 3, 1, 2).astype("<f4")
    node = (
        _text(1, INPUT) + _text(1, "w") + _text(2, OUTPUT) + _text(4, "Conv")
        + _message(5, _text(1, "pads") + _numbers(8, [1] * 4) + _number(20, _INTS))
    )  # fmt: skip
    initializer = (
        _numbers(1, weights.shape) + _number(2, _FLOAT) + _text(8, "w")
        + _message(9, weights.tobytes())
    )  # fmt: skip
    graph = (
        _message(1, node) + _text(2, "self_test") + _message(5, initializer)
        + _message(11, _value(INPUT, [None, _CHANNELS, _SIDE, _SIDE]))
        + _message(12, _value(OUTPUT, [None, _OUTPUTS, _SIDE, _SIDE]))
    )  # fmt: skip
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def onnx_output(name: str) -> bytes:
    """Return a serialized model that holds nothing but one more output of the graph."""
    return _message(7, _message(12, _text(1, name)))


def _value(name: str, shape: Iterable[int | None]) -> bytes:
    """Encode a ValueInfoProto; None is a dimension N."""
    dims = b"".join(
        _message(1, _text(2, "N") if size is None else _number(1, size)) for size in shape
    )
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, dims)))


def _varint(value: int) -> bytes:
    digits = []
    while value >= 128:
        digits.append(value % 128 + 128)
        value //= 128
    return bytes([*digits, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _numbers(field: int, values: Iterable[int]) -> bytes:
    return b"".join(_number(field, value) for value in values)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
