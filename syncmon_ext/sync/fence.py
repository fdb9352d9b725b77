"""The fence: one row per target table that says who may commit into it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    FromClause,
    Select,
    Update,
    and_,
    false,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.errors import FenceLost, TargetBusy
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership, replay_of
from syncmon_ext.sync.quoting import shown


class Fence(msgspec.Struct, frozen=True):
    """A fence row: who holds a target table."""

    store_id: str
    task_id: str
    run_id: str
    token: int
    finished: bool

    def of_run(self, own: Ownership) -> bool:
        """Whether it is held for the run of ``own``, by whichever owner."""
        return (self.store_id, self.run_id) == (own.store_id, own.run_id)

    def gives_way(self, own: Ownership) -> bool:
        """Whether the run of ``own`` may take it: a replay of its task may have been cut off, and is refused
        while a run is there."""
        return self.finished or (
            (self.store_id, self.run_id) == (own.store_id, replay_of(own.task_id))
        )


def of(unit: UnitPlan) -> tuple[str, str]:
    """What names the fence of a unit's target table."""
    return unit.target_schema or "", unit.target_table


def in_order(units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """``units`` in the one order in which everybody locks their fences."""
    return sorted(units, key=of)


def _listed(dialect: str, units: Sequence[UnitPlan]) -> FromClause:
    names = [of(unit) for unit in in_order(units)]
    return listed(
        dialect, target_schema=[name[0] for name in names], target_table=[name[1] for name in names]
    )


def held(dialect: str, units: Sequence[UnitPlan], *, lock: str = "") -> Select[tuple[object, ...]]:
    """The fence rows of the units' target tables; ``lock`` is ``share``, ``update`` or nothing."""
    fences, names = ledger(dialect).fences, _listed(dialect, units)
    statement = (
        select(
            fences.c.target_schema,
            fences.c.target_table,
            fences.c.store_id,
            fences.c.task_id,
            fences.c.run_id,
            fences.c.token,
            fences.c.finished,
        )
        .join(
            names,
            and_(
                fences.c.target_schema == names.c.target_schema,
                fences.c.target_table == names.c.target_table,
            ),
        )
        .order_by(fences.c.target_schema, fences.c.target_table)
    )
    if lock and dialect == "postgresql":  # SQLite's writer holds the only lock there is
        statement = statement.with_for_update(read=lock == "share", of=fences)
    return statement


def found(
    session: Session, units: Sequence[UnitPlan], *, lock: str = ""
) -> dict[tuple[str, str], Fence]:
    """The fences of the units' target tables that are there."""
    rows = session.run(held(session.dialect, units, lock=lock))
    return {
        (schema, table): Fence(store_id, task_id, run_id, token, bool(finished))
        for schema, table, store_id, task_id, run_id, token, finished in rows
    }


def raised(dialect: str, own: Ownership, units: Sequence[UnitPlan], backend: int) -> Insert:
    """Writes the token of ``own`` into the fence rows, which are made when missing; no row of a run
    that has not ended changes."""
    fences, names = ledger(dialect).fences, _listed(dialect, units)
    insert = upsert(dialect, fences)
    values = {
        "store_id": literal(own.store_id),
        "task_id": literal(own.task_id),
        "run_id": literal(own.run_id),
        "token": literal(own.token),
        "backend": literal(backend),
        "finished": false(),
    }
    return insert.from_select(
        ["target_schema", "target_table", *values],
        # A condition, since SQLite takes what follows a table for a join.
        select(names.c.target_schema, names.c.target_table, *values.values()).where(true()),
    ).on_conflict_do_update(
        index_elements=[fences.c.target_schema, fences.c.target_table],
        set_={name: insert.excluded[name] for name in values},
        where=or_(
            and_(fences.c.store_id == own.store_id, fences.c.run_id == own.run_id),
            and_(fences.c.store_id == own.store_id, fences.c.run_id == replay_of(own.task_id)),
            fences.c.finished == true(),
        ),
    )


def finished(dialect: str, own: Ownership, units: Sequence[UnitPlan]) -> Update:
    """Marks the run as ended in the units' fence rows: another run may claim the tables."""
    fences, names = ledger(dialect).fences, _listed(dialect, units)
    return (
        update(fences)
        .where(
            fences.c.target_schema == names.c.target_schema,
            fences.c.target_table == names.c.target_table,
            fences.c.store_id == own.store_id,
            fences.c.run_id == own.run_id,
            fences.c.token <= own.token,
        )
        .values(finished=true())
    )


def claim(session: Session, own: Ownership, units: Sequence[UnitPlan], backend: int) -> None:
    """Take the fences of the units' target tables, in the caller's transaction.

    Raises TargetBusy where an unfinished run holds one, FenceLost where a newer owner of this run does.
    """
    if not units:
        return
    _refuse_others(session, own, units)
    if session.run_change(raised(session.dialect, own, units, backend)) < len(
        {of(unit) for unit in units}
    ):
        _refuse_others(session, own, units)  # another run made the row between the two statements


def _refuse_others(session: Session, own: Ownership, units: Sequence[UnitPlan]) -> None:
    there = found(session, units, lock="update")
    for unit in in_order(units):
        fence = there.get(of(unit))
        if fence is None:
            continue
        if fence.of_run(own):
            refuse_newer(own, unit, fence.token)
        elif not fence.gives_way(own):
            raise TargetBusy(
                f"table {shown(unit.target_schema, unit.target_table)} is held by run {fence.run_id} of "
                f"task {fence.task_id}, which is neither completed nor stopped",
                hint=f"wait for it; where it has failed or is paused, start it again or stop it: jupyter "
                f"syncmon stop {fence.task_id}; where its store is gone: jupyter syncmon doctor --clean "
                f"{session.name}",
            )


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
    there = found(session, units, lock=lock)
    for unit in in_order(units):
        fence = there.get(of(unit))
        if fence is None or fence.finished or not fence.of_run(own) or fence.token != own.token:
            table = shown(unit.target_schema, unit.target_table)
            names = f"names run {fence.run_id}, token {fence.token}" if fence else "is gone"
            if fence is not None and fence.finished:
                names += ", which has ended"
            raise FenceLost(
                f"table {table}: its fence {names}; run {own.run_id} with token {own.token} does not "
                "write any more"
            )
