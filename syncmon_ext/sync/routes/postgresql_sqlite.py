"""PostgreSQL to SQLite: COPY in text form, split and typed, written with one prepared INSERT."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import throttle, types
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, ident
from syncmon_ext.sync.reflect.sqlite import affinity
from syncmon_ext.sync.routes.base import Copier, Landed
from syncmon_ext.sync.routes.postgresql_source import copy_statement, reading

BATCH_ROWS: Final = 5_000
SAMPLE_EVERY: Final = 16
# The escapes of COPY's text format (PostgreSQL, "COPY", File Formats).
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Copier]:
    """A copier that reads ``snapshot``."""
    if not isinstance(target, SqliteSession):
        raise TypeError("this route ends in SQLite")
    with reading(source, snapshot) as session:

        def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
            return _copied(session, target, unit, chunk, table)

        yield copy


class Reader:
    """Iterates over the rows of a COPY; counts rows, bytes and the time spent waiting for them."""

    def __init__(self, copy: Any, converters: list[tuple[int, Callable[[str], Any]]]) -> None:
        self._copy = iter(copy)
        self._converters = converters
        self.rows = self.bytes = 0
        self.seconds = 0.0

    def __iter__(self) -> Iterator[list[Any]]:
        clock, converters = time.perf_counter, self._converters
        copy = self._copy
        while True:
            started = clock() if self.rows % SAMPLE_EVERY == 0 else 0.0
            data = next(copy, None)
            if started:
                self.seconds += (clock() - started) * SAMPLE_EVERY
            if data is None:
                return
            self.rows += 1
            self.bytes += len(data)
            line = str(data, "utf-8")
            fields: list[Any] = line[:-1].split("\t")
            if "\\" in line:
                fields = [
                    field if "\\" not in field else None if field == "\\N" else unescaped(field)
                    for field in fields
                ]
            for number, convert in converters:
                if fields[number] is not None:
                    fields[number] = convert(fields[number])
            yield fields


def unescaped(field: str) -> str:
    """A field of COPY's text format without its escapes."""
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), field)


def _real(column: ColumnPlan) -> Callable[[str], float]:
    signless = affinity(column.target_type) == "REAL"

    def convert(text: str) -> float:
        value = float(text)
        if value != value or (signless and text == "-0"):
            what = "a column REAL of SQLite" if value == value else "SQLite"
            raise CopyFailed(
                f"column {column.name} holds {text}, which {what} cannot store",
                hint="leave the rows out with where, or make the target column TEXT",
            )
        return value

    return convert


def _converters(unit: UnitPlan) -> list[tuple[int, Callable[[str], Any]]]:
    found: list[tuple[int, Callable[[str], Any]]] = []
    for number, column in enumerate(unit.copied):
        if column.check == types.REAL:
            found.append((number, _real(column)))
        elif column.check == types.BOOLEAN:
            found.append((number, {"t": 1, "f": 0}.__getitem__))
        elif column.check == types.BLOB:
            found.append((number, lambda text: bytes.fromhex(text[2:])))
        elif column.check == types.INTEGER:
            found.append((number, int))
    return found


def _copied(
    source: PostgresSession, target: SqliteSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    names = columns(column.name for column in unit.copied)
    marks = ", ".join("?" * len(unit.copied))
    insert = f"INSERT INTO main.{ident(table)} ({names}) VALUES ({marks})"
    pacer = throttle.Pacer()
    landed, slept = 0, 0.0
    started = time.perf_counter()
    with source.guard(), source.raw.cursor() as cursor:
        with cursor.copy(copy_statement(source, unit, chunk, "").encode()) as copy:
            reader = Reader(copy, _converters(unit))
            rows = iter(reader)
            fault_point("chunk.read")
            while True:
                sent = reader.bytes
                batch = pacer.batch_rows(BATCH_ROWS)
                with target.guard():
                    count = max(0, target.raw.executemany(insert, islice(rows, batch)).rowcount)
                landed += count
                slept += pacer.spend(count, reader.bytes - sent)
                if count < batch:
                    break
        rows_read = cursor.rowcount
    total = time.perf_counter() - started - slept
    source_seconds = min(total, reader.seconds)
    return Landed(
        rows_read=rows_read,
        rows=landed,
        bytes=reader.bytes,
        source_seconds=source_seconds,
        transfer_seconds=0.0,
        target_seconds=total - source_seconds,
    )
