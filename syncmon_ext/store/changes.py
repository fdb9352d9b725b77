"""Whether anything in the store changed: what a reader waits for before it reads."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Final

from syncmon_ext.store.store import Store
from syncmon_ext.store.tasks import NEWS_CHANNEL

POLL_SECONDS: Final = 0.25  # a database server is asked over the network, while it has told nothing
TOLD_POLL_SECONDS: Final = 2.0  # once it was seen to tell: only in case that something is not told


class Changes:
    """Watches a store from one thread, over a connection of its own.

    SQLite answers in microseconds and is asked; PostgreSQL tells by itself with NOTIFY, and is polled
    as well: a pooler may stand between that passes no notifications on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._raw: Any = None
        self._version: int | None = None
        self._tells = False

    def wait(self, stop: threading.Event, pause: float) -> bool:
        """Wait up to ``pause`` seconds, or longer for a database server's word.

        True where something was committed since the last call, or may have been; raises what the
        driver raises.
        """
        if self._raw is None:
            self._open()
            return True
        return self._ask(stop, pause) if self._store.is_sqlite else self._listen()

    def _open(self) -> None:
        pooled = self._store.engine.raw_connection()
        pooled.detach()  # it is closed at the end, not given to others who do not listen
        self._raw = pooled.dbapi_connection
        self._tells = False
        if self._store.is_sqlite:
            self._version = self._data_version()
        else:
            self._raw.autocommit = True
            self._raw.execute(f"LISTEN {NEWS_CHANNEL}")

    def _ask(self, stop: threading.Event, pause: float) -> bool:
        stop.wait(pause)
        before, self._version = self._version, self._data_version()
        return before != self._version

    def _data_version(self) -> int:
        # The value changes with each commit of any other connection, in whatever process.
        cursor = self._raw.execute("PRAGMA data_version")
        version = int(cursor.fetchone()[0])
        cursor.close()
        return version

    def _listen(self) -> bool:
        timeout = TOLD_POLL_SECONDS if self._tells else POLL_SECONDS
        if any(True for _ in self._raw.notifies(timeout=timeout, stop_after=1)):
            self._tells = True
        return True

    def close(self) -> None:
        """Close the connection; the next ``wait`` opens another one."""
        if self._raw is not None:
            with contextlib.suppress(Exception):  # the file may be gone; so is the connection then
                self._raw.close()
            self._raw = None
