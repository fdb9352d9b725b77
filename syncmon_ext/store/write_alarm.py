"""A file that tells when it is written, where the system can say so: nobody has to look in between."""

from __future__ import annotations

import sys
from pathlib import Path


class WriteAlarm:
    """Rings when any process of this host writes to ``path``; raises OSError where that cannot be told.

    Linux: inotify(7), of which a user has 128 instances by default, and which knows nothing of what other
    hosts write.
    """

    def __init__(self, path: Path) -> None:
        if sys.platform != "linux":
            raise OSError(f"{sys.platform} does not tell of writes to {path}")
        from inotify_simple import INotify, flags  # there is none elsewhere

        self._inotify = INotify()
        try:
            self._inotify.add_watch(path, flags.MODIFY)
        except OSError:
            self._inotify.close()
            raise

    def wait(self, seconds: float) -> bool:
        """Whether there was a write since the last call, or is one within ``seconds``."""
        return bool(self._inotify.read(timeout=round(seconds * 1000)))

    def close(self) -> None:
        """Ring no more."""
        self._inotify.close()
