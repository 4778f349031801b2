"""LiteRT (TensorFlow Lite): TensorFlow's converter makes the models, ai-edge-litert runs them.

All take int8 bytes. tflite-int8 takes them as they are: it is calibrated on the whole range too, so
that its input's scale is 1/128; its int8 logits have the scale that the file states. The others
begin by turning bytes into q / 128 and give float logits.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import GraphError, InputError, MissingDependencyError
from edge_runtime.formats.format import BYTES, LOGITS, Format, Load, Session, Source, need
from edge_runtime.formats.onnx_graph import BIAS_ADD, INPUT
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE, to_float
from edge_runtime.tensorflow_import import import_tensorflow

_FROZEN = "frozen_model.pb"


class _Kind(StrEnum):
    FP32 = "tflite-fp32"
    FP16 = "tflite-fp16"
    DYNAMIC = "tflite-dynamic"
    INT8 = "tflite-int8"


def _open(source: Source, path: Path, load: Load) -> Session:
    interpreters = need("ai_edge_litert.interpreter", "litert")
    try:
        interpreter = interpreters.Interpreter(str(path), num_threads=load.threads)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a model that LiteRT loads ({error})") from None
    given = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(given, [load.batch, SIDE, SIDE, 1])
    interpreter.allocate_tensors()
    scale, zero_point = interpreter.get_output_details()[0]["quantization"]

    def run(inputs: Int8) -> Any:
        interpreter.set_tensor(given, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return Session(run, load.batch, scale or 1.0, zero_point)


def _make(kind: _Kind, source: Source, to: Path) -> None:
    try:
        tf = import_tensorflow()
    except MissingDependencyError:
        raise MissingDependencyError(
            "TensorFlow, which makes .tflite files, is not installed: "
            "pip install 'edgeglyph[litert,train]'"
        ) from None
    graph = tf.compat.v1.GraphDef()
    frozen = source.model(_FROZEN)
    graph.ParseFromString(frozen.read_bytes())
    whole = kind is _Kind.INT8

    def network(values: Any) -> Any:
        fed = values if whole else tf.cast(values, tf.float32) * 2.0**-FIX_POINT
        logits = tf.graph_util.import_graph_def(graph, {INPUT: fed}, [f"{BIAS_ADD}:0"], name="")
        return tf.identity(logits[0], LOGITS)

    spec = tf.TensorSpec([None, SIDE, SIDE, 1], tf.float32 if whole else tf.int8, name=BYTES)
    function = tf.function(network).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if kind is not _Kind.FP32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind is _Kind.FP16:
        converter.target_spec.supported_types = [tf.float16]
    if whole:
        _calibrate(converter, source.calibration)
    to.write_bytes(converter.convert())
    if whole:
        _check_input_scale(to)


def _calibrate(converter: Any, calibration: Int8) -> None:
    """Int8 in, within and out; the input's range is all that a byte can be."""
    tf = import_tensorflow()
    whole_range = np.resize(np.array([-128, 127], np.int8), (1, SIDE, SIDE, 1))
    images = to_float(np.concatenate([calibration, whole_range]))
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8


def _check_input_scale(path: Path) -> None:
    """Refuse a model that would not take the preprocessed bytes as they are."""
    interpreters = need("ai_edge_litert.interpreter", "litert")
    given = interpreters.Interpreter(str(path)).get_input_details()[0]["quantization"]
    if tuple(given) != (2.0**-FIX_POINT, 0):
        raise GraphError(f"{path}: its input's scale is {given}, not 1/128")


def _format(kind: _Kind, title: str, **more: Any) -> Format:
    packages = ("ai-edge-litert", "tensorflow-cpu", "tensorflow")
    return Format(
        kind, f"LiteRT, {title}", ".tflite", _FROZEN, packages,
        lambda source, to: _make(kind, source, to), _open, **more,
    )  # fmt: skip


FP32 = _format(_Kind.FP32, "fp32", tolerance=1e-3)
FP16 = _format(_Kind.FP16, "fp16 weights", tolerance=0.1)
DYNAMIC = _format(_Kind.DYNAMIC, "int8, dynamic")
INT8 = _format(_Kind.INT8, "int8, static", calibrated=True)
