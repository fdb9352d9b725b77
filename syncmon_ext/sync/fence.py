"""The fence: one row per target table that says who may commit into it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Select, Update, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.errors import FenceLost, TargetBusy
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import shown


def held(dialect: str, unit: UnitPlan, *, lock: str = "") -> Select[tuple[object, ...]]:
    """The fence row of a unit's target table; ``lock`` is ``share``, ``update`` or nothing."""
    fences = ledger(dialect).fences
    statement = select(
        fences.c.store_id, fences.c.task_id, fences.c.run_id, fences.c.token, fences.c.finished
    ).where(
        fences.c.target_schema == (unit.target_schema or ""),
        fences.c.target_table == unit.target_table,
    )
    if lock and dialect == "postgresql":  # SQLite's writer holds the only lock there is
        statement = statement.with_for_update(read=lock == "share")
    return statement


def raised(dialect: str, own: Ownership, unit: UnitPlan, backend: int) -> Insert:
    """Writes the token of ``own`` into the fence row, which is made when missing."""
    fences = ledger(dialect).fences
    insert = postgresql.insert(fences) if dialect == "postgresql" else sqlite.insert(fences)
    values = {
        "store_id": own.store_id,
        "task_id": own.task_id,
        "run_id": own.run_id,
        "token": own.token,
        "backend": backend,
        "finished": False,
    }
    return insert.values(
        target_schema=unit.target_schema or "", target_table=unit.target_table, **values
    ).on_conflict_do_update(
        index_elements=[fences.c.target_schema, fences.c.target_table], set_=values
    )


def finished(dialect: str, own: Ownership, unit: UnitPlan) -> Update:
    """Marks the run as ended in the unit's fence row: another run may claim the table."""
    fences = ledger(dialect).fences
    return (
        update(fences)
        .where(
            fences.c.target_schema == (unit.target_schema or ""),
            fences.c.target_table == unit.target_table,
            fences.c.store_id == own.store_id,
            fences.c.run_id == own.run_id,
            fences.c.token <= own.token,
        )
        .values(finished=true())
    )


def claim(session: Session, own: Ownership, unit: UnitPlan, backend: int) -> None:
    """Take the fence of the unit's target table, in the caller's transaction.

    Raises TargetBusy where an unfinished run holds it, FenceLost where a newer owner of this run does.
    """
    rows = session.run(held(session.dialect, unit, lock="update"))
    table = shown(unit.target_schema, unit.target_table)
    if rows:
        store_id, task_id, run_id, token, is_finished = rows[0]
        ours = store_id == own.store_id and run_id == own.run_id
        if ours:
            refuse_newer(own, unit, token)
        if not ours and not is_finished:
            raise TargetBusy(
                f"table {table} is being written by run {run_id} of task {task_id}",
                hint=f"wait for it or stop it; if it was abandoned: jupyter syncmon doctor --clean "
                f"{session.name}",
            )
    session.run_change(raised(session.dialect, own, unit, backend))


def refuse_newer(own: Ownership, unit: UnitPlan, token: int) -> None:
    """Raises FenceLost where ``token``, of this run, is that of a newer owner."""
    if token > own.token:
        raise FenceLost(
            f"table {shown(unit.target_schema, unit.target_table)}: a newer owner (token {token}) has "
            f"taken run {own.run_id} over"
        )


def check(session: Session, own: Ownership, units: Sequence[UnitPlan]) -> None:
    """The last statement before COMMIT: lock the fence rows and compare. Raises FenceLost."""
    compare(session, own, units, lock="share")


def compare(session: Session, own: Ownership, units: Sequence[UnitPlan], *, lock: str = "") -> None:
    """Raises FenceLost where a fence row is not that of ``own``."""
    for unit in sorted(units, key=lambda u: (u.target_schema or "", u.target_table)):
        rows = session.run(held(session.dialect, unit, lock=lock))
        holder = (rows[0][0], rows[0][2], rows[0][3]) if rows else None
        if holder != (own.store_id, own.run_id, own.token):
            table = shown(unit.target_schema, unit.target_table)
            raise FenceLost(
                f"table {table}: its fence "
                + (f"names run {holder[1]}, token {holder[2]}" if holder else "is gone")
                + f"; run {own.run_id} with token {own.token} does not write any more"
            )
