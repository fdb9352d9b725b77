"""Rows of other tables that go or change where all rows of a table are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.quoting import relation, shown
from syncmon_ext.sync.reflect import postgresql
from syncmon_ext.sync.reflect.shape import InboundShape

_CHANGING: Final = ("CASCADE", "SET NULL", "SET DEFAULT")
_REPLACED: Final = """
SELECT c.oid::bigint, n.nspname, c.relname,
       ARRAY(SELECT h.inhrelid::regclass::text FROM pg_inherits h
             WHERE h.inhparent = c.oid AND c.relkind = 'r' ORDER BY 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS wanted (name))
"""


def error(schema: str | None, table: str, inbound: Sequence[InboundShape]) -> str | None:
    """Why a table of PostgreSQL cannot be emptied, though nothing would hold its rows back."""
    harmed = [
        f"{key.table} ({key.on_delete})"
        for key in inbound
        if (key.schema, key.table) != (schema, table) and key.on_delete in _CHANGING
    ]
    if not harmed:
        return None
    return (
        f"replacing {table} would change rows of {', '.join(harmed)} through its foreign key; "
        "use mode = append, or take the rule off"
    )


def heirs_error(schema: str | None, table: str, heirs: Sequence[str]) -> str | None:
    """Why a table that others inherit from cannot be replaced: it is read with their rows."""
    if not heirs:
        return None
    return (
        f"replacing {table} would delete the rows of {', '.join(heirs)} that are read as its own: take them "
        f"off first (ALTER TABLE {heirs[0]} NO INHERIT {relation(schema, table)}), set target, or use "
        "mode = append"
    )


def refuse(session: PostgresSession, units: Sequence[UnitPlan]) -> None:
    """Raise where by now, under the locks of the swap, emptying a target would change other tables."""
    replaced = [unit for unit in units if unit.mode is Mode.REPLACE]
    if not replaced:
        return
    names = [relation(unit.target_schema, unit.target_table) for unit in replaced]
    rows = session.execute(_REPLACED, (names,))
    inbound = postgresql.inbound(session, [row[0] for row in rows])
    for oid, schema, table, heirs in rows:
        found = error(schema, table, inbound[oid]) or heirs_error(schema, table, heirs)
        if found is not None:
            raise CopyFailed(
                f"table {shown(schema, table)} was changed since the run was planned: {found}",
                hint="do that, then start the task again: the table is as it was",
            )
