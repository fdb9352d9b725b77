"""Reading a chunk of PostgreSQL: the query of its COPY, within the run's snapshot."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are quoted by the driver

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER
from syncmon_ext.sync.quoting import columns, relation


@contextmanager
def reading(source: Connection, snapshot: str | None) -> Iterator[PostgresSession]:
    """A session in a transaction that reads ``snapshot``, or a state of its own."""
    with sessions.opened(source, READER) as session:
        if not isinstance(session, PostgresSession):
            raise TypeError("this reads PostgreSQL")
        with session.reading(snapshot):
            yield session


def copy_statement(session: PostgresSession, unit: UnitPlan, chunk: Chunk, options: str) -> str:
    """``COPY (SELECT …) TO STDOUT`` for the rows of ``chunk``."""
    names = columns(column.name for column in unit.copied)
    table = relation(unit.source_schema, unit.source_table)
    where = ranges.where(unit, chunk.low, chunk.high, session.literal)
    return f"COPY (SELECT {names} FROM {table}{where}) TO STDOUT{options}"


class Reader:
    """Takes the rows of a COPY in batches that are bounded by bytes; knows what they cost."""

    def __init__(self, session: PostgresSession, copy: psycopg.Copy) -> None:
        self._session = session
        self._rows = iter(copy)
        self.bytes = 0
        self.seconds = 0.0

    def batch(self, rows: int, size: int) -> list[bytes]:
        """The next rows: at most ``rows``, and no more once they hold ``size`` bytes; none at the end."""
        taken: list[bytes] = []
        held = 0
        started = time.perf_counter()
        with self._session.guard():
            for data in self._rows:
                taken.append(bytes(data))
                held += len(data)
                if held >= size or len(taken) >= rows:
                    break
        self.seconds += time.perf_counter() - started
        self.bytes += held
        return taken
