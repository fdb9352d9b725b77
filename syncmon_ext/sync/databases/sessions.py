"""The connections of a job's thread: opened when needed, kept for the next job, dropped on error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import msgspec

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.engine_url import dialect

AnySession = SqliteSession | PostgresSession
_Key = tuple[bytes, str]


class _Own(threading.local):
    """What a thread has: a connection is not used by two."""

    def __init__(self) -> None:
        self.kept: dict[_Key, AnySession] = {}
        # Backends whose connection broke: they may still be at work on a transaction of ours.
        self.orphans: dict[_Key, list[int]] = {}
        self.watch: Callable[[AnySession], None] | None = None


_own = _Own()
READER = "syncmon/source"
TERMINATE_MILLISECONDS = 5_000


def usual_settings(session: AnySession) -> AbstractContextManager[None]:
    """Around statements that fire the target's triggers, see PostgresSession; SQLite has no settings that
    they could go by."""
    return session.usual_settings() if isinstance(session, PostgresSession) else nullcontext()


def settled_names(session: AnySession) -> AbstractContextManager[None]:
    """Around a look at the types of a target, see PostgresSession; those of SQLite have no schemas."""
    return session.settled_names() if isinstance(session, PostgresSession) else nullcontext()


@contextmanager
def opened(connection: Connection, role: str) -> Iterator[AnySession]:
    """A session for ``role``: READER, or the application name of a writer.

    Kept for the next job of this thread after a block that ended well, closed after an error.
    """
    key = (msgspec.json.encode(connection), role)
    session = _own.kept.pop(key, None)
    if session is not None and (session.broken or _moved(session)):
        session.close()
        session = None
    if session is None:
        session = connect(connection, role)
        _end_orphans(session, key)
    try:
        yield session
    except BaseException:
        if isinstance(session, PostgresSession):
            _own.orphans.setdefault(key, []).append(session.pid)
        session.close()
        raise
    if key in _own.kept:  # a job within a job used the same connection
        session.close()
    else:
        _own.kept[key] = session


def _moved(session: AnySession) -> bool:
    return isinstance(session, SqliteSession) and session.moved


def connect(connection: Connection, role: str) -> AnySession:
    """A new session that is not kept."""
    session: AnySession
    if dialect(connection) == "sqlite":
        session = SqliteSession(connection, read_only=role.startswith(READER))
    else:
        reads = role.startswith(READER)
        session = PostgresSession(connection, application_name=role, read_only=reads)
    if _own.watch is not None:
        _own.watch(session)
    return session


def watch(watcher: Callable[[AnySession], None] | None) -> None:
    """Show every session that this thread opens from now on to ``watcher``, which may refuse it."""
    _own.watch = watcher


def _end_orphans(session: AnySession, key: _Key) -> None:
    # A connection broke before the answer to COMMIT came: its backend must not commit after we looked.
    if not isinstance(session, PostgresSession):
        return
    for pid in _own.orphans.pop(key, []):
        session.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity "
            "WHERE pid = %s AND application_name = %s AND pid <> pg_backend_pid()",
            (TERMINATE_MILLISECONDS, pid, session.application_name),
        )


def close_all() -> None:
    """Close every kept session of this thread."""
    while _own.kept:
        _own.kept.popitem()[1].close()
    _own.orphans.clear()
