"""LiteRT (TensorFlow Lite) with XNNPACK: static int8, and dynamic (int8 weights).

TensorFlow's converter makes the models. The static one takes int8 inputs as they are; calibrated on
the whole range, its input scale is 1/128. The dynamic one begins by turning bytes into q / 128.
"""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bench.engine import Engine, InPython, Load, Network, need
from edge_runtime.bench.engines.onnx_graph import INPUT, LOGITS
from edge_runtime.errors import GraphError, MissingDependencyError
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE, to_float
from edge_runtime.tensorflow_import import import_tensorflow


def _open(network: Network, load: Load, static: bool) -> InPython:
    interpreters = need("ai_edge_litert.interpreter")
    name = "static.tflite" if static else "dynamic.tflite"
    packages = "ai-edge-litert tensorflow tensorflow-cpu"
    source = network.model("frozen_model.pb")

    def make(to: Path) -> None:
        to.write_bytes(_convert(source, network.calibration, static))

    path = network.converted(source, name, packages, make)
    interpreter = interpreters.Interpreter(str(path), num_threads=load.threads)
    given = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(given, [load.batch, SIDE, SIDE, 1])
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    if static and tuple(details["quantization"]) != (2.0**-FIX_POINT, 0):
        raise GraphError(f"{path}: its input's scale is {details['quantization']}, not 1/128")

    def run(inputs: Int8) -> Any:
        interpreter.set_tensor(given, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return InPython(run, network, load)


def _convert(frozen: Path, calibration: Int8, static: bool) -> bytes:
    try:
        tf = import_tensorflow()
    except MissingDependencyError:
        raise MissingDependencyError(
            "TensorFlow converts the model: pip install 'edgeglyph[bench,train]'"
        ) from None
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(frozen.read_bytes())

    def network(values: Any) -> Any:
        fed = values if static else tf.cast(values, tf.float32) * 2.0**-FIX_POINT
        return tf.graph_util.import_graph_def(graph, {INPUT: fed}, [f"{LOGITS}:0"], name="")[0]

    spec = tf.TensorSpec([None, SIDE, SIDE, 1], tf.float32 if static else tf.int8)
    function = tf.function(network).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if static:
        whole_range = np.resize(np.array([-128, 127], np.int8), (1, *calibration.shape[1:]))
        images = to_float(np.concatenate([calibration, whole_range]))
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    converted: bytes = converter.convert()
    return converted


_CALL = "Interpreter.set_tensor, invoke, get_tensor"
_NEEDS = ("ai-edge-litert", "tensorflow-cpu", "tensorflow")
STATIC = Engine(
    "LiteRT", "int8, static", _CALL, _NEEDS, lambda network, load: _open(network, load, True)
)
DYNAMIC = Engine(
    "LiteRT", "int8, dynamic", _CALL, _NEEDS, lambda network, load: _open(network, load, False)
)
