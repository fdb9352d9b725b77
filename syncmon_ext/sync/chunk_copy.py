"""The copy of one chunk: rows, checkpoint and fence in one transaction of the target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from syncmon_ext.model.chunk import Chunk, ChunkResult
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow, CopyFailed, CountMismatch
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode, Verify
from syncmon_ext.sync import (
    altered,
    checkpoint,
    column_places,
    digest,
    fence,
    key_text,
    names,
    rewriting,
    source_file,
    unit_row,
)
from syncmon_ext.sync.bisecting import Around, Part
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.settings import HARMLESS
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.epoch import Epoch
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import shown
from syncmon_ext.sync.routes.base import Way
from syncmon_ext.sync.routes.registry import ROUTES
from syncmon_ext.sync.throttle import PaceChanged


def copied(
    source: Connection,
    target: Connection,
    own: Ownership,
    unit: UnitPlan,
    chunk: Chunk,
    snapshot: str | None,
) -> ChunkResult:
    """Copy ``chunk``; a chunk that is committed already is found and left alone."""
    fault_point("chunk.begin")
    if unit.mode is Mode.INCREMENTAL and unit.window is None:
        raise ValueError("an incremental unit is copied within the window that prepare gave")
    try:
        with sessions.opened(target, own.application_name) as session:
            found = _committed(session, own, unit, chunk)
            if found is not None:
                return found

            def read(way: Way, part: Chunk) -> Part:
                table = names.landing(own, unit)
                with _as_begun(session, way, own, unit):
                    return _read(source, way, unit, part, table, snapshot)

            def attempt(part: Chunk) -> Part:
                with ROUTES[unit.route](source, session, snapshot) as way:
                    try:
                        return read(way, part)
                    except BadRow as error:
                        reader = way.reader
                        if not isinstance(reader, PostgresSession) or not reader.end_copy():
                            raise
                        refused = error  # raised outside of the way: its connection is kept
                raise refused

            if unit.max_rejects:
                around = Around(source, session, own, unit, snapshot, attempt)
                return _copy(session, around.copy, own, unit, chunk)
            with ROUTES[unit.route](source, session, snapshot) as way:
                return _copy(session, lambda part: read(way, part), own, unit, chunk)
    except PaceChanged:
        return copied(source, target, own, unit, chunk, snapshot)
    except CopyFailed as error:
        place = f"table {shown(unit.source_schema, unit.source_table)}, chunk {bounds(chunk)}"
        raise type(error)(f"{place}: {error.message}", hint=error.hint) from None


@contextmanager
def _as_begun(session: AnySession, way: Way, own: Ownership, unit: UnitPlan) -> Iterator[None]:
    """Around the reading of rows: those of SQLite are of the file and the columns that the unit began with,
    before and after it. A row that is refused within is one of them, too."""
    if not isinstance(way.reader, SqliteSession):
        yield
        return
    row = unit_row.found(session, own, unit.unit_id)
    begun = Epoch(order="") if row is None else Epoch.of(row.epoch)
    schema = way.schema or "main"
    source_file.check(way.reader, schema, begun.file)
    yield
    source_file.check(way.reader, schema, begun.file)
    column_places.check(way.reader, schema, unit, begun.places)


def _read(
    source: Connection, way: Way, unit: UnitPlan, part: Chunk, table: str, snapshot: str | None
) -> Part:
    found = attempted(way, unit, part, table)
    rewriting.check(source, way.reader, [unit])
    if snapshot is None:  # in a snapshot they are what they were when the unit began
        altered.refuse_in_source(way.reader, [unit], way.schema)
        rewriting.compare(way.reader, unit)
    return found


def attempted(way: Way, unit: UnitPlan, part: Chunk, table: str) -> Part:
    """The rows of ``part`` in ``table``, counted, and their digest where that is asked for."""
    landed = way.copy(unit, part, table)
    if landed.rows != landed.rows_read:
        raise CountMismatch(
            f"{landed.rows_read} rows were read and {landed.rows} landed",
            hint="a trigger or a rule of the target may drop rows; the chunk was rolled back",
        )
    if unit.verify is not Verify.HASH:
        return landed, None
    return landed, digest.of_source(way.reader, way.schema, unit, part.low, part.high)


def bounds(chunk: Chunk) -> str:
    """A chunk's range as messages show it."""
    low = "start" if chunk.low is None else key_text.shortened(chunk.low)
    high = "end" if chunk.high is None else key_text.shortened(chunk.high)
    return f"({low}, {high}]"


def _committed(
    session: AnySession, own: Ownership, unit: UnitPlan, chunk: Chunk
) -> ChunkResult | None:
    rows = session.run(checkpoint.one(session.dialect, own, unit.unit_id, chunk))
    if not rows:
        return None
    return ChunkResult(
        chunk=chunk,
        rows=rows[0][0],
        bytes=rows[0][1],
        source_seconds=0.0,
        transfer_seconds=0.0,
        target_seconds=0.0,
        replayed=True,
    )


def _transaction(session: AnySession, unit: UnitPlan) -> AbstractContextManager[None]:
    """A transaction for rows; the table that they land in may have the target's triggers or checks."""
    if isinstance(session, PostgresSession):
        usual: Sequence[str] = ()
        if unit.direct or unit.swap == "rename" or unit.max_rejects:
            # What allow_lossy lets in may be written in any form.
            usual = ("search_path",) if any(column.lossy for column in unit.copied) else HARMLESS
        return session.transaction(usual=usual)
    return session.transaction()


def _copy(
    session: AnySession,
    copy: Callable[[Chunk], Part],
    own: Ownership,
    unit: UnitPlan,
    chunk: Chunk,
) -> ChunkResult:
    dialect = session.dialect
    landed = None
    with _transaction(session, unit):
        # First, so that a twin whose COMMIT is under way is waited for before a row moves.
        if session.run_change(checkpoint.begun(dialect, own, unit.unit_id, chunk)):
            landed, read = copy(chunk)
            done = Chunk(low=chunk.low, high=chunk.high, rows=landed.rows, bytes=landed.bytes)
            session.run_change(checkpoint.completed(dialect, own, unit.unit_id, done, read))
            if unit.direct:
                with sessions.settled_names(session):
                    altered.refuse_in_target(session, [unit])
            fault_point("chunk.written")
            fence.check(session, own, [unit])
            fault_point("chunk.before_commit")
            committing = time.perf_counter()
    if landed is None:
        found = _committed(session, own, unit, chunk)
        if found is None:
            raise CopyFailed("its checkpoint came and went", hint="start the task again")
        return found
    fault_point("chunk.after_commit")
    return ChunkResult(
        chunk=chunk,
        rows=landed.rows,
        bytes=landed.bytes,
        source_seconds=landed.source_seconds,
        transfer_seconds=landed.transfer_seconds,
        target_seconds=landed.target_seconds + time.perf_counter() - committing,
    )
