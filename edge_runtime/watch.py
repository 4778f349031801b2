"""Images as they appear in folders, by looking again and again.

Looking works on every file system, network shares and memory cards among them, where events of the
kernel do not arrive, and needs nothing installed. A file counts as written once its size and time
are the same at two looks in a row; one that cannot be read even so is given ``PATIENCE`` further
looks, since a writer may pause.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.images import IMAGE_SUFFIXES

INTERVAL_S = 0.5
PATIENCE = 4
_State = tuple[int, int]  # size in bytes, time of change in ns


@dataclass
class _Seen:
    state: _State
    looks: int = 0  # with this state
    done: bool = False


class FolderWatch:
    """Yields image files below folders, each once, and again whenever it has changed.

    >>> for path, final in FolderWatch([Path("inbox")]).files():   # doctest: +SKIP
    ...     ...

    A file comes with ``final`` False first. Unless `done` is called with it, it comes again, the
    last time with ``final`` True.
    """

    def __init__(
        self, folders: Sequence[Path], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._folders = folders
        self._pause = pause
        self._seen: dict[Path, _Seen] = {}

    def files(self) -> Iterator[tuple[Path, bool]]:
        """Yield (path, final) without end."""
        while True:
            started = time.monotonic()
            yield from self.look()
            # A folder so large that a look takes long is looked at less often.
            self._pause(max(INTERVAL_S, 3 * (time.monotonic() - started)))

    def look(self) -> Iterator[tuple[Path, bool]]:
        """Look once; yield what is to be read now, in order of names."""
        found = dict(sorted(self._states()))
        for gone in self._seen.keys() - found.keys():
            del self._seen[gone]
        for path, state in found.items():
            seen = self._seen.get(path)
            if seen is None or seen.state != state:
                self._seen[path] = _Seen(state)
            elif not seen.done:
                seen.looks += 1
                seen.done = seen.looks > PATIENCE
                yield path, seen.done

    def done(self, path: Path) -> None:
        """Say that a file was read, so that it does not come again until it changes."""
        self._seen[path].done = True

    def _states(self) -> Iterator[tuple[Path, _State]]:
        for folder in self._folders:
            for path in folder.rglob("*"):
                if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
                    continue
                try:
                    status = path.stat()
                except OSError:  # gone since it was listed
                    continue
                if path.is_file():
                    yield path, (status.st_size, status.st_mtime_ns)
