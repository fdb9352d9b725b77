"""SQLite to SQLite: the source attached read-only, one INSERT … SELECT per chunk."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import engine_url, throttle
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession, read_only_uri
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, ident
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.sqlite_source import selection

_ATTACHED: Final = "source"
SLICE_ROWS: Final = 10_000


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Way]:
    """A way; ``snapshot`` does not exist in SQLite."""
    if not isinstance(target, SqliteSession):
        raise TypeError("this route ends in SQLite")
    if snapshot is not None:
        raise ValueError("SQLite has no snapshots to read from")
    schema = _attach(source, target)

    def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
        return _copied(target, schema, unit, chunk, table)

    yield Way(copy=copy, reader=target, schema=schema)


def _attach(source: Connection, target: SqliteSession) -> str:
    """The name that the source goes by in the target's connection."""
    path = engine_url.sqlite_path(source)
    if path.exists() and path.samefile(target.path):
        return "main"  # a second handle on one file would wait for the first for ever
    for _, name, file in target.execute("PRAGMA database_list"):
        if name == _ATTACHED:
            if path.exists() and path.samefile(file):
                return _ATTACHED
            target.change(f"DETACH {_ATTACHED}")
    target.change(f"ATTACH ? AS {_ATTACHED}", (read_only_uri(path),))
    return _ATTACHED


def _copied(target: SqliteSession, schema: str, unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
    names = columns(column.name for column in unit.copied)
    started = time.perf_counter()
    chosen = selection(target, schema, unit, chunk)
    counted = time.perf_counter()
    fault_point("chunk.read")
    pages = _pages(target)
    into = f"INSERT INTO main.{ident(table)} ({names})"
    select = f"SELECT {names} FROM {chosen.clause}"
    pacer = throttle.Pacer()
    if (batch := pacer.batch_rows(SLICE_ROWS)) < SLICE_ROWS:
        rows = _paced(target, into, select, chosen.values, len(unit.copied), pacer, batch)
    else:
        rows = target.change(f"{into} {select}", chosen.values)
    written = time.perf_counter()
    size = max(0, _pages(target) - pages) * int(target.execute("PRAGMA main.page_size")[0][0])
    if batch >= SLICE_ROWS:
        pacer.spend(rows, size)
    return Landed(
        rows_read=chosen.rows,
        rows=rows,
        bytes=size,
        source_seconds=counted - started,
        transfer_seconds=0.0,
        target_seconds=written - counted,
    )


def _paced(
    target: SqliteSession,
    into: str,
    select: str,
    values: list[Any],
    width: int,
    pacer: throttle.Pacer,
    batch: int,
) -> int:
    """Row by row, in slices that keep the pace."""
    rows = 0
    statement = f"{into} VALUES ({', '.join('?' * width)})"
    with target.guard():
        cursor = target.raw.execute(select, values)
        while True:
            slice_rows = target.raw.executemany(statement, islice(cursor, batch)).rowcount
            if slice_rows <= 0:
                return rows
            rows += slice_rows
            pacer.spend(slice_rows, 0)
            batch = pacer.batch_rows(SLICE_ROWS)


def _pages(target: SqliteSession) -> int:
    count = target.execute("PRAGMA main.page_count")[0][0]
    return int(count) - int(target.execute("PRAGMA main.freelist_count")[0][0])
