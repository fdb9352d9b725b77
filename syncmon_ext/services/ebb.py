"""After a crowd has left, the allocator's free memory is given back to the system."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Final

CROWD: Final = 200  # clients that left; fewer leave less than a mebibyte
CALM_SECONDS: Final = 5.0  # since the last one left, or the next ones would ask for it again
LEAST_SECONDS: Final = 60.0  # between two times


class Ebb:
    """Notices that many clients have left; to be looked at now and then, off the event loop.

    glibc keeps what it was given back amid what is in use, some 3 KiB a client. Giving it to the
    system takes a millisecond after 2,000 clients. Other allocators do so by themselves, or cannot.
    """

    def __init__(
        self,
        clients: Callable[[], int],
        give_back: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._give_back = give_back or _trim()
        self._clock = clock
        self._most = self._last = 0
        self._fell_at = self._gave_at = float("-inf")

    def look(self) -> None:
        """Give memory back, if it is time to."""
        if self._give_back is None:
            return
        now, count = self._clock(), self._clients()
        if count != self._last:
            self._last, self._fell_at = count, now
            self._most = max(self._most, count)
        if self._most - count < CROWD or now - self._fell_at < CALM_SECONDS:
            return
        if now - self._gave_at >= LEAST_SECONDS:
            self._gave_at, self._most = now, count
            self._give_back()


def _trim() -> Callable[[], object] | None:
    """glibc's ``malloc_trim``, which holds nobody up but those who allocate; None elsewhere."""
    if sys.platform != "linux":
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # musl has none
        return None
    return lambda: trim(ctypes.c_size_t(0))
