"""Reading a chunk of PostgreSQL: the query of its COPY, within the run's snapshot."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are quoted by the driver

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.routes import compiled
from syncmon_ext.sync.types import XML_AS

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = Deferred("psycopg")

BROKEN: Final = -1  # the states of the compiled loop
WAIT: Final = 1
ENDED: Final = 2
MOST_COMPRESSED: Final = 256  # no compression of PostgreSQL makes less of a value
_SIZED: Final = (
    "bytea",
    "text",
    "character varying",
)  # of others only the size in the table is told


@contextmanager
def reading(source: Connection, snapshot: str | None) -> Iterator[PostgresSession]:
    """A session in a transaction that reads ``snapshot``, or a state of its own."""
    with sessions.opened(source, READER) as session:
        if not isinstance(session, PostgresSession):
            raise TypeError("this reads PostgreSQL")
        with session.reading(snapshot):
            yield session


def read(column: ColumnPlan) -> str:
    """A column in a SELECT: its values' text is read back the same."""
    return ident(column.name) + XML_AS.get(column.source_type, "")


def copy_statement(
    session: PostgresSession, unit: UnitPlan, chunk: Chunk, options: str, condition: str = ""
) -> str:
    """``COPY (SELECT …) TO STDOUT`` for the rows of ``chunk`` that meet ``condition``."""
    names = ", ".join(map(read, unit.copied))
    table = relation(unit.source_schema, unit.source_table)
    where = ranges.where(unit, chunk.low, chunk.high, session.literal)
    if condition:
        where += f" {'AND' if where else 'WHERE'} {condition}"
    return f"COPY (SELECT {names} FROM {table}{where}) TO STDOUT{options}"


def kept_elsewhere(session: PostgresSession, unit: UnitPlan) -> int:
    """The bytes of the values that the table, or its partitions, keep outside of their rows."""
    rows = session.execute(
        "WITH RECURSIVE parts (id) AS (SELECT %s::regclass::oid UNION "
        "SELECT i.inhrelid FROM pg_inherits i JOIN parts ON i.inhparent = parts.id) "
        "SELECT coalesce(sum(pg_relation_size(c.reltoastrelid)), 0) "
        "FROM parts JOIN pg_class c ON c.oid = parts.id WHERE c.reltoastrelid <> 0",
        (relation(unit.source_schema, unit.source_table),),
    )
    return int(rows[0][0])


def largest_bytes(session: PostgresSession, unit: UnitPlan, chunk: Chunk, least: int) -> int:
    """The size of the largest value of ``chunk``, as far as it is told without reading one; 0 where the
    table cannot have one of ``least`` bytes."""
    if kept_elsewhere(session, unit) < least // MOST_COMPRESSED:
        return 0
    sizes = ", ".join(
        f"max({'octet_length' if column.source_type in _SIZED else 'pg_column_size'}({name}))"
        for column in unit.copied
        for name in [ident(column.name)]
    )
    where = ranges.where(unit, chunk.low, chunk.high, session.literal)
    table = relation(unit.source_schema, unit.source_table)
    found = session.execute(f"SELECT {sizes} FROM {table}{where}")[0]
    return max((size for size in found if size is not None), default=0)


class Reader(Protocol):
    """Takes the data of a COPY in batches that are bounded by bytes; knows what they cost."""

    size: int  # bytes so far
    seconds: float  # spent waiting for the source

    @property
    def rows_read(self) -> int:
        """The rows as the server counted them, once the last batch is taken."""
        ...

    def batch(self, rows: int, size: int) -> tuple[bytes, int]:
        """Rows, joined, and their number: at most ``rows``, and no more once they hold ``size`` bytes; no
        data at the end. A row that is larger may come in parts, where that was asked for."""
        ...


@contextmanager
def copying(
    session: PostgresSession, statement: str, *, in_parts: bool = False
) -> Iterator[Reader]:
    """The rows of a ``COPY … TO STDOUT``; large ones ``in_parts`` need not be held once more."""
    loops = compiled.for_postgresql()
    if loops is not None:
        with session.mapped():
            yield LoopReader(session, loops, statement.encode(), in_parts=in_parts)
        return
    with session.mapped(), session.raw.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        yield RowReader(session, cursor, copy)


class RowReader:
    """Row by row, as the driver gives them."""

    def __init__(
        self, session: PostgresSession, cursor: psycopg.Cursor[Any], copy: psycopg.Copy
    ) -> None:
        self._session = session
        self._cursor = cursor
        self._rows = iter(copy)
        self.size = 0
        self.seconds = 0.0
        self.rows_read = 0

    def batch(self, rows: int, size: int) -> tuple[bytes, int]:
        """The next rows."""
        taken: list[bytes] = []
        held = 0
        started = time.perf_counter()
        with self._session.guard():
            for data in self._rows:
                taken.append(bytes(data))
                held += len(data)
                if held >= size or len(taken) >= rows:
                    break
            else:
                self.rows_read = self._cursor.rowcount
        self.seconds += time.perf_counter() - started
        self.size += held
        return b"".join(taken), len(taken)


class LoopReader:
    """What has arrived, joined by the compiled loop."""

    def __init__(
        self, session: PostgresSession, loops: Any, statement: bytes, *, in_parts: bool
    ) -> None:
        self._session = session
        self._connection: Any = session.raw.pgconn  # pgconn_ptr is not in psycopg's own stubs
        self._take = loops.take
        self._rest = loops.rest() if in_parts else None
        self._ended = False
        self.size = 0
        self.seconds = 0.0
        self.rows_read = 0
        with session.guard():
            self._expect(self._connection.exec_(statement), psycopg.pq.ExecStatus.COPY_OUT)
        self._arrival = select.poll()
        self._arrival.register(self._connection.socket, select.POLLIN)

    def batch(self, rows: int, size: int) -> tuple[bytes, int]:
        """The next rows."""
        while not self._ended:
            data, count, state = self._take(self._connection.pgconn_ptr, self._rest, rows, size)
            if state == BROKEN:
                raise psycopg.OperationalError(data.strip())
            if state == ENDED:
                self._finish()
            if data:
                self.size += len(data)
                return data, count
            if state == WAIT:
                started = time.perf_counter()
                with self._session.guard():
                    self._arrival.poll()
                self.seconds += time.perf_counter() - started
        return b"", 0

    def _finish(self) -> None:
        self._ended = True
        while (result := self._connection.get_result()) is not None:
            self._expect(result, psycopg.pq.ExecStatus.COMMAND_OK)
            self.rows_read = result.command_tuples or 0

    @staticmethod
    def _expect(result: psycopg.pq.abc.PGresult, status: psycopg.pq.ExecStatus) -> None:
        if result.status != status:
            raise psycopg.errors.error_from_result(result)
