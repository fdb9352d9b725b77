"""SQLite to SQLite: the source attached read-only, one INSERT … SELECT per chunk or whole table."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed, DatabaseUnavailable
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import (
    engine_url,
    placing,
    refusals,
    rowid_nulls,
    throttle,
    transfer,
    wide_texts,
)
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import (
    UTF8,
    SqliteSession,
    place,
    read_only_uri,
    roll_back_abandoned,
)
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.quoting import columns, ident
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.odd_texts import OddTexts
from syncmon_ext.sync.routes.sqlite_source import all_rows, largest_bytes, selection

_ATTACHED: Final = "source"
SLICE_ROWS: Final = 10_000
BIG_BYTES: Final = 8 << 20
LOOK_STEPS: Final = 100_000  # of SQLite's machine between two looks at the pace: milliseconds


@contextmanager
def opened(source: Connection, target: AnySession, snapshot: str | None) -> Iterator[Way]:
    """A way; ``snapshot`` does not exist in SQLite."""
    if not isinstance(target, SqliteSession):
        raise TypeError("this route ends in SQLite")
    if snapshot is not None:
        raise ValueError("SQLite has no snapshots to read from")
    schema = _attach(source, target)

    def copy(unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
        try:
            with rowid_nulls.refused(target, unit):
                return _copied(target, schema, unit, chunk, table)
        except CopyFailed as error:
            if refusals.NO_COLUMN not in error.message:
                raise
            told = error.message.replace(f"{target.name}:", f"{source.name}:", 1)
            raise CopyFailed(told, hint=error.hint) from None

    yield Way(copy=copy, reader=target, schema=schema)


def _attach(source: Connection, target: SqliteSession) -> str:
    """The name that the source goes by in the target's connection."""
    path = engine_url.sqlite_path(source)
    if path.exists() and path.samefile(target.path):
        return "main"  # a second handle on one file would wait for the first for ever
    here = place(path)
    for _, name, file in target.execute("PRAGMA database_list"):
        if name == _ATTACHED:
            if target.places.get(_ATTACHED) == here and path.exists() and path.samefile(file):
                return _ATTACHED
            if target.in_transaction:  # none can be detached: the next session attaches it
                raise DatabaseUnavailable(f"{source.name}: {path} was exchanged while it was read")
            target.change(f"DETACH {_ATTACHED}")
    try:
        target.change(f"ATTACH ? AS {_ATTACHED}", (read_only_uri(path),))
    except DatabaseUnavailable:
        roll_back_abandoned(path)  # the journal may be its own: the session looks to the target's
        raise
    if place(path) != here:
        raise DatabaseUnavailable(f"{source.name}: {path} was exchanged while it was opened")
    target.places[_ATTACHED] = here
    return _ATTACHED


def _copied(target: SqliteSession, schema: str, unit: UnitPlan, chunk: Chunk, table: str) -> Landed:
    names = columns(column.name for column in unit.copied)
    started = time.perf_counter()
    pacer = throttle.Pacer()
    whole = None if pacer.bounded else transfer.prepared(target, schema, unit, chunk, table)
    # A whole table is counted by its pages; a range of it by its keys.
    chosen = all_rows(target, schema, unit) if whole else selection(target, schema, unit, chunk)
    counted = time.perf_counter()
    fault_point("chunk.read")
    pages = _pages(target)
    into = f"{placing.inserting(target, unit, table)} main.{ident(table)} ({names})"
    select = f"SELECT {rowid_nulls.selected(unit)} FROM {chosen.clause}"
    if pacer.bounded and not whole:
        wide_texts.refuse_in_rows(target, unit, chosen.clause, chosen.values, written=True)
        rows = _paced(target, into, select, chosen.values, len(unit.copied), pacer)
    else:
        small = whole or largest_bytes(target, unit, chosen) > BIG_BYTES
        try:
            with target.small_cache() if small else nullcontext():
                rows = _at_once(target, whole or f"{into} {select}", chosen.values, pacer)
        except throttle.PaceChanged as changed:
            if whole:
                raise throttle.ChunkTooLarge(changed.message) from None
            raise
    written = time.perf_counter()
    size = max(0, _pages(target) - pages) * int(target.execute("PRAGMA main.page_size")[0][0])
    return Landed(
        rows_read=chosen.rows,
        rows=rows,
        bytes=size,
        source_seconds=counted - started,
        transfer_seconds=0.0,
        target_seconds=written - counted,
    )


def _at_once(
    target: SqliteSession, statement: str, values: list[Any], pacer: throttle.Pacer
) -> int:
    """In one statement, which is broken off where a bound comes meanwhile; raises PaceChanged."""
    stopped = False

    def look() -> int:
        nonlocal stopped
        stopped = pacer.bounded
        return int(stopped)

    target.raw.set_progress_handler(look, LOOK_STEPS)
    try:
        return target.change(statement, values)
    except DatabaseUnavailable:
        if stopped:
            raise throttle.PaceChanged(f"{target.name}: the pace was bounded") from None
        raise
    finally:
        target.raw.set_progress_handler(None, 0)


def _paced(
    target: SqliteSession,
    into: str,
    select: str,
    values: list[Any],
    width: int,
    pacer: throttle.Pacer,
) -> int:
    """Row by row, in slices that keep the pace."""
    rows = 0
    page_bytes = int(target.execute("PRAGMA main.page_size")[0][0])
    pages = _pages(target)
    statement = f"{into} VALUES ({', '.join('?' * width)})"
    odd = OddTexts()
    # In UTF-16 they have other bytes than those that are read: there they are refused.
    with target.guard(), target.raw_texts(odd.read if target.encoding == UTF8 else str):
        cursor = target.raw.execute(select, values)
        while True:
            batch = pacer.batch_rows(SLICE_ROWS)
            plain = odd.plain(islice(cursor, batch))
            slice_rows = max(0, target.raw.executemany(statement, plain).rowcount)
            for marks, row in odd.taken():
                target.raw.execute(f"{into} VALUES ({marks})", row)
                slice_rows += 1
            if slice_rows <= 0:
                return rows
            rows += slice_rows
            grown = _pages(target) - pages
            pages += grown
            pacer.spend(slice_rows, max(0, grown) * page_bytes)


def _pages(target: SqliteSession) -> int:
    count = target.execute("PRAGMA main.page_count")[0][0]
    return int(count) - int(target.execute("PRAGMA main.freelist_count")[0][0])
