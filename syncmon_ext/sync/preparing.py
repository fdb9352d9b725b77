"""Beginning a unit, or going on with it: its landing table, its upper end, what is committed."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from syncmon_ext.model.chunk import KeyValue
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed, LossyCopy
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.sync import (
    altered,
    checkpoint,
    chunks,
    column_places,
    epoch,
    fence,
    makeup,
    names,
    ranges,
    rejects,
    rewriting,
    source_file,
    staging,
    transfer,
    unit_row,
    watermark,
    wide_texts,
    window,
)
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER, AnySession
from syncmon_ext.sync.databases.sqlite import UTF8, SqliteSession, place
from syncmon_ext.sync.epoch import Epoch
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import relation, shown
from syncmon_ext.sync.results import UnitMark
from syncmon_ext.sync.source_file import SourceFile
from syncmon_ext.sync.unit_row import UnitRow

SET_BACK: Final = (
    "the target no longer has all that was committed there: it was restored or made anew, or syncmon's "
    "tables in it were changed"
)
# Above, the guess of PostgreSQL's statistics has to do until the walk, which counts as well, is through.
COUNT_ROWS: Final = 500_000
# Counting what has no statistics takes less than a second or two up to here.
COUNT_BYTES: Final = 1 << 30


def prepare(
    source: Connection,
    target: Connection,
    own: Ownership,
    unit: UnitPlan,
    snapshot: str | None,
    doubted: bool = False,
) -> UnitMark:
    """Make what is missing and tell where the unit stands; called again it changes nothing.

    ``doubted``: the target had more of the unit before. What is there now is taken for the truth only where
    the rows are as many as its checkpoints say.
    """
    _refuse(unit)
    with (
        reading(source, snapshot) as origin,
        sessions.opened(target, own.application_name) as session,
    ):
        begun = Epoch(
            order=epoch.order(own, unit, snapshot),
            makeup=makeup.of(origin, unit) if isinstance(origin, PostgresSession) else None,
            file=_file(origin, session),
            places=column_places.of(origin, "main", unit)
            if isinstance(origin, SqliteSession)
            else None,
        )
        warnings: list[str] = []
        row = unit_row.found(session, own, unit.unit_id)
        restarted, changed, total = False, "", None
        set_back = doubted and _is_lost(session, own, unit, row)
        through = row is not None and (row.swapped or _is_through(session, own, unit, row))
        if not through:
            altered.refuse_in_source(origin, [unit])
        if set_back:
            restarted, changed = True, SET_BACK
        elif row is not None and not through:
            before = Epoch.of(row.epoch)
            # Of the target's enums count the labels of when rows began to land.
            begun = msgspec.structs.replace(begun, labels=before.labels)
            if msgspec.structs.replace(before, rows=None) != begun:
                restarted, changed = _again(origin, before, begun)
                warnings = [] if restarted else _doubts(before, begun)
                if not restarted:
                    _go_on(session, own, unit, begun)
        if row is None or restarted:
            anew = False
            if unit.mode is Mode.INCREMENTAL:
                lost = watermark.lost(session, [unit]).get(unit.unit_id)
                anew = unit.swap == "create" or lost is not None
                opened, warnings = window.opened(origin, session, unit, anew=anew)
                if lost is not None and lost not in unit.warnings:  # the plan has not told of it
                    warnings = [lost, *warnings]
                unit = msgspec.structs.replace(unit, window=opened)
            upper = _upper(origin, unit)
            total = _total(origin, unit, upper)
            if snapshot is not None and begun.makeup is not None and begun.makeup.fixed:
                begun = msgspec.structs.replace(begun, rows=total)
            begun = msgspec.structs.replace(begun, labels=altered.labels_of_target(session, unit))
            row = UnitRow(
                staging=None if unit.direct else names.staging(own, unit),
                upper=upper,
                epoch=begun.text,
                swapped=False,
                rows_swapped=None,
                window=unit.window,
            )
            _begin(session, own, unit, row, anew=anew, changed=changed)
        unit = msgspec.structs.replace(unit, window=row.window)
        done = checkpoint.committed(session, own, unit.unit_id)
        if row.swapped:
            total = row.rows_swapped
        else:
            total = _total(origin, unit, row.upper) if total is None else total
            rewriting.check(source, origin, [unit])
        return UnitMark(
            unit_id=unit.unit_id,
            upper=row.upper,
            committed=chunks.ordered(origin, unit, ranges.merged(done)),
            chunks_committed=len(done),
            swapped=row.swapped,
            rows_swapped=row.rows_swapped,
            rows_total=total,
            restarted=restarted,
            changed=changed,
            window=row.window,
            made_of=begun.makeup if snapshot is None else None,
            warnings=warnings,
            at_once=isinstance(origin, SqliteSession) and transfer.expected(origin, unit),
        )


def _file(origin: AnySession, session: AnySession) -> SourceFile | None:
    """The source's file; None where it is the target as well, with all that is remembered of it."""
    if not isinstance(origin, SqliteSession):
        return None
    if isinstance(session, SqliteSession) and place(session.path) == origin.places["main"]:
        return None
    with origin.reading():
        return source_file.of(origin)


