"""Counts what a COPY sends to PostgreSQL."""

from __future__ import annotations

import time
from typing import Any

from psycopg import copy as psycopg_copy


class CountingWriter(psycopg_copy.LibpqWriter):
    """Counts what goes to the server, and the time it takes to hand it over."""

    def __init__(self, cursor: Any) -> None:
        super().__init__(cursor)
        self.bytes = 0
        self.seconds = 0.0

    def write(self, data: Any) -> None:
        """Send a buffer."""
        started = time.perf_counter()
        super().write(data)
        self.seconds += time.perf_counter() - started
        self.bytes += len(data)
