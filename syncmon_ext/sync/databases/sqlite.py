"""SQLite: how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite as sqlalchemy_sqlite

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import (
    BadRow,
    CopyFailed,
    DatabaseUnavailable,
    InvalidConfig,
    Serialization,
    SyncmonError,
)
from syncmon_ext.sync import phases, refusals
from syncmon_ext.sync.databases.base import Row
from syncmon_ext.sync.databases.compiling import Compiler
from syncmon_ext.sync.engine_url import sqlite_path

# A chunk of another process may hold the file for as long as its transaction lasts.
BUSY_SECONDS = 60.0
CACHE_KIB = 65_536  # bounds memory, and keeps the upper pages of a big index in reach
SMALL_CACHE_KIB = 4_096  # beside values larger than any cache, and for pages that are written once
READING_KIB = 16_384  # of each chunk's reader, which goes from row to row
PAGE_BYTES = 16_384  # of a file that is made: a copy writes a quarter of SQLite's usual pages
UTF8 = "UTF-8"
_compile = Compiler(sqlalchemy_sqlite.dialect(paramstyle="qmark"))

_RETRY = {
    sqlite3.SQLITE_BUSY: Serialization,
    sqlite3.SQLITE_LOCKED: Serialization,
    sqlite3.SQLITE_IOERR: DatabaseUnavailable,
    sqlite3.SQLITE_PROTOCOL: DatabaseUnavailable,
    sqlite3.SQLITE_INTERRUPT: DatabaseUnavailable,
    sqlite3.SQLITE_CANTOPEN: DatabaseUnavailable,
    sqlite3.SQLITE_SCHEMA: Serialization,
}
# A reader met the journal, or the write-ahead log, of a writer that was killed.
_ABANDONED = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY}


_OF_A_ROW = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)


class Place(NamedTuple):
    """What tells a file from all others, by whatever name."""

    device: int
    inode: int


def place(path: Path) -> Place | None:
    """The file that lies at ``path``; None where there is none, or files are not numbered there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Place(found.st_dev, found.st_ino) if found.st_ino else None


def read_only_uri(path: Path) -> str:
    """A URI that opens ``path`` for reading and never makes it."""
    return f"file:{quote(str(path))}?mode=ro"