def _upper(origin: AnySession, unit: UnitPlan) -> KeyValue | None:
    """The unit's last key, which every row of the table is found below."""
    if not isinstance(origin, SqliteSession) or origin.encoding == UTF8:
        return chunks.upper(origin, unit)
    with origin.reading():
        upper = chunks.upper(origin, unit)
        if transfer.reaches_end(origin, "main", unit, upper):
            return upper
    raise CopyFailed(
        f"table {shown(unit.source_schema, unit.source_table)}: SQLite does not read the last key as it is, "
        f"since it {wide_texts.CHANGED_KEY}: its row would be left out",
        hint="correct that key in the source, leave it out with where, or name another key with key = [...]",
    )


def _is_lost(session: AnySession, own: Ownership, unit: UnitPlan, row: UnitRow | None) -> bool:
    """Whether a unit that had more in the target must begin again. Raises CopyFailed where rows of it may
    be in the table itself: they cannot be told from others."""
    if row is not None and row.swapped:
        return False
    if unit.direct or (row is None and unit.mode is Mode.APPEND):
        raise CopyFailed(
            f"table {shown(unit.target_schema, unit.target_table)}: {SET_BACK}; rows of this run may be in "
            "it already, and would come a second time",
            hint="compare its rows with the source's, remove what is of this run, then start fresh",
        )
    if row is None or row.staging is None:
        return True
    if not staging.exists(session, unit.target_schema, row.staging):
        return True
    done = checkpoint.committed(session, own, unit.unit_id)
    table = relation(unit.target_schema, row.staging)
    there = int(session.execute(f"SELECT count(*) FROM {table}")[0][0])
    return there != sum(chunk.rows or 0 for chunk in done)


def _refuse(unit: UnitPlan) -> None:
    if not unit.errors:
        return
    table = shown(unit.source_schema, unit.source_table)
    kind = LossyCopy if any("allow_lossy" in error for error in unit.errors) else CopyFailed
    raise kind(f"table {table}: {'; '.join(unit.errors)}")


def _is_through(session: AnySession, own: Ownership, unit: UnitPlan, row: UnitRow) -> bool:
    """Whether all chunks of a unit with a key are committed: whatever comes now, it has lost nothing."""
    if unit.chunk_method != "key":
        return False
    done = ranges.merged(checkpoint.committed(session, own, unit.unit_id))
    return ranges.are_all(done, row.upper)


