"""The unit row: what the target remembers of a table of a run, beside its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Delete,
    Insert,
    Select,
    Update,
    cast,
    delete,
    insert,
    literal,
    select,
    update,
)

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import key_text
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.listing import listed
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
    return select(*_values(dialect)).where(*_of(dialect, own, unit_id))


def _values(dialect: str) -> list[Column[Any]]:
    table = ledger(dialect).units
    return [
        table.c.staging,
        table.c.upper_key,
        table.c.epoch,
        table.c.swapped,
        table.c.rows_swapped,
        table.c.cursor_window,
    ]


def added(dialect: str, own: Ownership, units: Sequence[tuple[UnitPlan, UnitRow]]) -> Insert:
    """Writes the rows of units."""
    values = listed(
        dialect,
        unit_id=[unit.unit_id for unit, _ in units],
        target_schema=[unit.target_schema or "" for unit, _ in units],
        target_table=[unit.target_table for unit, _ in units],
        staging=[row.staging for _, row in units],
        upper_key=[key_text.encoded(row.upper) for _, row in units],
        epoch=[row.epoch for _, row in units],
        swapped=[int(row.swapped) for _, row in units],
        rows_swapped=[row.rows_swapped for _, row in units],
        cursor_window=[
            None if row.window is None else key_text.json(row.window) for _, row in units
        ],
    )
    table = ledger(dialect).units
    return insert(table).from_select(
        ["store_id", "run_id", *values.c.keys()],
        select(
            literal(own.store_id),
            literal(own.run_id),
            *(
                # An array holds one type, and its NULLs none.
                column == 1 if column.name == "swapped" else cast(column, table.c[column.name].type)
                for column in values.c
            ),
        ),
    )


def placed(dialect: str, own: Ownership, unit_id: str, rows: int) -> Update:
    """Marks a unit as swapped."""
    return (
        update(ledger(dialect).units)
        .where(*_of(dialect, own, unit_id))
        .values(swapped=True, rows_swapped=rows)
    )


def begun(dialect: str, own: Ownership, unit_id: str, epoch: str) -> Update:
    """Writes another epoch into the row of a unit."""
    return update(ledger(dialect).units).where(*_of(dialect, own, unit_id)).values(epoch=epoch)


def removed(dialect: str, own: Ownership, unit_ids: Sequence[str]) -> Delete:
    """Removes the rows of units."""
    table, ids = ledger(dialect).units, listed(dialect, unit_id=unit_ids)
    return delete(table).where(
        table.c.store_id == own.store_id,
        table.c.run_id == own.run_id,
        table.c.unit_id.in_(select(ids.c.unit_id)),
    )


def found(session: Session, own: Ownership, unit_id: str) -> UnitRow | None:
    """The row of a unit; None where there is none."""
    rows: Sequence[Any] = session.run(one(session.dialect, own, unit_id))
    return _row(rows[0]) if rows else None


def found_all(session: Session, own: Ownership, unit_ids: Sequence[str]) -> dict[str, UnitRow]:
    """The rows that units have, by unit id."""
    table, ids = ledger(session.dialect).units, listed(session.dialect, unit_id=unit_ids)
    rows = session.run(
        select(table.c.unit_id, *_values(session.dialect)).where(
            table.c.store_id == own.store_id,
            table.c.run_id == own.run_id,
            table.c.unit_id.in_(select(ids.c.unit_id)),
        )
    )
    return {row[0]: _row(row[1:]) for row in rows}


def _row(values: Sequence[Any]) -> UnitRow:
    staging, upper, epoch, swapped, rows_swapped, window = values
    return UnitRow(
        staging=staging,
        upper=key_text.decoded(upper),
        epoch=epoch,
        swapped=bool(swapped),
        rows_swapped=rows_swapped,
        window=None if window is None else msgspec.json.decode(window, type=Window),
    )
