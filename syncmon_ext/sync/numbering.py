"""The numbers of new rows: planned as the source gives them, and set to go on after a copy."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from syncmon_ext.model.plan import NumberingPlan, UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.sync import names, sequences
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.reflect.shape import TableShape


def planned(
    source: AnySession, units: Sequence[UnitPlan], shapes: dict[str, TableShape]
) -> list[UnitPlan]:
    """``units`` with what the source's sequences say of tables that will hold its rows alone."""
    numbered = {
        unit.unit_id: unit
        for unit in units
        if (unit.makes_table or unit.mode is Mode.REPLACE)
        and unit.unit_id in shapes
        and any(column.identity for column in shapes[unit.unit_id].columns)
    }
    if not numbered:
        return list(units)
    if isinstance(source, PostgresSession):
        tables = [(unit.source_schema, unit.source_table) for unit in numbered.values()]
        states = sequences.owned(source, tables, reading=True)
        plans = {key: _of_postgresql(unit, states) for key, unit in numbered.items()}
    else:
        given = sequences.given_numbers(source)
        plans = {key: _of_sqlite(shapes[key], given) for key in numbered}
    return [
        msgspec.structs.replace(
            unit, numbering=plans[unit.unit_id], warnings=unit.warnings + _warnings(unit, plans)
        )
        if unit.unit_id in plans
        else unit
        for unit in units
    ]


def _of_postgresql(unit: UnitPlan, states: sequences.Owned) -> list[NumberingPlan]:
    found = []
    for column in unit.copied:
        state = states.get((unit.source_schema, unit.source_table, column.name))
        if state is None:
            continue
        clause = ""
        if unit.makes_table and column.target_type in sequences.INTEGERS:
            # An ON CONFLICT could not set what is always numbered.
            clause = state.clause(column.target_type, always=not unit.mode.merges)
        found.append(
            NumberingPlan(
                column=column.name, clause=clause, due=state.due, descends=state.increment < 0
            )
        )
    return found


def _of_sqlite(shape: TableShape, given: dict[str, int]) -> list[NumberingPlan]:
    number = given.get(shape.name.lower())
    return [
        NumberingPlan(column=column.name, due=number + 1)
        for column in shape.columns
        if column.identity and number is not None
    ]


def _warnings(unit: UnitPlan, plans: dict[str, list[NumberingPlan]]) -> list[str]:
    types = {column.name: column.target_type for column in unit.columns}
    warnings = [
        f"the sequence of {plan.column} may not be read: its numbers go on after the highest that is copied; "
        "grant SELECT on the sequence to let them go on after the source's"
        for plan in plans[unit.unit_id]
        if plan.due is None
    ]
    if unit.makes_table and unit.route == "postgresql_postgresql":
        warnings += [
            f"{plan.column} is not numbered in the target: it is of type {types[plan.column]}"
            for plan in plans[unit.unit_id]
            if not plan.clause
        ]
    return warnings


def go_on(session: AnySession, units: Sequence[UnitPlan]) -> None:
    """Let the targets number rows on after those that are there, and where the source's numbers stand."""
    if isinstance(session, PostgresSession):
        _go_on_postgresql(session, units)
        return
    for unit in units:
        for plan in unit.numbering:
            if plan.due is not None:
                keep_above(session, unit.target_table, plan.due - 1)


def _go_on_postgresql(session: PostgresSession, units: Sequence[UnitPlan]) -> None:
    """Few queries for many tables, as most are small."""
    if not units:
        return
    plans = {
        (unit.target_schema, unit.target_table, plan.column): plan
        for unit in units
        for plan in unit.numbering
    }
    copied = {
        (unit.target_schema, unit.target_table, column.name)
        for unit in units
        for column in unit.copied
    }
    tables = [(unit.target_schema, unit.target_table) for unit in units]
    numbered = [
        table
        for table, unit in zip(tables, units, strict=True)
        if any(column.identity for column in unit.copied)
    ]
    found = sequences.owned(session, numbered) if numbered else {}
    found |= sequences.of_defaults(session, tables)
    states = {place: state for place, state in found.items() if place in copied}
    ends = sequences.ends(session, states)
    moved: dict[str, tuple[int, tuple[int, bool]]] = {}  # a sequence may number several tables
    for place, state in states.items():
        plan = plans.get(place)
        same = plan is not None and plan.descends == (state.increment < 0)
        to = sequences.position(state, ends[place], plan.due if plan is not None and same else None)
        if to is not None:
            up = 1 if state.increment > 0 else -1
            far = (to[0] + state.increment if to[1] else to[0]) * up
            if state.name not in moved or far > moved[state.name][0]:
                moved[state.name] = far, to
    sequences.set_to(session, [(name, *to) for name, (_, to) in moved.items()])


def given(session: SqliteSession, unit: UnitPlan) -> int | None:
    """The highest number that the target's AUTOINCREMENT has given."""
    if not any(column.identity for column in unit.copied):
        return None
    return sequences.given_numbers(session).get(unit.target_table.lower())


def keep_above(session: SqliteSession, table: str, number: int | None) -> None:
    """Let a table with AUTOINCREMENT give numbers above ``number`` only."""
    made = session.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", (table,)
    )
    numbers = any(re.search(r"\bAUTOINCREMENT\b", str(row[0]), re.IGNORECASE) for row in made)
    if number is None or number < 1 or not numbers:
        return
    changed = session.change(
        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ? COLLATE NOCASE",
        (number, table),
    )
    if not changed:
        session.change("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def named_after(session: PostgresSession, unit: UnitPlan) -> None:
    """Name the sequences of a table that was a staging table as PostgreSQL would name them now."""
    if not any(column.identity for column in unit.copied):
        return
    taken = names.Taken(session)
    table = (unit.target_schema, unit.target_table)
    for (*_, column), state in sequences.owned(session, [table]).items():
        wanted = names.sequence(taken, unit, column)
        session.change(f"ALTER SEQUENCE {state.name} RENAME TO {ident(wanted)}")
