"""Classify characters by an OpenVINO model: classify_openvino.py FOLDER IMAGE…."""

import sys

import openvino
from characters import main, read_about

about, path = read_about(sys.argv[1])
# Without the hint it computes in bf16 where the processor has it, and other classes come out.
settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
model = openvino.Core().compile_model(str(path), "CPU", settings)
main(lambda pixels: model(pixels)[0], about, sys.argv[2:])
