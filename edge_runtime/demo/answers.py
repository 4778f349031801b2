"""What the page shows of an image, computed by the recognizer."""

import json
import threading
import time
from typing import Any

from edge_runtime.demo.strokes import parse_strokes, render_strokes
from edge_runtime.errors import InputError
from edge_runtime.images import Gray, decode_gray
from edge_runtime.look_alikes import either
from edge_runtime.preprocess import preprocess
from edge_runtime.recognizer import Recognizer
from edge_runtime.scores import MILLION

_TOP_K = 6


class Answers:
    """Answers one request at a time, so that a heap of large images cannot fill the memory."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.recognizer = recognizer
        self._one_at_a_time = threading.Lock()

    def of_drawing(self, body: bytes) -> dict[str, Any]:
        """Answer strokes: ``{"strokes": [[[x, y], …], …]}``; `InputError` if they are none."""
        try:
            drawing = json.loads(body)
        except (ValueError, RecursionError):
            raise InputError("the drawing is not JSON") from None
        strokes = parse_strokes(drawing.get("strokes") if isinstance(drawing, dict) else None)
        with self._one_at_a_time:
            return self.of_pixels(render_strokes(strokes))

    def of_image(self, body: bytes) -> dict[str, Any]:
        """Answer an image file's bytes; `ImageError` if they cannot be read."""
        with self._one_at_a_time:
            return self.of_pixels(decode_gray(body, "the picture"))

    def of_pixels(self, gray: Gray) -> dict[str, Any]:
        """Answer gray pixels, uint8 [height, width]; probabilities are 0 to 1."""
        started = time.perf_counter()
        inputs = preprocess(gray)
        (p,) = self.recognizer.classify_inputs([inputs], _TOP_K)
        took = time.perf_counter() - started
        threshold = self.recognizer.bundle.threshold
        return {
            "label": p.label,
            "confidence": p.confidence / MILLION,
            "p_real": p.p_real / MILLION,
            "threshold": None if threshold is None else threshold / MILLION,
            "character": None if threshold is None else p.p_real >= threshold,
            "top": [[label, value / MILLION] for label, value in p.top],
            "alike": either([symbol for symbol, _ in p.alike]) if len(p.alike) > 1 else "",
            "alike_confidence": p.alike_confidence / MILLION,
            "logits": list(p.logits),
            "input": (inputs[..., 0].astype(int) + 128).ravel().tolist(),
            "width": gray.shape[1],
            "height": gray.shape[0],
            "ms": round(1000 * took, 2),
        }
