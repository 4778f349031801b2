"""From a few labeled characters to a frozen classifier.

Reading order: ``fonts`` and ``synthesis`` (drawn characters) → ``splits`` and ``data`` (a
manifest of train, validation and test images) → ``augment`` → ``batches`` → ``networks`` →
``losses`` → ``trainer`` → ``checkpoints`` → ``freeze``. ``settings`` holds every knob,
``presets/`` their values.

TensorFlow is imported by ``networks``, ``losses``, ``trainer`` and ``freeze`` only.
"""
