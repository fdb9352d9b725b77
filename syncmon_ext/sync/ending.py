"""The end of a run in its target: what a stop takes away, what a finished run leaves."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.sql import and_

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import (
    checkpoint,
    engine_url,
    fence,
    ledger,
    names,
    rejects,
    staging,
    unit_row,
)
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import relation
from syncmon_ext.sync.results import Discarded, Leftover


def discard(target: Connection, own: Ownership, units: Sequence[UnitPlan]) -> list[Discarded]:
    """Take away what the run has in the target, except the units that are in place."""
    with sessions.opened(target, own.application_name) as session:
        if not ledger.exists(session):
            return [Discarded(unit_id=unit.unit_id, kept=False, rows_kept=0) for unit in units]
        with session.transaction():
            ledger.create(session)  # of an older version: brought up to date
            # A chunk whose COMMIT is under way holds them, too: its rows are counted after it.
            fence.found(session, units, lock="update")
            results = [_discarded(session, own, unit) for unit in units]
            for unit, result in zip(units, results, strict=True):
                if not result.kept:
                    session.run_change(rejects.of_run_removed(session.dialect, own, unit.unit_id))
            _remove(session, own, units)
            fault_point("discard.before_commit")
        fault_point("discard.after_commit")
        return results


def forget(target: Connection, own: Ownership, units: Sequence[UnitPlan]) -> None:
    """Remove the checkpoints of a run whose end the store has recorded, and release its fences."""
    with sessions.opened(target, own.application_name) as session:
        if ledger.exists(session):
            with session.transaction():
                ledger.create(session)
                _remove(session, own, units)
                fault_point("forget.before_commit")
    fault_point("forget.after_commit")


def _discarded(session: AnySession, own: Ownership, unit: UnitPlan) -> Discarded:
    row = unit_row.found(session, own, unit.unit_id)
    if row is not None and row.swapped:
        return Discarded(unit_id=unit.unit_id, kept=True, rows_kept=row.rows_swapped or 0)
    rows = 0
    if unit.direct:
        done = checkpoint.committed(session, own, unit.unit_id)
        rows = sum(chunk.rows for chunk in done if chunk.rows is not None)
    made = unit.direct and unit.makes_table and row is not None
    if made and not rows and _is_empty(session, unit):
        session.change(f"DROP TABLE {relation(unit.target_schema, unit.target_table)}")
        made = False
    return Discarded(unit_id=unit.unit_id, kept=rows > 0, rows_kept=rows, table_made=made)


def _is_empty(session: AnySession, unit: UnitPlan) -> bool:
    """True where the table is there and nobody has put a row into it."""
    if not staging.exists(session, unit.target_schema, unit.target_table):
        return False
    table = relation(unit.target_schema, unit.target_table)
    return not session.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608  # quoted


def _remove(session: AnySession, own: Ownership, units: Sequence[UnitPlan]) -> None:
    held = fence.found(session, units, lock="update")
    # Where a fence went to another run, nothing of ours is there any more.
    ours = [unit for unit in units if (at := held.get(fence.of(unit))) and at.of_run(own)]
    for unit in ours:
        fence.refuse_newer(own, unit, held[fence.of(unit)].token)
    if not ours:
        return
    for schema, stage in staging.there(
        session, [(unit.target_schema, names.staging(own, unit)) for unit in ours]
    ):
        session.change(f"DROP TABLE {relation(schema, stage)}")
    ids = [unit.unit_id for unit in ours]
    session.run_change(checkpoint.removed(session.dialect, own, ids))
    session.run_change(unit_row.removed(session.dialect, own, ids))
    session.run_change(fence.finished(session.dialect, own, ours))


def leftovers(target: Connection) -> list[Leftover]:
    """What runs have in the target: the fences of unfinished runs, and staging tables."""
    if _absent(target):
        return []
    with sessions.opened(target, f"{sessions.READER}/doctor") as session:
        return _leftovers(session) if ledger.exists(session) else []


def _absent(target: Connection) -> bool:
    return engine_url.dialect(target) == "sqlite" and not engine_url.sqlite_path(target).exists()


def _leftovers(session: AnySession) -> list[Leftover]:
    tables = ledger.ledger(session.dialect)
    f, u, c = tables.fences, tables.units, tables.checkpoints
    mine = and_(u.c.store_id == f.c.store_id, u.c.run_id == f.c.run_id)
    at = and_(u.c.target_schema == f.c.target_schema, u.c.target_table == f.c.target_table)
    of_unit = and_(
        c.c.store_id == u.c.store_id, c.c.run_id == u.c.run_id, c.c.unit_id == u.c.unit_id
    )
    statement = (
        select(
            f.c.store_id,
            f.c.task_id,
            f.c.run_id,
            f.c.target_schema,
            f.c.target_table,
            u.c.staging,
            func.count(c.c.low_key),
            func.coalesce(func.sum(c.c.rows), 0),
            func.coalesce(u.c.swapped, False),
            f.c.finished,
        )
        .select_from(f.outerjoin(u, and_(mine, at)).outerjoin(c, of_unit))
        .group_by(*f.c, u.c.staging, u.c.swapped)
        .order_by(f.c.target_schema, f.c.target_table)
    )
    return [
        Leftover(
            store_id=store_id,
            task_id=task_id,
            run_id=run_id,
            schema=schema or None,
            table=table,
            staging=staging,
            chunks=chunks,
            rows=int(rows),
            swapped=bool(swapped),
            finished=bool(finished),
        )
        for (
            store_id,
            task_id,
            run_id,
            schema,
            table,
            staging,
            chunks,
            rows,
            swapped,
            finished,
        ) in session.run(statement)
        if not finished or staging is not None
    ]


def clean(target: Connection, run_ids: Sequence[str]) -> list[Leftover]:
    """Drop what the runs left in the target and release their fences; gives what was dropped."""
    if _absent(target):
        return []
    with sessions.opened(target, "syncmon/doctor") as session:
        if not ledger.exists(session):
            return []
        tables = ledger.ledger(session.dialect)
        with session.transaction():
            ledger.create(session)
            gone = [item for item in _leftovers(session) if item.run_id in run_ids]
            for item in gone:
                if item.staging is not None:
                    stage = relation(item.schema, item.staging)
                    session.change(f"DROP TABLE IF EXISTS {stage}")
            for run in {(item.store_id, item.run_id) for item in gone}:
                session.run_change(rejects.of_staged_removed(session.dialect, *run))
                for table in (tables.checkpoints, tables.units):
                    session.run_change(
                        delete(table).where(table.c.store_id == run[0], table.c.run_id == run[1])
                    )
                # The token grows, so that a worker that is not dead after all must stop.
                session.run_change(
                    update(tables.fences)
                    .where(tables.fences.c.store_id == run[0], tables.fences.c.run_id == run[1])
                    .values(finished=True, token=tables.fences.c.token + 1)
                )
        return gone
