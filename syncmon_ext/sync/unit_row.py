"""The unit row: what the target remembers of a table of a run, beside its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Delete, Insert, Select, Update, delete, insert, select, update

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import checkpoint
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.ownership import Ownership


class UnitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the target's units."""

    staging: str | None
    upper: KeyValue | None
    epoch: str
    swapped: bool
    rows_swapped: int | None
    window: Window | None = None


def _of(dialect: str, own: Ownership, unit_id: str) -> tuple[Any, ...]:
    table = ledger(dialect).units
    return (
        table.c.store_id == own.store_id,
        table.c.run_id == own.run_id,
        table.c.unit_id == unit_id,
    )


def one(dialect: str, own: Ownership, unit_id: str) -> Select[tuple[Any, ...]]:
    """The row of a unit."""
    table = ledger(dialect).units
    return select(
        table.c.staging,
        table.c.upper_key,
        table.c.epoch,
        table.c.swapped,
        table.c.rows_swapped,
        table.c.cursor_window,
    ).where(*_of(dialect, own, unit_id))


def added(dialect: str, own: Ownership, unit: UnitPlan, row: UnitRow) -> Insert:
    """Writes the row of a unit."""
    return insert(ledger(dialect).units).values(
        store_id=own.store_id,
        run_id=own.run_id,
        unit_id=unit.unit_id,
        target_schema=unit.target_schema or "",
        target_table=unit.target_table,
        staging=row.staging,
        upper_key=checkpoint.encoded(row.upper),
        epoch=row.epoch,
        swapped=row.swapped,
        rows_swapped=row.rows_swapped,
        cursor_window=None if row.window is None else msgspec.json.encode(row.window).decode(),
    )


def placed(dialect: str, own: Ownership, unit_id: str, rows: int) -> Update:
    """Marks a unit as swapped."""
    return (
        update(ledger(dialect).units)
        .where(*_of(dialect, own, unit_id))
        .values(swapped=True, rows_swapped=rows)
    )


def removed(dialect: str, own: Ownership, unit_id: str) -> Delete:
    """Removes the row of a unit."""
    return delete(ledger(dialect).units).where(*_of(dialect, own, unit_id))


def found(session: Session, own: Ownership, unit_id: str) -> UnitRow | None:
    """The row of a unit; None where there is none."""
    rows: Sequence[Any] = session.run(one(session.dialect, own, unit_id))
    if not rows:
        return None
    staging, upper, epoch, swapped, rows_swapped, window = rows[0]
    return UnitRow(
        staging=staging,
        upper=checkpoint.decoded(upper),
        epoch=epoch,
        swapped=bool(swapped),
        rows_swapped=rows_swapped,
        window=None if window is None else msgspec.json.decode(window, type=Window),
    )
