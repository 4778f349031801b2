"""OpenVINO, quantized by NNCF after training."""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bench.engine import Engine, InPython, Load, Network, need
from edge_runtime.bench.engines.onnx_graph import float_model
from edge_runtime.layers import Int8
from edge_runtime.preprocess import FIX_POINT, SIDE, to_float


def _open(network: Network, load: Load) -> InPython:
    ov = need("openvino")
    source = network.model("model.onnx")

    def make(to: Path) -> None:
        nncf = need("nncf")
        images = to_float(network.calibration)
        data = nncf.Dataset([image[np.newaxis] for image in images])
        model = ov.Core().read_model(str(float_model(network)))
        quantized = nncf.quantize(model, data, subset_size=len(images))
        ov.save_model(quantized, str(to), compress_to_fp16=False)

    path = network.converted(source, "int8.xml", "openvino nncf onnx", make)
    model = ov.Core().read_model(str(path))
    model.reshape([load.batch, SIDE, SIDE, 1])
    steps = ov.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.i8)
    steps.input().preprocess().convert_element_type(ov.Type.f32).scale(2.0**FIX_POINT)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else it takes bf16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": load.threads,
        "ENABLE_CPU_PINNING": False,  # the race pins for all
    }
    request = ov.Core().compile_model(steps.build(), "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.zeros((load.batch, SIDE, SIDE, 1), np.int8)))
    given, result = request.get_input_tensor().data, request.get_output_tensor().data

    def run(inputs: Int8) -> Any:
        given[:] = inputs
        request.infer(share_outputs=True)
        return result

    return InPython(run, network, load)


INT8 = Engine(
    "OpenVINO",
    "int8, NNCF",
    "InferRequest.infer on its own tensors",
    ("openvino", "nncf", "onnx"),
    _open,
)
