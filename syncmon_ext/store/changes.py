"""Whether anything in the store changed since one looked last: what a poll asks first."""

from __future__ import annotations

import contextlib
from typing import Any

from syncmon_ext.store.store import Store


class Changes:
    """Watches a store from one thread. SQLite tells in microseconds, from a connection of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._raw: Any = None
        self._version: int | None = None

    def seen(self) -> bool:
        """Whether something was committed since the last call; where that is not known: True."""
        if not self._store.is_sqlite:
            return True
        if self._raw is None:
            with self._store.read() as connection:  # says what is wrong where it cannot be opened
                connection.exec_driver_sql("SELECT 1")
            self._raw = self._store.engine.raw_connection()
            self._version = None
        # The value changes with each commit of any other connection, in whatever process.
        cursor = self._raw.dbapi_connection.execute("PRAGMA data_version")
        version = int(cursor.fetchone()[0])
        cursor.close()
        changed = version != self._version
        self._version = version
        return changed

    def close(self) -> None:
        """Give the connection back."""
        if self._raw is not None:
            with contextlib.suppress(Exception):  # the file may be gone; so is the connection then
                self._raw.close()
            self._raw = None
