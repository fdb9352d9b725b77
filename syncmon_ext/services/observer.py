"""What a server sees happen in its store: changes of runs, each told once, and numbers for metrics."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

import msgspec

from syncmon_ext.model.state import ACTIVE, State
from syncmon_ext.store import announcements
from syncmon_ext.store.announcements import Announcement, Totals
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.store import Store

CLOCK_JUMP: Final = timedelta(hours=1)  # a run may seem to have begun before one that it followed


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """What metrics show."""

    runs: dict[State, int] = {}
    rows: int = 0  # committed while this server looked on; only ever grows
    bytes: int = 0
    seen_at: float = 0.0  # time.monotonic() of the last look that succeeded

    @property
    def is_active(self) -> bool:
        """Whether a run has, or should have, a worker."""
        return any(self.runs.get(state, 0) for state in ACTIVE)


class Observer:
    """Looks at the store about once a second, from one thread."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._totals: dict[str, Totals] = {}
        self._began: Final = utc_now()
        self._since = self._began  # the runs that are no task's newest are looked at from here on
        self.numbers = Numbers(seen_at=time.monotonic())

    def look(self) -> list[Announcement]:
        """The changes of runs that no server has told of yet; they count as told now."""
        with self._store.read() as connection:
            counts = announcements.runs_by_state(connection)
            totals = announcements.totals(connection, self._since)
            pending = announcements.pending(connection)
        self._count(counts, totals)
        if not pending:
            return []
        with self._store.write() as connection:
            # Another server over the same store may be faster: who changes the row tells.
            return [found for found in pending if announcements.claim(connection, found)]

    def look_past(self) -> None:
        """Nothing has changed since the last look."""
        self.numbers = msgspec.structs.replace(self.numbers, seen_at=time.monotonic())

    def _count(self, counts: dict[State, int], totals: dict[str, Totals]) -> None:
        rows, sent = self.numbers.rows, self.numbers.bytes
        for run_id, now in totals.items():
            before = self._totals.get(run_id)
            if before is not None:
                rows += max(0, now.rows - before.rows)
                sent += max(0, now.bytes - before.bytes)
            elif (
                now.started_at >= self._began
            ):  # what was copied earlier is not of this server's time
                rows, sent = rows + now.rows, sent + now.bytes
        self._totals = totals
        newest = max((now.started_at for now in totals.values()), default=self._began)
        self._since = max(self._began, newest - CLOCK_JUMP)
        self.numbers = Numbers(runs=counts, rows=rows, bytes=sent, seen_at=time.monotonic())
