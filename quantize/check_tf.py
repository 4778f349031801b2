"""Run quantize_eval_stock.pb in TensorFlow against the integer reference, integer for integer."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from edge_runtime import exactness
from edge_runtime.errors import VerificationError
from edge_runtime.integer import Logits
from edge_runtime.layers import Int8, IntegerNetwork
from edge_runtime.tensorflow_import import import_tensorflow
from quantize.check_onnx import compare_on_probes


def tensorflow_is_installed() -> bool:
    """Whether TensorFlow can be imported; it is not, for this question."""
    return find_spec("tensorflow") is not None


def verify_stock(
    model: bytes, output: str, network: IntegerNetwork, calibration: Int8, name: str
) -> int:
    """Compare the graph with the reference on all probes, in batches of 1 and of 64.

    Parameters
    ----------
    model : a serialized GraphDef;  output : its logits' node;  name : what to call it in messages
    calibration : int8 [N, height, width, channels], real inputs

    Returns
    -------
    The number of inputs compared.

    Raises
    ------
    VerificationError
        Naming the first input and class whose integers differ; or where a self-test shows that
        TensorFlow on this machine does not add exactly.
    """
    tf = import_tensorflow()
    exactness.check_tensorflow(tf)
    definition = tf.compat.v1.GraphDef()
    graph = tf.Graph()
    try:
        definition.ParseFromString(model)
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
        fed, logits = graph.get_operations()[0].outputs[0], graph.get_tensor_by_name(f"{output}:0")
    except Exception as error:  # protobuf's DecodeError has no stable home
        reason = str(error).splitlines()[0]
        raise VerificationError(f"{name}: TensorFlow does not load it ({reason})") from None
    with tf.compat.v1.Session(graph=graph) as session:

        def run(inputs: Int8) -> Logits:
            values = np.ldexp(inputs.astype(np.float32), -network.input_fix_point)
            return _integers(session.run(logits, {fed: values}), network)

        return compare_on_probes(run, network, calibration, name, "TensorFlow")


def _integers(values: Any, network: IntegerNetwork) -> Logits:
    """Return the integers that values stand for; what is none is left as it is."""
    scaled = np.ldexp(values.astype(np.float64), network.logits_fix_point)
    scaled = scaled.reshape(len(values), -1)
    dtype = np.int32 if network.int32_logits else np.int8
    whole: Logits = scaled.astype(dtype)
    return whole if np.array_equal(scaled, scaled.round()) else scaled
