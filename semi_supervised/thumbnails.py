"""Small pictures for pages that need nothing but themselves."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from edge_runtime.errors import ImageError
from edge_runtime.images import read_gray

_SIDE = 96  # pixels, longer side


def thumbnails(files: Iterable[str]) -> dict[str, str]:
    """Data URI of each file's picture; none for one that cannot be read any more."""
    found = {}
    for file in files:
        try:
            picture = Image.fromarray(read_gray(Path(file)))
        except ImageError:
            continue
        picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85)
        text = base64.b64encode(stream.getvalue()).decode("ascii")
        found[file] = f"data:image/jpeg;base64,{text}"
    return found
