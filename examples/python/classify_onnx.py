"""Classify characters by an ONNX model: classify_onnx.py FOLDER IMAGE…."""

import sys

import onnxruntime
from characters import main, read_about

about, path = read_about(sys.argv[1])
options = onnxruntime.SessionOptions()
# Without it onnx-qdq's products saturate on processors that have AVX2 but no VNNI.
options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
main(lambda pixels: session.run(None, {name: pixels})[0], about, sys.argv[2:])
