"""Replaying rejects: each bad row is read from the source again and put into the target table."""

from __future__ import annotations

import time

import msgspec
from sqlalchemy import func, select

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Rejects, Replayed
from syncmon_ext.sync import (
    altered,
    claiming,
    ending,
    engine_url,
    fence,
    ledger,
    names,
    placing,
    recognising,
    rejects,
    staging,
)
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.sessions import READER, AnySession
from syncmon_ext.sync.ownership import Ownership, replay_of
from syncmon_ext.sync.quoting import relation, shown
from syncmon_ext.sync.rejects import Kept
from syncmon_ext.sync.routes.registry import ROUTES


def listed(target: Connection, store_id: str, task_id: str, limit: int) -> Rejects:
    """The newest rejects of a task."""
    if engine_url.dialect(target) == "sqlite" and not engine_url.sqlite_path(target).exists():
        return Rejects(total=0, rejects=[])
    with sessions.opened(target, f"{READER}/rejects") as session:
        if not ledger.has_rejects(session):
            return Rejects(total=0, rejects=[])
        found = rejects.found(session, store_id, task_id, limit)
        total = rejects.total(session, store_id, task_id)
        return Rejects(total=total, rejects=[kept.reject for kept in found])


def replayed(
    source: Connection,
    target: Connection,
    store_id: str,
    task_id: str,
    units: list[UnitPlan],
    seconds: float,
) -> Replayed:
    """Try the rejects of ``units`` again for ``seconds`` at most, each in a transaction of its own.

    Raises TargetBusy where a run holds one of the tables.
    """
    deadline = time.monotonic() + seconds
    by_id = {unit.unit_id: unit for unit in units}
    with sessions.opened(target, "syncmon/replay") as session:
        if not ledger.has_rejects(session):
            return Replayed(replayed=0, gone=0, remaining=0)
        token = _next_token(session, replay_of(task_id))
        every = rejects.found(session, store_id, task_id, None)
    waiting = [kept for kept in every if kept.reject.unit_id in by_id]
    unplanned = len(every) - len(waiting)
    if not waiting:
        return Replayed(replayed=0, gone=0, remaining=unplanned)
    own = Ownership(store_id=store_id, task_id=task_id, run_id=replay_of(task_id), token=token)
    held = [by_id[unit_id] for unit_id in {kept.reject.unit_id for kept in waiting}]
    claiming.claim(target, own, held)
    counts = {"replayed": 0, "gone": 0, "remaining": unplanned}
    try:
        for kept in waiting:
            late = time.monotonic() > deadline
            unit = by_id[kept.reject.unit_id]
            if kept.where is not None:  # a later run may have another
                unit = msgspec.structs.replace(unit, where=kept.where)
            outcome = "remaining" if late else _tried(source, target, own, unit, kept)
            counts[outcome] += 1
    finally:
        ending.forget(target, own, held)
    return Replayed(**counts)


def _next_token(session: AnySession, run_id: str) -> int:
    table = ledger.ledger(session.dialect).fences
    rows = session.run(select(func.max(table.c.token)).where(table.c.run_id == run_id))
    return int(rows[0][0] or 0) + 1


def _tried(
    source: Connection,
    target: Connection,
    own: Ownership,
    unit: UnitPlan,
    kept: Kept,
) -> str:
    row = _one_row(unit, kept.key)
    known = kept.reject
    rejected_by = msgspec.structs.replace(own, run_id=known.run_id)
    try:
        with sessions.opened(target, own.application_name) as session:
            snapshot = None
            with session.transaction():
                staging.create(session, own, row)
                with ROUTES[unit.route](source, session, snapshot) as way:
                    if row.chunk_method == "rowid":
                        known = recognising.recognised(way, row, known)
                    landed = way.copy(row, Chunk(low=None, high=None), names.staging(own, row))
                    altered.refuse_in_source(way.reader, [row], way.schema)
                altered.refuse_in_target(session, [row])
                _put(session, own, row, landed.rows)
                session.run_change(
                    rejects.of_run_removed(session.dialect, rejected_by, unit.unit_id, key=kept.key)
                )
                fence.check(session, own, [unit])
            return "replayed" if landed.rows else "gone"
    except BadRow as error:
        again = msgspec.structs.replace(
            known, column=error.column or None, error=error.reason, message=error.message
        )
        with sessions.opened(target, own.application_name) as session, session.transaction():
            session.run_change(
                rejects.of_run_removed(session.dialect, rejected_by, unit.unit_id, key=kept.key)
            )
            session.run_change(rejects.written(session, rejected_by, unit, again, kept.key))
            fence.check(session, own, [unit])
        return "remaining"


def _one_row(unit: UnitPlan, key: KeyValue) -> UnitPlan:
    """The unit as if it were one row, staged by itself and put into the table that is there."""
    return msgspec.structs.replace(
        unit,
        only=key,
        window=None,
        made_of=None,
        direct=False,
        swap="merge" if unit.merge_key else "move",
        max_rejects=0,
        large_values=True,  # it is alone as it is
    )


def _put(session: AnySession, own: Ownership, row: UnitPlan, expected: int) -> None:
    """Put the staged row in place, unless it is gone; raises BadRow where it does not arrive."""
    stage = relation(row.target_schema, names.staging(own, row))
    if placing.placed(session, row, stage, merge=bool(row.merge_key)) != expected:
        reason = "the row does not come into the table"
        hint = "a trigger or a rule of the target holds it back: take that off, then replay again"
        table = shown(row.target_schema, row.target_table)
        raise BadRow(f"table {table}: {reason}; {hint}", hint=hint, reason=reason)
    session.change(f"DROP TABLE {stage}")
