"""Types, collations and shared sequences that a new table needs and its target does not have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession

_NUMBERS: Final = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")


def checked(target: PostgresSession, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """``units`` with an error for each column that ``target`` cannot make."""
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
    if not no_types and not no_collations and not no_sequences:
        return list(units)
    names = {unit.unit_id for unit in made}
    return [
        msgspec.structs.replace(
            unit, errors=unit.errors + _errors(unit, no_types, no_collations, no_sequences)
        )
        if unit.unit_id in names
        else unit
        for unit in units
    ]


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
