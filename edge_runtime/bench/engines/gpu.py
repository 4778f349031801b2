"""The float network on an NVIDIA GPU: rows that are there where such a GPU is.

A call takes bytes from the processor's memory and brings logits back to it, as for all others. Both
compute in fp32: TF32, which these libraries take by themselves, is switched off.
"""

import shutil
import subprocess
from typing import Any

from edge_runtime.bench.engine import Engine, InPython, Network
from edge_runtime.errors import InputError, MissingDependencyError
from edge_runtime.files import content_bytes
from edge_runtime.formats import onnx_formats
from edge_runtime.formats.format import Load, need
from edge_runtime.formats.onnx_graph import BIAS_ADD, INPUT
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE
from edge_runtime.tensorflow_import import import_tensorflow

_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})


def has_gpu() -> bool:
    """Whether the driver lists an NVIDIA GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "GPU" in done.stdout


def _open_onnx(network: Network, load: Load) -> InPython:
    ort = need("onnxruntime", "onnx")
    if _CUDA[0] not in ort.get_available_providers():
        raise MissingDependencyError("this ONNX Runtime has no CUDA: pip install onnxruntime-gpu")
    one = onnx_formats.FLOAT
    path = network.converted(
        network.source.model(one.model),
        f"{one.name}{one.suffix}",
        one.packages,
        lambda to: one.make(network.source, to),
    )
    options = onnx_formats.session_options(load)
    session = ort.InferenceSession(str(path), options, providers=[_CUDA])
    if session.get_providers()[0] != _CUDA[0]:  # it goes to the processor without a word
        raise InputError(
            "ONNX Runtime cannot use the GPU; its CUDA and cuDNN are of other releases"
        )
    name, outputs = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def run(inputs: Int8) -> Any:
        return session.run(outputs, {name: inputs})[0]

    return InPython(run, network, load, content_bytes(path))


def _open_tensorflow(network: Network, load: Load) -> InPython:
    tf = import_tensorflow()
    if not tf.config.list_physical_devices("GPU"):
        raise MissingDependencyError("this TensorFlow has no GPU: pip install 'edgeglyph[gpu]'")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    frozen = network.source.model("frozen_model.pb")
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(frozen.read_bytes())

    def logits(values: Any) -> Any:
        fed = tf.cast(values, tf.float32) * 2.0**-FIX_POINT
        return tf.graph_util.import_graph_def(graph, {INPUT: fed}, [f"{BIAS_ADD}:0"], name="")[0]

    with tf.device("/GPU:0"):
        spec = tf.TensorSpec([load.batch, SIDE, SIDE, 1], tf.int8)
        function = tf.function(logits).get_concrete_function(spec)

    def run(inputs: Int8) -> Any:
        with tf.device("/GPU:0"):
            return function(tf.constant(inputs)).numpy()

    return InPython(run, network, load, frozen.stat().st_size)


TENSORFLOW = Engine(
    "TensorFlow, GPU", "fp32", "a concrete function, and numpy()",
    ("tensorflow",), _open_tensorflow, most_threads=1,
)  # fmt: skip
ONNX_RUNTIME = Engine(
    "ONNX Runtime, CUDA", "fp32", "InferenceSession.run",
    ("onnxruntime-gpu", "onnx"), _open_onnx, most_threads=1,
)  # fmt: skip
