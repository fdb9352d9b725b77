"""The indexes that a new table is made with, and in words those that it is not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from syncmon_ext.model.plan import ColumnPlan, IndexPlan, UnitPlan
from syncmon_ext.sync import missing_objects
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.missing_objects import Absent
from syncmon_ext.sync.reflect.shape import IndexShape, TableShape


def planned(
    shape: TableShape,
    columns: Sequence[ColumnPlan],
    dialects: tuple[str, str],
    merge_key: list[str],
) -> tuple[list[IndexPlan], list[str]]:
    """The indexes of a table of ``shape`` from the first of ``dialects`` to the second, and warnings."""
    there = {column.name: column for column in columns}
    made: list[IndexPlan] = []
    warnings: list[str] = []
    lost: list[str] = []
    for index in shape.indexes:
        if dialects == ("postgresql", "postgresql"):
            if index.definition is not None and there.keys() >= set(index.reads):
                made.append(_again(index, merge_key, warnings))
            else:
                lost.append(_shown(index))
        elif index.columns and there.keys() >= set(index.columns):
            made.append(_by_columns(index, there, dialects[0], warnings))
        else:
            lost.append(_shown(index))
    if lost:
        warnings.append(f"not made in the target: index {', '.join(lost)}")
    return made + mergeable(shape, merge_key), warnings


def of_statements(shape: TableShape, merge_key: list[str]) -> list[IndexPlan]:
    """The indexes that a table of SQLite, which is made by its own statement, has beside it."""
    made = [
        IndexPlan(name=index.name, columns=index.columns, unique=index.unique, sql=index.sql)
        for index in shape.indexes
        if index.sql is not None
    ]
    return made + mergeable(shape, merge_key)


def mergeable(shape: TableShape, merge_key: list[str]) -> list[IndexPlan]:
    """An index that the next run can merge by, unless the table has one."""
    unique = [set(index.columns) for index in shape.indexes if index.unique]
    if not merge_key or set(merge_key) in unique:
        return []
    return [IndexPlan(name="", columns=merge_key, unique=True)]


def checked(
    target: PostgresSession, units: Sequence[UnitPlan], shapes: dict[str, TableShape]
) -> list[UnitPlan]:
    """``units`` without the indexes that ``target`` cannot make, and with a warning for each."""
    wanted = {
        unit.unit_id: {index.name: index for index in shapes[unit.unit_id].indexes}
        for unit in units
        if any(index.definition for index in unit.indexes)
    }
    absent = missing_objects.absent(target, [i for of in wanted.values() for i in of.values()])
    return [
        _without(unit, wanted[unit.unit_id], absent) if unit.unit_id in wanted else unit
        for unit in units
    ]


def _without(unit: UnitPlan, shapes: dict[str, IndexShape], absent: Absent) -> UnitPlan:
    made: list[IndexPlan] = []
    warnings: list[str] = []
    for index in unit.indexes:
        lacks = absent.of(shapes[index.name]) if index.name in shapes else []
        if lacks:
            warnings.append(
                f"not made in the target: index {index.name}, which needs {', '.join(lacks)}"
            )
        else:
            made.append(index)
    return msgspec.structs.replace(unit, indexes=made, warnings=unit.warnings + warnings)


def _again(index: IndexShape, merge_key: list[str], warnings: list[str]) -> IndexPlan:
    if "DEFERRABLE" in index.special and merge_key and set(index.columns) == set(merge_key):
        # PostgreSQL finds no conflict by a key that is checked at the end of a transaction.
        warnings.append(f"{index.name} is made without DEFERRABLE: rows are merged by it")
        return IndexPlan(name=index.name, columns=index.columns, unique=True, primary=index.primary)
    return IndexPlan(
        name=index.name,
        columns=index.columns,
        unique=index.unique,
        primary=index.primary,
        definition=index.definition,
        constraint=index.constraint,
    )


def _by_columns(
    index: IndexShape, there: dict[str, ColumnPlan], dialect: str, warnings: list[str]
) -> IndexPlan:
    primary = index.primary
    if primary and dialect == "sqlite" and any(there[name].nullable for name in index.columns):
        primary = False
        warnings.append(
            f"primary key ({', '.join(index.columns)}) may hold NULL in SQLite: made as a unique index"
        )
    if index.special:
        warnings.append(f"index {_shown(index)} is made without {', '.join(index.special)}")
    return IndexPlan(name=index.name, columns=index.columns, unique=index.unique, primary=primary)


def _shown(index: IndexShape) -> str:
    """Its name; of a constraint of SQLite, which has none, what it is."""
    if index.name:
        return index.name
    return f"{'primary key' if index.primary else 'unique'} ({', '.join(index.columns)})"
