"""Import TensorFlow without its start-up notes, which it writes before any log level applies."""

import importlib
import logging
import os
import sys
import tempfile
from typing import Any

from edge_runtime.errors import MissingDependencyError


def import_tensorflow() -> Any:
    """Return the module ``tensorflow``; its notes on CPU features are shown only if it fails.

    Raises
    ------
    MissingDependencyError
        TensorFlow is not installed.
    """
    if sys.modules.get("tensorflow"):
        return sys.modules["tensorflow"]
    for name in ("tensorflow", "tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read by its C++ part, once, at import
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        failed = True
        try:
            tf = importlib.import_module("tensorflow")
            tf.config.list_logical_devices()  # the second half of the notes comes here
            failed = False
        except ModuleNotFoundError:
            failed = False
            raise MissingDependencyError(
                "this needs TensorFlow: pip install 'edgeglyph[train]'"
            ) from None
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            if failed:
                notes.seek(0)
                sys.stderr.write(notes.read().decode("utf-8", "replace"))
    return tf
