"""The copy of a batch: small tables, from nothing to in place, in one transaction of the target.

A table that fits into one chunk costs more in jobs and commits than in rows. Here its making, its rows,
its keys, its checkpoint and its swap are committed together, and with those of others. A table that does
not go through is undone alone, and is left to the jobs that copy one table: they say what is wrong.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.chunk import Chunk, ChunkResult
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed, DatabaseUnavailable, SyncmonError
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import (
    altered,
    checkpoint,
    chunk_copy,
    epoch,
    fence,
    names,
    numbering,
    rejects,
    rewriting,
    staging,
    swap_postgresql,
    swap_sqlite,
    throttle,
    unit_row,
    watermark,
)
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import relation
from syncmon_ext.sync.reflect.shape import TableShape
from syncmon_ext.sync.reflect.tables import reflect_all
from syncmon_ext.sync.results import BatchResult
from syncmon_ext.sync.routes.base import Landed, Way
from syncmon_ext.sync.routes.registry import ROUTES
from syncmon_ext.sync.throttle import ChunkTooLarge, PaceChanged
from syncmon_ext.sync.unit_row import UnitRow

BATCH_SECONDS: Final = 0.7  # then it commits what it has: a pause waits for that
LOCK_SECONDS: Final = 1  # on either side: a table that somebody holds must not hold the others
TABLE_BYTES: Final = 4 << 20  # in the source; a table of this size takes a fifth of a second

_WHOLE: Final = Chunk(low=None, high=None)


class _ReaderGone(Exception):
    """A table that the target refused took the connection with it that the others were read by."""

    def __init__(self, alone: list[str]) -> None:
        super().__init__()
        self.alone = alone


class _Batch(msgspec.Struct, kw_only=True):
    """A batch under way."""

    source: Connection
    target: AnySession
    way: Way
    own: Ownership
    rows: int  # that each table may have at most
    taken: names.Taken
    landed: dict[str, Landed] = {}
    alone: list[str] = []


def copied(
    source: Connection,
    target: Connection,
    own: Ownership,
    units: Sequence[UnitPlan],
    rows: int,
    snapshot: str | None,
) -> BatchResult:
    """Put as many of ``units`` in place as fit into a short transaction, each of at most ``rows`` rows.

    Raises FenceLost, and what a database says that does not answer; then nothing was changed.
    """
    fault_point("batch.begin")
    with sessions.opened(target, own.application_name) as session:
        begun = unit_row.found_all(session, own, [unit.unit_id for unit in units])
        left = [unit for unit in units if unit.unit_id not in begun]
        if not left:
            return BatchResult(placed=[], alone=list(begun))
        try:
            with ROUTES[left[0].route](source, session, snapshot) as way:
                batch = _Batch(
                    source=source,
                    target=session,
                    way=way,
                    own=own,
                    rows=rows,
                    taken=names.Taken(session),
                )
                return _together(batch, left, list(begun), snapshot)
        except (PaceChanged, ChunkTooLarge):  # a bound came, and there are no batches under one
            return BatchResult(placed=[], alone=list(begun))
        except _ReaderGone as gone:
            return BatchResult(placed=[], alone=gone.alone)


def _together(
    batch: _Batch, units: Sequence[UnitPlan], begun: list[str], snapshot: str | None
) -> BatchResult:
    try:
        small = _small(batch.way, units, batch.rows)
    except SyncmonError:
        if batch.way.reader.broken:
            raise
        small = set()  # somebody holds one of them, and who looks at it waits
    batch.alone = begun + [unit.unit_id for unit in units if unit.unit_id not in small]
    units = [unit for unit in units if unit.unit_id in small]
    if not units:
        return BatchResult(placed=[], alone=batch.alone)
    session, own = batch.target, batch.own
    started = time.perf_counter()
    with session.transaction():
        if isinstance(session, PostgresSession):
            swap_postgresql.set_patience(session, LOCK_SECONDS)
        fence.compare(session, own, units)  # an older owner learns it before it looks around
        landed = _landed(batch, units)
        rewriting.check(batch.source, batch.way.reader, landed)
        altered.refuse_in_source(batch.way.reader, landed, batch.way.schema)
        altered.refuse_in_target(session, [unit for unit in landed if not unit.makes_table])
        placed = _placed(batch, landed)
        fault_point("batch.placed")
        if placed:
            numbering.go_on(session, placed)
            _record(batch, placed, snapshot)
        fence.check(session, own, placed)
        fault_point("batch.before_commit")
    fault_point("batch.after_commit")
    seconds = time.perf_counter() - started
    return BatchResult(
        placed=[(unit.unit_id, _result(batch, unit, seconds / len(placed))) for unit in placed],
        alone=batch.alone,
    )


def _small(way: Way, units: Sequence[UnitPlan], rows: int) -> set[str]:
    """The unit ids of tables that hold little by now, whatever the plan had guessed."""
    session = way.reader
    ids = [unit.unit_id for unit in units]
    if isinstance(session, PostgresSession):
        swap_postgresql.set_patience(session, LOCK_SECONDS)
        found = session.execute(
            "SELECT wanted.id FROM unnest(%s::text[], %s::text[], %s::text[]) "
            "AS wanted (id, schema, name) JOIN pg_namespace n ON n.nspname = wanted.schema "
            "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name "
            "WHERE c.relkind = 'r' AND NOT c.relhassubclass AND pg_table_size(c.oid) <= %s",
            (
                ids,
                [unit.source_schema for unit in units],
                [unit.source_table for unit in units],
                TABLE_BYTES,
            ),
        )
        small = {row[0] for row in found}
        return small - {
            unit.unit_id
            for unit in units
            if unit.rows_total is None
            and unit.unit_id in small
            and not _holds(session, relation(unit.source_schema, unit.source_table), rows)
        }
    schema = way.schema or "main"
    tables = {
        row[0]
        for row in session.execute(
            "SELECT name FROM pragma_table_list WHERE schema = ? AND type = 'table'", (schema,)
        )
    }
    return {
        unit.unit_id
        for unit in units
        if unit.source_table in tables
        and _holds(session, relation(schema, unit.source_table), rows)
    }


def _holds(session: AnySession, table: str, rows: int) -> bool:
    """True where a table has at most ``rows`` rows; no more of it is looked at."""
    ask = f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT {rows + 1}) AS found"
    return bool(session.execute(ask)[0][0] <= rows)


def _landed(batch: _Batch, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units whose rows and keys are there now; ends at the first that does not go through."""
    if isinstance(batch.target, PostgresSession):
        batch.taken.ask(
            [
                (unit.target_schema, names.wanted_index(unit, index))
                for unit in units
                if unit.swap == "create"
                for index in unit.indexes
            ]
        )
    landed: list[UnitPlan] = []
    deadline = time.monotonic() + BATCH_SECONDS
    for unit in units:
        if landed and (time.monotonic() > deadline or throttle.bounded()):
            break
        try:
            with batch.target.savepoint():
                batch.landed[unit.unit_id] = _land(batch, unit)
        except SyncmonError as error:
            if not batch.target.in_transaction:
                raise
            batch.alone.append(unit.unit_id)
            if not _goes_on(batch.way.reader):
                if isinstance(error, DatabaseUnavailable):
                    raise
                raise _ReaderGone(batch.alone) from error
            break
        landed.append(unit)
    return landed


