"""The store: syncmon's own database, shared by servers, commands and workers."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from syncmon_ext.model.errors import InvalidConfig, StoreUnavailable
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.filesystem import filesystem_of, is_network
from syncmon_ext.store.migrate import hold_alone, migrate
from syncmon_ext.store.schema import store_identity
from syncmon_ext.store.shown_url import masked

BUSY_SECONDS: Final = 5.0  # how long a writer waits for another one; transactions are milliseconds
IDLE_MILLISECONDS: Final = 10_000  # within a transaction, of a PostgreSQL store
WRITE_OPTION: Final = "syncmon_write"


class Store:
    """An open store. ``read()`` and ``write()`` give a connection inside one transaction.

    Raises StoreUnavailable, with what the database said, when it cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url: Final = checked_url(url)
        self.engine: Final = _engine(self.url)
        self._writer = self.engine.execution_options(**{WRITE_OPTION: True})
        # SQLite's readers see one state by nature.
        self._reader = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        )
        try:
            with _unavailable(self.url):
                migrate(self.engine)
            self.store_id: Final = self._identity()
        except BaseException:
            self.close()
            raise

    @property
    def shown_url(self) -> str:
        """Where it is, for a person: no secret is in it."""
        return masked(self.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether the store is a SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose reads see one state of the store."""
        with _unavailable(self.url), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block; keep it short."""
        with _unavailable(self.url), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def _identity(self) -> str:
        identity = select(store_identity.c.store_id).limit(1)
        with self.read() as connection:
            found: str | None = connection.scalar(identity)
        if found is not None:
            return found
        with self.write() as connection:
            hold_alone(connection)
            found = connection.scalar(identity)
            if found is None:
                found = uuid.uuid4().hex
                connection.execute(
                    insert(store_identity).values(store_id=found, created_at=utc_now())
                )
        return found


def checked_url(url: str) -> URL:
    """The URL of a store, of a file with its whole path; raises InvalidConfig where it is none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidConfig(
            "the store's URL cannot be read",
            hint="write it like sqlite:////path/store.db or postgresql://user@host/database",
        ) from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        if parsed.query:
            raise InvalidConfig(
                f"the store's URL has parameters, {', '.join(parsed.query)}",
                hint="a SQLite store is opened as syncmon needs it: leave them out",
            )
        # Workers open it too, and stand in another folder.
        return parsed.set(database=str(Path(parsed.database).expanduser().absolute()))
    raise InvalidConfig(
        f"the store cannot be kept in {parsed.drivername!r}",
        hint="the store is a SQLite file or a PostgreSQL database",
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT, 0o600))  # the log may hold names of tables
        except OSError as error:
            raise StoreUnavailable(
                f"the store {path} cannot be written: {error.strerror}",
                hint="make its folder writable, or set SYNCMON_STORE to another place",
            ) from error
        engine = create_engine(url, creator=partial(_opened, path))
        event.listen(engine, "connect", _preparation(journal_mode(path)))
    else:
        engine = create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": 10}, pool_recycle=300
        )
        event.listen(engine, "connect", _bound_transactions)
    event.listen(engine, "begin", _begin)
    return engine


def _opened(path: Path) -> sqlite3.Connection:
    """The file that is there: one that was moved away for a while must not be made anew in its place."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_SECONDS, check_same_thread=False
    )


def journal_mode(path: Path) -> str:
    """``WAL``, or ``DELETE`` on a network filesystem: there, WAL loses and corrupts data."""
    return "DELETE" if is_network(filesystem_of(path)) else "WAL"


def _preparation(journal: str) -> Callable[[Any, Any], None]:
    # A WAL survives the loss of its newest transactions; a rollback journal must be synced in full.
    synchronous = "NORMAL" if journal == "WAL" else "FULL"

    def prepare(dbapi_connection: Any, _record: Any) -> None:
        # SQLAlchemy, not the driver, opens transactions: a writer must begin as a writer, or two
        # readers that both want to write fail without waiting.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA synchronous = {synchronous}")
        _set_journal(cursor, journal)
        cursor.close()

    return prepare


def _set_journal(cursor: Any, journal: str) -> None:
    """Change a new file's journal; SQLite itself does not wait for other connections here."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode = {journal}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _bound_transactions(dbapi_connection: Any, _record: Any) -> None:
    # A worker that freezes, or whose host is cut off, between a change and its COMMIT holds the row of
    # its run: nobody could take the run over.
    with dbapi_connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MILLISECONDS}")
    dbapi_connection.commit()


def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        writes = connection.get_execution_options().get(WRITE_OPTION)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _unavailable(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no reason"
        raise StoreUnavailable(
            f"the store {masked(url)} cannot be used: {said}",
            hint=_hint(said),
        ) from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(
            f"the store {masked(url)} cannot be used: {type(error).__name__}",
            hint="run `jupyter syncmon doctor`",
        ) from error


def _hint(said: str) -> str:
    if "locked" in said:
        return "another program holds the store; it is tried again by itself"
    if "full" in said or "No space" in said:
        return "free some space on the disk that holds the store"
    if "unable to open" in said:
        return "the file or its folder is gone, or may not be read: put it back"
    if "no password supplied" in said:
        return "keep its password in ~/.pgpass, or set SYNCMON_STORE to the whole URL"
    if "not a database" in said or "malformed" in said:
        return "the file is no SQLite database: move it away, and a new store is made"
    return "check that the store's database runs, or set SYNCMON_STORE to another place"
