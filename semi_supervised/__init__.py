"""From a few labeled characters to a frozen classifier.

Where characters come from: ``sources`` (with ``download``) finds given images, ``synthesis`` draws
characters as the world shows them, ``background`` and ``negatives`` what is not a character.
``data`` is the stage that looks into all of them, splits them (``splits``), and writes the manifest
and contact sheets (``sheets``).

Training, in reading order: ``training_images`` and ``augment`` → ``batches`` (with
``frequencies``) → ``networks`` → ``losses`` → ``trainer`` → ``checkpoints`` → ``freeze``.
``settings`` holds every knob, ``presets/`` their values.

TensorFlow is imported by ``networks``, ``losses``, ``trainer`` and ``freeze`` only.
"""