def _goes_on(reader: AnySession) -> bool:
    """Whether the source can be asked further after a table that did not go through."""
    return not isinstance(reader, PostgresSession) or (reader.end_copy() and reader.in_transaction)


def _land(batch: _Batch, unit: UnitPlan) -> Landed:
    session = batch.target
    if unit.swap == "create":
        staging.create_in_place(session, unit, batch.taken)
        table = unit.target_table
    else:
        staging.create(session, batch.own, unit)
        table = names.staging(batch.own, unit)
    landed, _ = chunk_copy.attempted(batch.way, unit, _WHOLE, table)
    if landed.rows > batch.rows:
        raise CopyFailed(f"{landed.rows:,} rows are more than a chunk")
    if unit.swap == "create":
        staging.index_in_place(session, unit, batch.taken)
    else:
        staging.build_indexes(session, batch.own, unit)
    fault_point("batch.landed")
    return landed


def _placed(batch: _Batch, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units that are in place now; those that replace a table come last, so that it is locked for a
    moment only."""
    renamed = [unit for unit in units if unit.swap == "rename"]
    if not renamed:
        return list(units)
    session = batch.target
    placed = [unit for unit in units if unit.swap == "create"]
    if isinstance(session, PostgresSession):
        renamed = _locked(batch, session, renamed)
    shapes = reflect_all(session, [(unit.target_schema, unit.target_table) for unit in renamed])
    for unit in renamed:
        shape = shapes[unit.target_schema, unit.target_table]
        try:
            with session.savepoint():
                _rename(batch, unit, shape)
            placed.append(unit)
        except SyncmonError:
            if not session.in_transaction:
                raise
            _leave(batch, unit)
    return placed


def _locked(batch: _Batch, session: PostgresSession, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units whose targets are locked now, before they are looked at. None is waited for: who waits for a
    lock while it holds others may wait for ever."""
    if _lock(session, units):
        return list(units)
    locked = []
    for unit in units:
        if _lock(session, [unit]):
            locked.append(unit)
        else:
            _leave(batch, unit)
    return locked


def _lock(session: PostgresSession, units: Sequence[UnitPlan]) -> bool:
    try:
        with session.savepoint():
            swap_postgresql.lock_alone(session, units, wait=False)
    except SyncmonError:
        if not session.in_transaction:
            raise
        return False
    return True


def _leave(batch: _Batch, unit: UnitPlan) -> None:
    """Leave the unit to the longer way, and nothing of it here."""
    batch.alone.append(unit.unit_id)
    batch.target.change(
        f"DROP TABLE {relation(unit.target_schema, names.staging(batch.own, unit))}"
    )


def _rename(batch: _Batch, unit: UnitPlan, shape: TableShape | None) -> None:
    session = batch.target
    if isinstance(session, SqliteSession):
        if shape is None or shape.foreign_keys or shape.inbound:
            raise CopyFailed("its foreign keys are to be looked at, or it is gone")
        swap_sqlite.rename(session, batch.own, unit)
        return
    if shape is None or shape.dependents:
        raise CopyFailed("something hangs on the table by now, or it is gone")
    swap_postgresql.rename(session, batch.own, unit)


def _record(batch: _Batch, units: Sequence[UnitPlan], snapshot: str | None) -> None:
    """The checkpoints of the units, that they are in place, and that their targets' old rows are gone."""
    session, own = batch.target, batch.own
    ids = [unit.unit_id for unit in units]
    landed = [batch.landed[unit_id] for unit_id in ids]
    rows = [
        UnitRow(
            staging=names.staging(own, unit),
            upper=None,
            epoch=epoch.order(own, unit, snapshot),
            swapped=True,
            rows_swapped=batch.landed[unit.unit_id].rows,
        )
        for unit in units
    ]
    rejects.settle(session, own, units)
    watermark.forget_replaced(session, units)
    session.run_change(unit_row.added(session.dialect, own, list(zip(units, rows, strict=True))))
    session.run_change(
        checkpoint.whole(
            session.dialect, own, ids, [one.rows for one in landed], [one.bytes for one in landed]
        )
    )


def _result(batch: _Batch, unit: UnitPlan, seconds: float) -> ChunkResult:
    landed = batch.landed[unit.unit_id]
    return ChunkResult(
        chunk=_WHOLE,
        rows=landed.rows,
        bytes=landed.bytes,
        source_seconds=landed.source_seconds,
        transfer_seconds=landed.transfer_seconds,
        target_seconds=max(0.0, seconds - landed.source_seconds - landed.transfer_seconds),
    )
