"""The watermark: up to which value of its cursor a target table has the source's rows.

It is the target's own memory: it advances in the transaction that puts the rows in place, and neither
a stop nor the end of a run removes it. It is lost with the rows that it speaks of.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Delete, delete, select, tuple_

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.store.shown_url import masked
from syncmon_ext.store.upsert import upsert
from syncmon_ext.sync import key_text
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.ledger import ledger
from syncmon_ext.sync.listing import listed
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import relation

TABLES_ASKED: Final = 200  # of one statement; SQLite joins 500 at most

_AGAIN: Final = "all rows are read again, not only the new ones"
EMPTIED: Final = f"the target is empty, though rows were copied into it before: {_AGAIN}"
MADE_ANEW: Final = f"the target was made anew since rows were copied into it: {_AGAIN}"


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
    return key_text.decoded(rows[0][0]) if rows else None


def advance(session: Session, own: Ownership, unit: UnitPlan, window: Window | None) -> None:
    """Write the window's upper end, in the transaction that puts the unit's rows in place."""
    if window is None or window.high is None:
        return
    table = ledger(session.dialect).watermarks
    insert = upsert(session.dialect, table)
    values = {
        "cursor_column": unit.cursor,
        "watermark": key_text.encoded(window.high),
        "task_id": own.task_id,
        "run_id": own.run_id,
        "target_oid": _oids(session, [unit])[0],
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


def lost(session: Session, units: Sequence[UnitPlan]) -> dict[str, str]:
    """Of each unit whose target has lost the rows that watermarks speak of: how, by the unit's id.

    A few questions for many tables. SQLite does not tell whether a table that has rows was made anew.
    """
    there = [unit for unit in units if unit.swap == "merge" and unit.cursor is not None]
    if not there:
        return {}
    table = ledger(session.dialect).watermarks
    names = listed(session.dialect, name=[unit.target_table for unit in there])
    rows = session.run(
        select(table.c.target_schema, table.c.target_table, table.c.target_oid).where(
            table.c.target_table.in_(select(names.c.name))
        )
    )
    known: dict[tuple[str, str], set[int]] = {}
    for schema, name, oid in rows:
        known.setdefault((schema, name), set()).update([] if oid is None else [oid])
    marked = [unit for unit in there if _target(unit) in known]
    found = {}
    for at in range(0, len(marked), TABLES_ASKED):
        some = marked[at : at + TABLES_ASKED]
        for unit, oid in zip(some, _oids(session, some), strict=True):
            if known[_target(unit)] - {oid}:
                found[unit.unit_id] = MADE_ANEW
        found |= {unit.unit_id: EMPTIED for unit in _empty(session, some)}
    return found


def forgotten(dialect: str, units: Sequence[UnitPlan]) -> Delete:
    """Removes what is known of the units' targets: others' rows, too, went with their own."""
    table = ledger(dialect).watermarks
    gone = listed(
        dialect,
        schema=[unit.target_schema or "" for unit in units],
        name=[unit.target_table for unit in units],
    )
    return delete(table).where(
        tuple_(table.c.target_schema, table.c.target_table).in_(select(gone.c.schema, gone.c.name))
    )


def forget_replaced(session: Session, units: Sequence[UnitPlan]) -> None:
    """Remove what is known of targets whose rows are replaced, in the transaction that replaces them."""
    replaced = [unit for unit in units if unit.mode is Mode.REPLACE]
    if replaced:
        session.run_change(forgotten(session.dialect, replaced))


def _target(unit: UnitPlan) -> tuple[str, str]:
    return unit.target_schema or "", unit.target_table


def _oids(session: Session, units: Sequence[UnitPlan]) -> list[int | None]:
    if session.dialect != "postgresql":
        return [None] * len(units)
    names = [relation(unit.target_schema, unit.target_table) for unit in units]
    rows = session.execute(
        "SELECT to_regclass(name)::oid::bigint FROM unnest(%s::text[]) WITH ORDINALITY "
        "AS wanted (name, place) ORDER BY place",
        (names,),
    )
    return [row[0] for row in rows]


def _empty(session: Session, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    asked = (
        f"SELECT {n} WHERE NOT EXISTS "
        f"(SELECT 1 FROM {relation(unit.target_schema, unit.target_table)})"
        for n, unit in enumerate(units)
    )
    return [units[row[0]] for row in session.execute(" UNION ALL ".join(asked))]
