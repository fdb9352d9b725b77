"""The table of rejects in a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    not_,
    null,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.dml import Insert

from syncmon_ext.model.chunk import KeyValue
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Reject
from syncmon_ext.model.task import Mode
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync import key_text
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import columns, ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A reject as the target keeps it."""

    reject: Reject
    key: KeyValue
    where: dict[str, Any] | None  # that the row was read with; None where an older syncmon kept it


def written(
    session: Session, own: Ownership, unit: UnitPlan, reject: Reject, key: KeyValue
) -> Insert:
    """Keeps a bad row; one of the same run and key is replaced."""
    table = ledger(session.dialect).rejects
    insert = upsert(session.dialect, table)
    row_key, row_text = key_text.named(key)
    values = {
        "key_shown": key_text.json(reject.key),
        "column_name": reject.column,
        "error": reject.error,
        "message": reject.message,
        "row_values": key_text.json(reject.row),
        "rejected_at": reject.rejected_at,
    }
    return insert.values(
        store_id=own.store_id,
        task_id=own.task_id,
        unit_id=unit.unit_id,
        run_id=own.run_id,
        row_key=row_key,
        row_text=row_text,
        row_filter=_filter(unit),
        target_schema=unit.target_schema or "",
        target_table=unit.target_table,
        **values,
    ).on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


def _filter(unit: UnitPlan) -> str:
    return key_text.json(unit.where, order="sorted")


def settle(session: Session, own: Ownership, units: Sequence[UnitPlan]) -> None:
    """Remove the rejects that need no replay, in the transaction that puts the rows of ``units`` in place.

    Where they replace all rows, those of any other run; where they are merged, those of the task's older runs
    whose rows were read again. An append leaves all: what was set aside is still missing.
    """
    replaced = [unit for unit in units if unit.mode is Mode.REPLACE]
    if replaced:
        session.run_change(_of_targets_removed(session.dialect, own, replaced))
    merged = [unit for unit in units if unit.mode in (Mode.MERGE, Mode.INCREMENTAL)]
    if merged:
        session.run_change(_read_again_removed(session.dialect, own, merged))


def _of_targets_removed(dialect: str, own: Ownership, units: Sequence[UnitPlan]) -> Delete:
    """Removes what other runs and tasks have rejected of rows for the targets of ``units``."""
    table = ledger(dialect).rejects
    gone = listed(
        dialect,
        schema=[unit.target_schema or "" for unit in units],
        name=[unit.target_table for unit in units],
        unit_id=[unit.unit_id for unit in units],
    )
    of_target = tuple_(table.c.target_schema, table.c.target_table).in_(
        select(gone.c.schema, gone.c.name)
    )
    older = and_(  # which does not name its target
        table.c.target_table.is_(None),
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.unit_id.in_(select(gone.c.unit_id)),
    )
    of_own = and_(table.c.store_id == own.store_id, table.c.run_id == own.run_id)
    return delete(table).where(or_(of_target, older), not_(of_own))


def _read_again_removed(dialect: str, own: Ownership, units: Sequence[UnitPlan]) -> Delete:
    """Removes what older runs of the task have rejected of rows that this one has read."""
    table = ledger(dialect).rejects
    now = table.alias("now")
    whole = [unit for unit in units if unit.window is None or unit.window.low is None]
    read = listed(
        dialect,
        unit_id=[unit.unit_id for unit in whole],
        row_filter=[_filter(unit) for unit in whole],
    )
    of_all = or_(
        tuple_(table.c.unit_id, table.c.row_filter).in_(select(read.c.unit_id, read.c.row_filter)),
        and_(table.c.row_filter.is_(None), table.c.unit_id.in_(select(read.c.unit_id))),
    )
    rejected_again = exists().where(
        now.c.store_id == own.store_id,
        now.c.task_id == own.task_id,
        now.c.run_id == own.run_id,
        now.c.unit_id == table.c.unit_id,
        now.c.row_key == table.c.row_key,
    )
    ids = listed(dialect, unit_id=[unit.unit_id for unit in units])
    return delete(table).where(
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.run_id != own.run_id,
        table.c.unit_id.in_(select(ids.c.unit_id)),
        or_(of_all, rejected_again),
    )


