"""Types, collations and shared sequences that a new table needs: its target lacks them, or has others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.reflect import postgresql_types
from syncmon_ext.sync.reflect.shape import TableShape

_NUMBERS: Final = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")
# PostgreSQL's own ones mean the same everywhere; since version 15 the locale of ICU has a column of its own.
_COLLATIONS: Final = f"""
SELECT name, concat_ws(' ',
    CASE co.collprovider WHEN 'i' THEN 'icu' WHEN 'c' THEN 'libc' ELSE 'builtin' END,
    coalesce(to_jsonb(co) ->> 'colllocale', to_jsonb(co) ->> 'colliculocale',
             nullif(co.collcollate, co.collctype) || ' ' || co.collctype, co.collcollate),
    to_jsonb(co) ->> 'collicurules',
    CASE WHEN NOT co.collisdeterministic THEN 'not deterministic' END)
FROM unnest(%s::text[]) AS name JOIN pg_collation co ON co.oid = to_regcollation(name)
WHERE co.oid >= {postgresql_types.FIRST_OWN}
"""  # noqa: S608  # a number of our own


def checked(
    source: AnySession,
    target: PostgresSession,
    units: Sequence[UnitPlan],
    shapes: dict[str, TableShape],
) -> list[UnitPlan]:
    """``units`` with an error for each column that ``target`` cannot make, and a warning for each whose
    values it would compare otherwise."""
    made = [
        unit
        for unit in units
        if unit.route.startswith("postgresql") and unit.swap in ("create", "direct")
    ]
    types = sorted({column.target_type for unit in made for column in unit.columns})
    collations = sorted({c.collation for unit in made for c in unit.columns if c.collation})
    sequences = sorted({name for unit in made for c in unit.columns if (name := _sequence(c))})
    no_types = _missing(target, "to_regtype", types)
    no_collations = _missing(target, "to_regcollation", collations)
    no_sequences = _missing(target, "to_regclass", sequences)
    wanted = {unit.unit_id: _definitions(unit, shapes) for unit in made}
    there = sorted({name for of in wanted.values() for name in of} - no_types)
    known = postgresql_types.named(target, there) if there else {}
    others = _other_collations(source, target, collations)
    return [
        msgspec.structs.replace(
            unit,
            errors=unit.errors
            + _errors(unit, no_types, no_collations, no_sequences)
            + _other_types(unit, wanted[unit.unit_id], known),
            warnings=unit.warnings
            + [
                f"column {column.name}: {others[column.collation]}"
                for column in unit.columns
                if column.collation in others
            ],
        )
        if unit.unit_id in wanted
        else unit
        for unit in units
    ]


def _definitions(unit: UnitPlan, shapes: dict[str, TableShape]) -> dict[str, str]:
    """By their names, the definitions in the source of the types that a table is made with."""
    shape = shapes.get(unit.unit_id)
    return {
        column.target_type: origin.definition
        for column in unit.columns
        if unit.makes_table
        and shape is not None
        and (origin := shape.column(column.name)) is not None
        and origin.definition is not None
    }


def _other_types(unit: UnitPlan, wanted: dict[str, str], known: dict[str, str]) -> list[str]:
    return [
        f"column {column.name} would not survive: {column.target_type} is {wanted[column.target_type]} in "
        f"the source and {known[column.target_type]} in the target; make the types alike, or make the table "
        "in the target with a type that holds the values"
        for column in unit.columns
        if column.generated is None
        and column.target_type in wanted
        and wanted[column.target_type] != known.get(column.target_type, wanted[column.target_type])
    ]


def _other_collations(
    source: AnySession, target: PostgresSession, names: list[str]
) -> dict[str, str]:
    """By their names, how collations of both databases differ."""
    if not names or not isinstance(source, PostgresSession):
        return {}
    read: dict[str, str] = dict(source.execute(_COLLATIONS, (names,)))
    made: dict[str, str] = dict(target.execute(_COLLATIONS, (names,)))
    return {
        name: f"collation {name} is {read[name]} in the source and {made[name]} in the target, where values "
        "may sort otherwise, or be equal that are not"
        for name in read.keys() & made.keys()
        if read[name] != made[name]
    }


def _missing(target: PostgresSession, function: str, names: list[str]) -> set[str]:
    rows = target.execute(
        f"SELECT name FROM unnest(%s::text[]) AS name WHERE {function}(name) IS NULL",  # noqa: S608  # ours
        (names,),
    )
    return {row[0] for row in rows}


def _sequence(column: ColumnPlan) -> str | None:
    """The sequence that a default takes numbers from, as SQL; a column's own one is made with it."""
    found = _NUMBERS.search(column.default or "")
    return found[1].replace("''", "'") if found else None


def _errors(
    unit: UnitPlan, no_types: set[str], no_collations: set[str], no_sequences: set[str]
) -> list[str]:
    errors = []
    for column in unit.columns:
        if column.target_type in no_types:
            errors.append(
                f"column {column.name}: the target has no type {column.target_type}; create it there"
            )
        if column.collation in no_collations:
            errors.append(
                f"column {column.name}: the target has no collation {column.collation}; create it there"
            )
        if (sequence := _sequence(column)) in no_sequences:
            errors.append(
                f"column {column.name}: the target has no sequence {sequence}, which its default takes "
                "numbers from; create it there"
            )
    return errors
