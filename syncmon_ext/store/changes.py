"""Whether anything in the store changed: what a reader waits for before it reads."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any, Final

from syncmon_ext.store.store import Store
from syncmon_ext.store.tasks import NEWS_CHANNEL
from syncmon_ext.store.write_alarm import WriteAlarm

POLL_SECONDS: Final = 0.25  # a database server is asked over the network, while it has told nothing
TOLD_POLL_SECONDS: Final = 2.0  # once it was seen to tell: only in case that something is not told
# SQLite writes a commit to its log in pieces, and then, in memory, makes it count: some looks must follow.
FIRST_LOOK_SECONDS: Final = 0.002
LAST_LOOK_SECONDS: Final = 0.25
LOOKS_FALL_BY: Final = 4


class Changes:
    """Watches a store from one thread, over a connection of its own.

    SQLite answers in microseconds and is asked: when its log was written, or all the time where the
    system does not tell of that. PostgreSQL tells by itself with NOTIFY, and is polled as well: a pooler
    may stand between that passes no notifications on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._raw: Any = None
        self._version: int | None = None
        self._alarm: WriteAlarm | None = None
        self._may_ring = True
        self._look_in = FIRST_LOOK_SECONDS
        self._tells = False

    def wait(self, stop: threading.Event, pause: float) -> bool:
        """Wait ``pause`` seconds, or up to LAST_LOOK_SECONDS where the system tells of each write, or
        TOLD_POLL_SECONDS for a database server's word. With a ``pause`` of 0 SQLite is asked at once.

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
        if pause:
            self._await_write(stop, pause)
        before, self._version = self._version, self._data_version()
        return before != self._version

    def _await_write(self, stop: threading.Event, pause: float) -> None:
        alarm = self._set_alarm()
        if alarm is None:
            stop.wait(pause)
        elif alarm.wait(self._look_in):
            self._look_in = FIRST_LOOK_SECONDS
            stop.wait(FIRST_LOOK_SECONDS)  # the pieces of a commit ring once
        else:
            self._look_in = min(LAST_LOOK_SECONDS, LOOKS_FALL_BY * self._look_in)

    def _set_alarm(self) -> WriteAlarm | None:
        if self._alarm is None and self._may_ring:
            file = Path(self._store.url.database or "").resolve()  # the log is beside no link to it
            try:
                self._alarm = WriteAlarm(file.with_name(f"{file.name}-wal"))
            except OSError:  # with a rollback journal, as on a network's filesystem, there is none
                self._may_ring = False
        return self._alarm

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
        if self._alarm is not None:
            self._alarm.close()
        self._alarm, self._may_ring, self._look_in = None, True, FIRST_LOOK_SECONDS
        if self._raw is not None:
            with contextlib.suppress(Exception):  # the file may be gone; so is the connection then
                self._raw.close()
            self._raw = None
