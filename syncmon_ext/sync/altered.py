"""Whether columns still have the types that the plan was made for.

By the types it was decided how values travel: bytes as they are, or what SQLite makes of a number. A column
of another type would take them all the same, and hold other values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.quoting import shown
from syncmon_ext.sync.reflect import postgresql_types

_TYPES: Final = """
SELECT w.number - 1, a.attname, format_type(a.atttypid, a.atttypmod)
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w (schema, name, number)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped
"""


def refuse_in_source(
    session: AnySession, units: Sequence[UnitPlan], schema: str | None = None
) -> None:
    """Raise where a column of a source has another type; ``schema`` is where SQLite has it attached.

    To be asked in the transaction that has read the tables, which keeps them as they are from then on.
    """
    tables = [(unit.source_schema, unit.source_table) for unit in units]
    for unit, table, types in zip(units, tables, _types(session, tables, schema), strict=True):
        planned = {column.name: column.source_type for column in unit.copied}
        _refuse("source", table, _folded(session, planned), types)


def refuse_in_target(session: AnySession, units: Sequence[UnitPlan]) -> None:
    """Raise where a column of a target table has another type, which is locked against that by now."""
    tables = [(unit.target_schema, unit.target_table) for unit in units]
    for unit, table, types in zip(units, tables, _types(session, tables), strict=True):
        planned = {column.name: column.target_type for column in unit.copied}
        _refuse("target", table, _folded(session, planned), types)


def labels_of_target(session: AnySession, unit: UnitPlan) -> list[str]:
    """The labels of the enums in the columns that a unit fills; they are none where SQLite keeps texts."""
    if not isinstance(session, PostgresSession):
        return []
    return postgresql_types.labels(session, [column.target_type for column in unit.copied])


def refuse_labels(session: AnySession, unit: UnitPlan, known: Sequence[str]) -> None:
    """Raise where one of the target's labels that were ``known`` when the unit began is another now: rows
    that have it show a text that the source did not have."""
    if known and not set(known) <= set(labels_of_target(session, unit)):
        raise CopyFailed(
            f"table {shown(unit.target_schema, unit.target_table)} of the target: a label of an enum was "
            "renamed since the first rows were copied, and they show the new one",
            hint="give the label its name back, or start the task fresh",
        )


def _folded(session: AnySession, planned: dict[str, str]) -> dict[str, str]:
    if isinstance(session, PostgresSession):
        return planned
    return {name.lower(): kind for name, kind in planned.items()}  # SQLite tells no case apart


def _types(
    session: AnySession, tables: Sequence[tuple[str | None, str]], schema: str | None = None
) -> list[dict[str, str]]:
    """The types of each table's columns by their names; of one that is not there, none."""
    if not isinstance(session, PostgresSession):
        ask = "SELECT lower(name), type FROM pragma_table_xinfo(?, ?)"
        return [dict(session.execute(ask, (table, schema or "main"))) for _, table in tables]
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    names = [schema for schema, _ in tables], [table for _, table in tables]
    for number, name, kind in session.execute(_TYPES, names):
        found[number][name] = kind
    return [found[number] for number in range(len(tables))]


def _refuse(
    side: str, table: tuple[str | None, str], planned: dict[str, str], now: dict[str, str]
) -> None:
    for name, kind in planned.items():
        if (other := now.get(name, kind)) != kind:
            raise CopyFailed(
                f"table {shown(*table)} of the {side}: column {name} was {kind or 'of no type'} when the run "
                f"was planned and is {other or 'of no type'} now",
                hint="start the task fresh: it is planned anew",
            )
