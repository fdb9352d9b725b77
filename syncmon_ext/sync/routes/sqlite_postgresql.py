"""SQLite to PostgreSQL: checked rows of SQLite written with COPY."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import refusals, throttle, undecodable, wide_texts
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER, AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, read_columns, relation
from syncmon_ext.sync.routes import compiled
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.sqlite_source import Selection, largest_bytes, selection
from syncmon_ext.sync.solitary import LARGE_BYTES, RunAlone
from syncmon_ext.sync.storage_checks import Checks

if TYPE_CHECKING:
    import psycopg

BATCH_ROWS: Final = 5_000  # between two looks at the pace; rows are never held
SAMPLE_EVERY: Final = 16  # reads whose time is taken: each costs as much as a small row
BATCH_BYTES: Final = 131_072  # of rows that are joined; the driver sends as much in one call
MORE: Final = 0  # the states of the compiled loop
MISFIT: Final = 1
LONGER_CHUNKS: Final = 8  # go the longer way after one in which a value was not plain
_longer: WeakKeyDictionary[SqliteSession, dict[str, int]] = (
    WeakKeyDictionary()
)  # chunks left, by unit


class Misfit(Exception):
    """A value is not as plain as the compiled loop has them: the chunk goes the longer way."""


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Way]:
    """A way; ``snapshot`` does not exist in SQLite."""
    if not isinstance(target, PostgresSession):
        raise TypeError("this route ends in PostgreSQL")
    if snapshot is not None:
        raise ValueError("SQLite has no snapshots to read from")
    with sessions.opened(source, READER) as reading:
        if not isinstance(reading, SqliteSession):
            raise TypeError("this route begins in SQLite")

        def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
            return _copied(reading, target, unit, chunk, table)

        with reading.reading():
            yield Way(copy=copy, reader=reading)


def _copied(
    source: SqliteSession, target: PostgresSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    try:
        return _sent(source, target, unit, chunk, table)
    except BadRow as error:
        if error.hint != refusals.BAD_TEXT:
            raise
        chosen = selection(source, "main", unit, chunk)
        found = undecodable.first(source, unit, chosen.clause, chosen.values)
        raise found or error from None


def _sent(
    source: SqliteSession, target: PostgresSession, unit: UnitPlan, chunk: Chunk, table: str
) -> Landed:
    chosen = selection(source, "main", unit, chunk)
    if not unit.large_values and largest_bytes(source, unit, chosen) > LARGE_BYTES:
        raise RunAlone(f"{unit.unit_id}: its values are large")
    wide_texts.refuse_in_rows(source, unit, chosen.clause, chosen.values)
    names = columns(column.name for column in unit.copied)
    into = f"COPY {relation(unit.target_schema, table)} ({names}) FROM STDIN"
    longer = _longer.setdefault(source, {})
    if longer.get(unit.unit_id, 0):
        longer[unit.unit_id] -= 1
        return _checked(source, target, unit, chosen, into)
    loops, kinds = compiled.for_sqlite(), compiled.reading_kinds(unit)
    handle = compiled.handle(source) if loops is not None and kinds is not None else None
    if loops is None or kinds is None or handle is None:
        return _checked(source, target, unit, chosen, into)
    target.change("SAVEPOINT syncmon_chunk")
    with source.mapped():
        select = (
            f"SELECT {read_columns(column.name for column in unit.copied)} FROM {chosen.clause}"
        )
        rows = loops.prepare(handle, select, chosen.values)
    try:
        landed = _plain(source, target, into, partial(loops.rows, rows, *kinds))
        target.change("RELEASE SAVEPOINT syncmon_chunk")
    except Misfit:
        target.change("ROLLBACK TO SAVEPOINT syncmon_chunk")
        longer[unit.unit_id] = LONGER_CHUNKS
        loops.end(rows)
        landed = _checked(source, target, unit, chosen, into)
    finally:
        loops.end(rows)
    return landed


def _plain(
    source: SqliteSession,
    target: PostgresSession,
    into: str,
    next_rows: Callable[[int, int], tuple[bytes, int, int]],
) -> Landed:
    """The rows as the compiled loop reads and writes them; raises Misfit at one that is not plain."""
    pacer = throttle.Pacer()
    clock = time.perf_counter
    rows_read = size = 0
    read_seconds = sent_seconds = 0.0
    state = MORE
    with target.guard(), target.raw.cursor() as cursor:
        with cursor.copy(into.encode()) as copy:
            fault_point("chunk.read")
            while state == MORE:
                started = clock()
                with source.mapped():
                    data, rows, state = next_rows(pacer.batch_rows(BATCH_ROWS), BATCH_BYTES)
                between = clock()
                if state == MISFIT:
                    raise Misfit
                if data:
                    copy.write(data)
                rows_read += rows
                size += len(data)
                read_seconds += between - started
                sent_seconds += clock() - between
                pacer.spend(rows, len(data))
            finishing = clock()
        sent_seconds += clock() - finishing
        landed = cursor.rowcount
    return Landed(
        rows_read=rows_read,
        rows=landed,
        bytes=size,
        source_seconds=read_seconds,
        transfer_seconds=0.0,
        target_seconds=sent_seconds,
    )


def _checked(
    source: SqliteSession,
    target: PostgresSession,
    unit: UnitPlan,
    chosen: Selection,
    statement: str,
) -> Landed:
    """Row by row, each value behind its check; the one that fails is named."""
    from syncmon_ext.sync.routes.counting import (
        CountingWriter,
    )  # with the driver, which is there now

    checks = Checks(source, unit)
    select = f"SELECT {checks.selected()} FROM {chosen.clause}"
    pacer = throttle.Pacer()
    started = time.perf_counter()
    slept = 0.0
    rows_read = 0
    sampled = 0.0
    with source.mapped():
        try:
            rows = source.raw.execute(select, chosen.values)
            fault_point("chunk.read")
            with target.guard(), target.raw.cursor() as cursor:
                writer = CountingWriter(cursor)
                with cursor.copy(statement.encode(), writer=writer) as copy:
                    while True:
                        batch, sent = pacer.batch_rows(BATCH_ROWS), writer.bytes
                        count, seconds = _write(rows, copy, batch)
                        rows_read += count
                        sampled += seconds
                        slept += pacer.spend(count, writer.bytes - sent)
                        if count < batch:
                            break
                landed = cursor.rowcount
        except BaseException:
            if checks.failed is not None:
                raise checks.failed from None
            raise
    total = time.perf_counter() - started - slept
    source_seconds = min(total, sampled * SAMPLE_EVERY)
    return Landed(
        rows_read=rows_read,
        rows=landed,
        bytes=writer.bytes,
        source_seconds=source_seconds,
        transfer_seconds=max(0.0, total - source_seconds - writer.seconds),
        target_seconds=writer.seconds,
    )


def _write(rows: Any, copy: psycopg.Copy, limit: int) -> tuple[int, float]:
    """Write up to ``limit`` rows; gives their number and the time of the reads that were sampled."""
    count, seconds, clock = 0, 0.0, time.perf_counter
    write = copy.write_row
    while count < limit:
        started = clock()
        row = next(rows, None)
        seconds += clock() - started
        if row is None:
            return count, seconds
        write(row)
        count += 1
        for row in islice(rows, min(SAMPLE_EVERY - 1, limit - count)):
            write(row)
            count += 1
    return count, seconds