def of_run_removed(
    dialect: str, own: Ownership, unit_id: str, *, key: KeyValue | None = None
) -> Delete:
    """Removes what this run rejected of a unit, or the one with ``key``."""
    table = ledger(dialect).rejects
    statement = delete(table).where(
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.unit_id == unit_id,
        table.c.run_id == own.run_id,
    )
    return statement if key is None else statement.where(_named(table, key))


def of_staged_removed(dialect: str, store_id: str, run_id: str) -> Delete:
    """Removes what a run rejected of the units that it has not put in place: the rest goes, too."""
    table, units = ledger(dialect).rejects, ledger(dialect).units
    staged = select(units.c.unit_id).where(
        units.c.store_id == store_id,
        units.c.run_id == run_id,
        units.c.staging.is_not(None),
        not_(units.c.swapped),
    )
    return delete(table).where(
        table.c.store_id == store_id, table.c.run_id == run_id, table.c.unit_id.in_(staged)
    )


def keys_of_run(session: Session, own: Ownership, unit_id: str) -> list[KeyValue]:
    """The keys of the rows of a unit that this run has rejected."""
    table = ledger(session.dialect).rejects
    rows = session.run(
        select(table.c.row_key, table.c.row_text).where(
            table.c.store_id == own.store_id,
            table.c.task_id == own.task_id,
            table.c.unit_id == unit_id,
            table.c.run_id == own.run_id,
        )
    )
    return [key_text.of_name(name, text) or [] for name, text in rows]


def counted(
    dialect: str, own: Ownership, unit_id: str, *, key: KeyValue | None = None
) -> Select[int]:
    """How many rows of a unit this run has rejected; of the one with ``key``, whether it has."""
    table = ledger(dialect).rejects
    statement = select(func.count()).where(
        table.c.store_id == own.store_id,
        table.c.task_id == own.task_id,
        table.c.unit_id == unit_id,
        table.c.run_id == own.run_id,
    )
    return statement if key is None else statement.where(_named(table, key))


def _named(table: Table, key: KeyValue) -> ColumnElement[bool]:
    """The row of a key; before version 3 of the ledger its text was its name, however long."""
    return or_(table.c.row_key == key_text.name(key), table.c.row_key == key_text.encoded(key))


def _of_task(session: Session, store_id: str, task_id: str) -> Select[tuple[Any, ...]]:
    """All rejects of a task, the newest first."""
    table = ledger(session.dialect).rejects
    there = columns(session, table)
    return (
        select(
            table.c.unit_id,
            table.c.run_id,
            table.c.row_key,
            table.c.row_text if "row_text" in there else null(),
            table.c.row_filter if "row_filter" in there else null(),
            table.c.key_shown,
            table.c.column_name,
            table.c.error,
            table.c.message,
            table.c.row_values,
            table.c.rejected_at,
        )
        .where(table.c.store_id == store_id, table.c.task_id == task_id)
        .order_by(table.c.rejected_at.desc(), table.c.unit_id, table.c.row_key, table.c.run_id)
    )


def found(session: Session, store_id: str, task_id: str, limit: int | None) -> list[Kept]:
    """The newest rejects of a task."""
    rows = session.run(_of_task(session, store_id, task_id).limit(limit))
    return [
        Kept(
            reject=Reject(
                unit_id=unit_id,
                run_id=run_id,
                key=msgspec.json.decode(shown),
                column=column,
                error=error,
                rejected_at=at,
                message=message,
                row=msgspec.json.decode(values),
            ),
            key=key_text.of_name(key, text) or [],
            where=None if where is None else msgspec.json.decode(where),
        )
        for unit_id, run_id, key, text, where, shown, column, error, message, values, at in rows
    ]


def total(session: Session, store_id: str, task_id: str) -> int:
    """How many rejects a task has."""
    table = ledger(session.dialect).rejects
    rows = session.run(
        select(func.count()).where(table.c.store_id == store_id, table.c.task_id == task_id)
    )
    return int(rows[0][0])
