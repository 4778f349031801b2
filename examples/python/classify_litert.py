"""Classify characters by a .tflite model: classify_litert.py FOLDER IMAGE…."""

import sys

from ai_edge_litert.interpreter import Interpreter
from characters import main, read_about

about, path = read_about(sys.argv[1])
interpreter = Interpreter(str(path), num_threads=1)
interpreter.allocate_tensors()
given = interpreter.get_input_details()[0]["index"]
result = interpreter.get_output_details()[0]["index"]


def run(pixels):
    """Logits of one image."""
    interpreter.set_tensor(given, pixels)
    interpreter.invoke()
    return interpreter.get_tensor(result)


main(run, about, sys.argv[2:])
