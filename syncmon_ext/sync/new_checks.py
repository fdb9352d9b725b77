"""The CHECK constraints that a new table is made with, and in words those that it is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import CheckPlan, ColumnPlan, UnitPlan
from syncmon_ext.sync import missing_objects
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.reflect.shape import TableShape


def planned(
    shape: TableShape, columns: Sequence[ColumnPlan], dialects: tuple[str, str]
) -> tuple[list[CheckPlan], list[str]]:
    """The constraints of a table of ``shape`` from the first of ``dialects`` to the second, and warnings."""
    if re.search(r"\bCHECK\b", shape.sql or "", re.IGNORECASE):
        return [], ["not made in the target: what CHECK says of its columns"]
    there = {column.name for column in columns}
    portable = dialects == ("postgresql", "postgresql")
    made = [
        CheckPlan(name=check.name, definition=check.definition, proved=check.proved)
        for check in shape.checks
        if portable and there >= set(check.reads)
    ]
    names = {check.name for check in made}
    lost = [check.name for check in shape.checks if check.name not in names]
    return made, [f"not made in the target: check {', '.join(lost)}"] if lost else []


def checked(
    target: PostgresSession, units: Sequence[UnitPlan], shapes: dict[str, TableShape]
) -> list[UnitPlan]:
    """``units`` without the constraints that ``target`` cannot make, and with a warning for each."""
    wanted = {
        unit.unit_id: {check.name: check for check in shapes[unit.unit_id].checks}
        for unit in units
        if unit.checks
    }
    absent = missing_objects.absent(target, [c for of in wanted.values() for c in of.values()])
    result = []
    for unit in units:
        lacking = {
            check.name: lacks
            for check in unit.checks
            if (lacks := absent.of(wanted[unit.unit_id][check.name]))
        }
        warnings = [
            f"not made in the target: check {name}, which needs {', '.join(lacks)}"
            for name, lacks in lacking.items()
        ]
        result.append(
            msgspec.structs.replace(
                unit,
                checks=[check for check in unit.checks if check.name not in lacking],
                warnings=unit.warnings + warnings,
            )
        )
    return result


def within(unit: UnitPlan) -> list[str]:
    """What stands in the statement of a table that is filled at once; a row that breaks it ends that."""
    return [
        f"CONSTRAINT {ident(check.name)} {check.definition}"
        for check in unit.checks
        if check.proved
    ]


def make(session: PostgresSession, unit: UnitPlan, table: str) -> None:
    """Make those that ``table`` has not. Rows that break one, as they may where it asks for the time, are
    no error: it held when the source took them, and holds for rows to come."""
    if not unit.checks:
        return
    place = relation(unit.target_schema, table)
    rows = session.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
        (place,),
    )
    there = {row[0] for row in rows}
    for check in unit.checks:
        if check.name in there:
            continue
        name, later = ident(check.name), " NOT VALID" if check.proved else ""
        session.change(f"ALTER TABLE {place} ADD CONSTRAINT {name} {check.definition}{later}")
        if check.proved:
            with suppress(CopyFailed), session.savepoint():
                session.change(f"ALTER TABLE {place} VALIDATE CONSTRAINT {name}")


def broken(session: PostgresSession, unit: UnitPlan) -> list[str]:
    """A warning for each that rows of the new table break."""
    proved = [check.name for check in unit.checks if check.proved]
    if not proved:
        return []
    rows = session.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND conname = ANY(%s::text[]) "
        "AND NOT convalidated ORDER BY 1",
        (relation(unit.target_schema, unit.target_table), proved),
    )
    return [
        f"check {name} holds for new rows only: rows that were copied break it" for (name,) in rows
    ]
