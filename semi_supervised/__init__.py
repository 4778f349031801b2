"""From a few labeled characters to a frozen classifier.

Where characters come from: ``sources`` (with ``download``) finds given images, ``synthesis`` draws
characters as the world shows them, ``background`` and ``negatives`` what is not a character.
``data`` is the stage that looks into all of them, splits them (``splits``), and writes the manifest
and contact sheets (``sheets``).

``training`` turns them into a network: ``images`` and ``augment`` → ``batches`` (with
``frequencies``) → ``networks`` → ``losses`` → ``step`` → ``trainer`` → ``checkpoints``. ``freeze``
exports it; ``adapt`` tells what a network that started from another one has gained. ``settings``
holds every knob, ``presets/`` their values. ``fake_quantization`` rounds a network's tensors as the
DPU does, for training.

TensorFlow is imported by ``training.networks`` and what builds on it, by ``freeze`` and by
``fake_quantization``.
"""