def roll_back_abandoned(path: Path) -> None:
    """Undo what a killed writer left in the journal, as the next writer would: a reader cannot."""
    uri = f"file:{quote(str(path))}?mode=rw"
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(uri, timeout=BUSY_SECONDS, uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema")
        finally:
            connection.close()


class SqliteSession:
    """A connection to a SQLite file, in autocommit until ``transaction()``."""

    dialect = "sqlite"
    default_schema: str | None = None

    def __init__(self, connection: Connection, *, read_only: bool) -> None:
        self.name = connection.name
        self.path = sqlite_path(connection)
        self.broken = False
        # Of the files that it reads and does not write, by their schemas.
        self.places: dict[str, Place | None] = {"main": place(self.path) if read_only else None}
        self._open: sqlite3.Connection | None = None
        if read_only and not self.path.exists():
            raise InvalidConfig(
                f"the database of connection {self.name} is not there: {self.path}",
                hint="check the path; a relative path is relative to the file that defines it",
            )
        if not self.path.parent.is_dir():
            raise InvalidConfig(
                f"the folder of connection {self.name} is not there: {self.path.parent}",
                hint="make the folder, or correct the path",
            )
        uri = read_only_uri(self.path) if read_only else f"file:{quote(str(self.path))}?mode=rwc"
        with self.guard():
            self._open = sqlite3.connect(
                uri, timeout=BUSY_SECONDS, isolation_level=None, uri=True, cached_statements=64
            )
            if not read_only:
                self._open.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # where nothing is there yet
            cache = READING_KIB if read_only else CACHE_KIB
            self._open.execute(f"PRAGMA cache_size = -{cache}")
            # Rows are moved as they are; what hangs on a table by name is left alone by a rename.
            self._open.execute("PRAGMA foreign_keys = OFF")
            self._open.execute("PRAGMA legacy_alter_table = ON")
            self._open.execute("PRAGMA recursive_triggers = OFF")
            self._open.execute("SELECT count(*) FROM sqlite_schema")  # is it a database at all?
        if self.moved:
            self.close()
            raise DatabaseUnavailable(f"{self.name}: {self.path} was exchanged while it was opened")

    @property
    def raw(self) -> sqlite3.Connection:
        """The driver's connection."""
        if self._open is None:
            raise DatabaseUnavailable(f"the connection {self.name} is closed")
        return self._open

    @property
    def encoding(self) -> str:
        """How the file, and what is attached to it, keeps texts: UTF8, else UTF-16le or UTF-16be."""
        return str(self.execute("PRAGMA encoding")[0][0])

    @property
    def moved(self) -> bool:
        """True where another file lies in the place of the one that it reads."""
        mine = self.places["main"]
        return mine is not None and place(self.path) not in (None, mine)

    @property
    def size(self) -> int:
        """The bytes of the database's pages; its file may have been moved away meanwhile."""
        found = self.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        return int(found[0][0])

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement of text."""
        with self.guard():
            return self.raw.execute(statement, parameters).fetchall()

    def change(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """The number of rows that a statement of text changed."""
        with self.guard():
            return self.raw.execute(statement, parameters).rowcount

    def run(self, statement: Executable) -> list[Row]:
        """The rows of a SQLAlchemy Core statement."""
        return self.execute(*_compiled(statement))

    def run_change(self, statement: Executable) -> int:
        """The number of rows that a SQLAlchemy Core statement changed."""
        return self.change(*_compiled(statement))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction that writes, with the write lock from its start."""
        self.change("BEGIN IMMEDIATE")
        try:
            yield
            self.change("COMMIT")
        except BaseException:
            if self._open is not None and self._open.in_transaction:
                try:
                    self._open.execute("ROLLBACK")
                except sqlite3.Error:
                    self.broken = True
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the open transaction that an error undoes alone, unless SQLite undid all of it."""
        self.change("SAVEPOINT syncmon_part")
        try:
            yield
        except BaseException:
            if self.in_transaction:
                self.change("ROLLBACK TO SAVEPOINT syncmon_part")
                self.change("RELEASE SAVEPOINT syncmon_part")
            raise
        self.change("RELEASE SAVEPOINT syncmon_part")

    @property
    def in_transaction(self) -> bool:
        """True within a transaction that can go on."""
        return self._open is not None and self._open.in_transaction

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A transaction that reads one state of the database."""
        self.change("BEGIN")
        try:
            yield
        finally:
            if self._open is not None and self._open.in_transaction:
                self._open.execute("ROLLBACK")

    @contextmanager
    def small_cache(self) -> Iterator[None]:
        """Holds next to nothing of the file: its pages are not looked at again, or values need the memory."""
        self.change(f"PRAGMA main.cache_size = -{SMALL_CACHE_KIB}")
        self.change("PRAGMA shrink_memory")
        try:
            yield
        finally:
            if self._open is not None:
                self._open.execute(f"PRAGMA main.cache_size = -{CACHE_KIB}")

    @contextmanager
    def raw_texts(self, read: Callable[[bytes], Any] = bytes) -> Iterator[None]:
        """Texts are what ``read`` makes of their bytes, which need not be UTF-8."""
        self.raw.text_factory = read
        try:
            yield
        finally:
            if self._open is not None:
                self._open.text_factory = str

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Tells that this database is waited for; maps the driver's errors."""
        with phases.waiting_for(self.name), self.mapped():
            yield

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Maps the driver's errors."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.translated(error) from None

    def translated(self, error: sqlite3.Error) -> SyncmonError:
        """The SyncmonError that ``error`` means."""
        code = getattr(error, "sqlite_errorcode", 0) or 0
        # The driver's text of a failed decoding repeats the value.
        text = str(error).split(" with text ")[0]
        primary = code & 0xFF
        if primary in _RETRY:
            self.broken = primary == sqlite3.SQLITE_IOERR
            return _RETRY[primary](
                f"{self.name}: {text}", hint="another program may be holding the database file"
            )
        if primary == sqlite3.SQLITE_FULL:
            return CopyFailed(
                f"{self.name}: the disk of {self.path} is full",
                hint="free some space there, then start the task again: it goes on where it was",
            )
        if primary == sqlite3.SQLITE_NOTADB:
            return InvalidConfig(f"{self.name}: {self.path} is not a SQLite database")
        if code in _ABANDONED:
            self.broken = True
            roll_back_abandoned(self.path)
            return DatabaseUnavailable(f"{self.name}: a writer died in the middle; rolled back")
        if primary == sqlite3.SQLITE_READONLY:
            return CopyFailed(
                f"{self.name}: {self.path} cannot be written",
                hint="make the file and its folder writable for the worker's user",
            )
        if primary in _OF_A_ROW or text.startswith("Could not decode"):
            kind, _, where = text.partition(": ")
            column = where.rpartition(".")[2] if kind.startswith(("NOT NULL", "UNIQUE")) else ""
            hint = refusals.sqlite_hint(text, column=column)
            return BadRow(f"{self.name}: {text}", hint=hint, column=column, reason=text)
        return CopyFailed(f"{self.name}: {text}", hint=refusals.sqlite_hint(text))

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            with suppress(sqlite3.Error):
                self._open.close()
        self._open = None


def _compiled(statement: Executable) -> tuple[str, tuple[Any, ...]]:
    compiled, values = _compile(statement)
    order = getattr(compiled, "positiontup", None) or ()
    return str(compiled), tuple(values[name] for name in order)