def _again(origin: AnySession, before: Epoch, now: Epoch) -> tuple[bool, str]:
    """Whether the unit begins again from its first row, and what was changed of its table, if that is why."""
    if before.order != now.order:
        return True, ""
    if changed := source_file.difference(before.file, now.file):
        return True, changed
    if before.places is not None and before.places != now.places:
        return True, column_places.CHANGED
    if not isinstance(origin, PostgresSession) or before.makeup is None or now.makeup is None:
        return False, ""  # an older syncmon began it
    changed = makeup.difference(origin, before.makeup, now.makeup)
    return bool(changed), changed


def _doubts(before: Epoch, now: Epoch) -> list[str]:
    """What a person is told of the source, though the unit goes on."""
    if before.file is not None and now.file is not None:
        doubt = source_file.doubt(before.file, now.file)
        return [doubt] if doubt else []
    if (
        before.makeup is None
        or now.makeup is None
        or not makeup.is_older(before.makeup, now.makeup)
    ):
        return []
    return [
        "the source is older than it was when rows were read before: it was set back, as by a backup that "
        "was restored, or it is a replica that lags; rows that it lacks are not copied: start fresh once "
        "it has them"
    ]


def _go_on(session: AnySession, own: Ownership, unit: UnitPlan, now: Epoch) -> None:
    with session.transaction():
        session.run_change(unit_row.begun(session.dialect, own, unit.unit_id, now.text))
        fence.check(session, own, [unit])


def _begin(
    session: AnySession,
    own: Ownership,
    unit: UnitPlan,
    row: UnitRow,
    *,
    anew: bool,
    changed: str,
) -> None:
    with session.transaction():
        if anew:
            session.run_change(watermark.forgotten(session.dialect, [unit]))
        if row.staging is not None:
            session.change(f"DROP TABLE IF EXISTS {relation(unit.target_schema, row.staging)}")
        elif checkpoint.committed(session, own, unit.unit_id):
            reason = "the order they were read in is gone"
            if changed:
                reason = f"the source's table is another by now: {changed}"
            raise CopyFailed(
                f"table {shown(unit.target_schema, unit.target_table)}: rows of this run are in the "
                f"target already, and {reason}",
                hint="remove them and start fresh, or copy without direct",
            )
        session.run_change(checkpoint.removed(session.dialect, own, [unit.unit_id]))
        session.run_change(unit_row.removed(session.dialect, own, [unit.unit_id]))
        session.run_change(rejects.of_run_removed(session.dialect, own, unit.unit_id))
        staging.create(session, own, unit)
        if not unit.makes_table:
            altered.refuse_in_target(session, [unit])
        session.run_change(unit_row.added(session.dialect, own, [(unit, row)]))
        fence.check(session, own, [unit])
        fault_point("prepare.before_commit")
    fault_point("prepare.after_commit")


@contextmanager
def reading(source: Connection, snapshot: str | None) -> Iterator[AnySession]:
    """A session that reads the source, in the snapshot where there is one."""
    with sessions.opened(source, READER) as session:
        if isinstance(session, PostgresSession):
            with session.reading(snapshot):
                yield session
        else:
            yield session


def _total(session: AnySession, unit: UnitPlan, upper: KeyValue | None) -> int | None:
    """The rows up to ``upper``, where the table is small enough to be counted."""
    table = relation(unit.source_schema, unit.source_table)
    if isinstance(session, PostgresSession):
        if unit.rows_total is not None and unit.rows_total > COUNT_ROWS:
            return None
        size = session.execute("SELECT pg_table_size(%s::regclass)", (table,))[0][0]
        if size > COUNT_BYTES:
            return None
        where = ranges.where(unit, None, upper, session.literal)
        return int(session.execute(f"SELECT count(*) FROM {table}{where}")[0][0])
    if session.size > COUNT_BYTES:
        return None
    bind = ranges.Binder()
    where = ranges.where(unit, None, upper, bind)
    if (
        not unit.where
        and unit.window is None
        and transfer.reaches_end(session, "main", unit, upper)
    ):
        where, bind.values = "", []  # counted by pages, not by keys
    return int(session.execute(f"SELECT count(*) FROM {table}{where}", bind.values)[0][0])
