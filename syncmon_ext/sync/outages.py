"""What a run's log tells of outages that several children meet at once: each once."""

from __future__ import annotations

import threading
from typing import Final

AT_ONCE_SECONDS: Final = 10.0  # less than a child lets pass before it tells again


class Outages:
    """The outages that the jobs of a run have told of, by their labels."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_news(self, label: str, now: float) -> bool:
        """Whether a failed try is to be told, as another child has not told of one just now."""
        with self._lock:
            last = self._told.get(label)
            if last is not None and now - last < AT_ONCE_SECONDS:
                return False
            self._told[label] = now
            return True

    def ended(self, label: str) -> bool:
        """Whether the end is to be told: once for each outage."""
        with self._lock:
            return self._told.pop(label, None) is not None
