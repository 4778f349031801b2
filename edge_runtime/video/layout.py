"""The same cells from frame to frame, although outlines come and go."""

from edge_runtime.video.geometry import Box

_SAME = 0.4  # overlap from which two boxes show the same character
PATIENCE = 2  # frames in a row that must show other cells before they are believed


class Layout:
    """Holds a field's boxes; other ones replace them when two frames in a row agree on them."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self._waiting: list[Box] = []
        self._seen = 0

    def update(self, found: list[Box]) -> bool:
        """Take a frame's boxes; return whether the cells are other ones than before."""
        if _same(found, self.boxes):
            self.boxes, self._seen = found, 0
            return False
        self._seen = self._seen + 1 if self._seen and _same(found, self._waiting) else 1
        self._waiting = found
        if self.boxes and self._seen < PATIENCE:
            return False
        self.boxes, self._seen = found, 0
        return True


def _same(one: list[Box], other: list[Box]) -> bool:
    return len(one) == len(other) and all(
        a.row == b.row and a.overlap(b) >= _SAME for a, b in zip(one, other, strict=True)
    )
