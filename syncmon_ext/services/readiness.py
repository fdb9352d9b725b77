"""When a worker stands by: while somebody watches, and nothing is under way that it would take time from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from syncmon_ext.services.supervisor import Supervisor

KEPT_SECONDS: Final = (
    60.0  # after the last one has left: a page that is loaded again is away for a moment
)


class Readiness:
    """Has a worker ready, or none; to be looked at about once a second, off the event loop."""

    def __init__(
        self,
        clients: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._watched_at = float("-inf")

    def look(self, supervisor: Supervisor, *, active: bool) -> None:
        """Get a worker ready, if it is time to, or let it go."""
        now = self._clock()
        if self._clients():
            self._watched_at = now
            if not active:
                supervisor.stand_by()
        elif now - self._watched_at > KEPT_SECONDS:
            supervisor.stand_down()
