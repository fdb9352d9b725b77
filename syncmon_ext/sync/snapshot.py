"""Holds one exported snapshot of the source open, in a process of its own, while a run needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import DatabaseUnavailable
from syncmon_ext.sync import jobs
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.pool import ChildPool, Notice, tell

ALIVE_SECONDS: Final = 5.0  # between two signs of life of the holding transaction
LOOK_SECONDS: Final = 0.02  # between two looks whether a command or an error has come instead
LABEL: Final = "snapshot"


def hold(source: Connection) -> None:
    """The job: export a snapshot, tell its name, and keep it until this process is killed."""
    with jobs.hold_snapshot(source) as snapshot:
        tell(LABEL, snapshot or "")
        fault_point("snapshot.taken")
        while snapshot:
            time.sleep(ALIVE_SECONDS)


class SnapshotHolder:
    """Takes a snapshot where the source has such a thing, and lets it go."""

    def __init__(self, source: Connection) -> None:
        self._source = source
        self._pool: ChildPool | None = None
        self._future: Future[Any] | None = None
        self._begun = False
        self._name: str | None = None
        self._named = threading.Event()

    def begin(self) -> None:
        """Begin to take a snapshot, where the source has such a thing: ``take`` waits for it."""
        if self._source.url.startswith("sqlite"):
            return
        self.release()
        self._name = None
        self._named.clear()
        self._pool = ChildPool(1, [self._source.name], self._noticed)
        self._future = self._pool.submit(hold, self._source)
        self._begun = True

    def take(self, obey: Callable[[], None]) -> str | None:
        """The name of a new snapshot, or of the one that has begun; None where the source (SQLite) has none.

        Raises what the database said when it cannot be taken.
        """
        if not self._begun:
            self.begin()
        self._begun = False
        if self._future is None:
            return None
        while self._name is None:
            if self._future.done():
                self._future.result()
                raise DatabaseUnavailable(f"{self._source.name} gave no snapshot")
            obey()
            self._named.wait(LOOK_SECONDS)
        return self._name or None

    def release(self) -> None:
        """End the transaction that holds the snapshot."""
        self._begun = False
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = self._future = None

    def _noticed(self, notice: Notice) -> None:
        self._name = notice.message
        self._named.set()
