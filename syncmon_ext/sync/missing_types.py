"""Types and collations that a new table needs and its target does not have."""

from __future__ import annotations

import msgspec

from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession


def checked(target: PostgresSession, unit: UnitPlan) -> UnitPlan:
    """``unit`` with an error for each column that ``target`` cannot make."""
    if not unit.route.startswith("postgresql") or unit.swap not in ("create", "direct"):
        return unit
    errors = list(unit.errors)
    for column in unit.columns:
        there, collated = target.execute(
            "SELECT to_regtype(%s) IS NOT NULL, %s::text IS NULL OR to_regcollation(%s) IS NOT NULL",
            (column.target_type, column.collation, column.collation),
        )[0]
        if not there:
            errors.append(
                f"column {column.name}: the target has no type {column.target_type}; create it there"
            )
        if not collated:
            errors.append(
                f"column {column.name}: the target has no collation {column.collation}; create it there"
            )
    return msgspec.structs.replace(unit, errors=errors)
