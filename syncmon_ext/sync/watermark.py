"""The watermark: up to which value of its cursor a target table has the source's rows.

It is the target's own memory: it advances in the transaction that puts the rows in place, and neither
a stop nor the end of a run removes it.
"""

from __future__ import annotations

import hashlib

import msgspec
from sqlalchemy import select

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.store.shown_url import masked
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync import checkpoint
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.ownership import Ownership


def scope(source: Connection, unit: UnitPlan) -> str:
    """The name of the rows and columns that the unit reads; of another name, all are read again."""
    if unit.cursor is None:
        return ""
    parts = [
        masked(source.url),
        unit.source_schema,
        unit.source_table,
        unit.cursor,
        sorted(column.name for column in unit.copied),
        sorted(unit.where.items()),
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def stored(session: Session, unit: UnitPlan) -> KeyValue | None:
    """The watermark of the unit; None where it has none."""
    table = ledger(session.dialect).watermarks
    rows = session.run(
        select(table.c.watermark).where(
            table.c.target_schema == (unit.target_schema or ""),
            table.c.target_table == unit.target_table,
            table.c.scope == unit.scope,
        )
    )
    return checkpoint.decoded(rows[0][0]) if rows else None


def advance(session: Session, own: Ownership, unit: UnitPlan, window: Window | None) -> None:
    """Write the window's upper end, in the transaction that puts the unit's rows in place."""
    if window is None or window.high is None:
        return
    table = ledger(session.dialect).watermarks
    insert = upsert(session.dialect, table)
    values = {
        "cursor_column": unit.cursor,
        "watermark": checkpoint.encoded(window.high),
        "task_id": own.task_id,
        "run_id": own.run_id,
    }
    session.run_change(
        insert.values(
            target_schema=unit.target_schema or "",
            target_table=unit.target_table,
            scope=unit.scope,
            **values,
        ).on_conflict_do_update(
            index_elements=[table.c.target_schema, table.c.target_table, table.c.scope],
            set_=values,
        )
    )
