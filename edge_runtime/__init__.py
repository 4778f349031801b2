"""What a board needs: preprocessing, the bundle, back ends, scores and evaluation.

Follow one image through these files, in this order:

``images`` (file to gray pixels) → ``preprocess`` (gray pixels to a 32×32 int8 input) →
``runners`` (input to logits; ``integer`` is the exact reference) → ``scores`` (logits to
probabilities) → ``recognizer`` (all of it behind one call).

This package needs NumPy and Pillow only, and imports nothing else of the project.
"""

__version__ = "0.1.0"
