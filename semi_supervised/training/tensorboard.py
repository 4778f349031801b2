"""What TensorBoard shows of a training: curves and generated images, an epoch a point."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Events:
    """Writes event files into a folder; ``tensorboard --logdir`` reads them."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: dict[str, Any], sheet: npt.NDArray[np.uint8] | None) -> None:
        """Add an epoch: the numbers of its ``row`` and a gray picture, [height, width]."""
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name.replace("_", "/", 1), value)
            if sheet is not None:
                tf.summary.image("generated", sheet[np.newaxis, ..., np.newaxis])
        self._writer.flush()
