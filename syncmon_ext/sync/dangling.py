"""Rows of a SQLite target that point to rows which are not there.

Foreign keys are off while rows are put in place, as they are for most programs that use SQLite. PostgreSQL
looks by itself.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode
from syncmon_ext.sync import names, refusals
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.reflect.shape import ForeignKeyShape, TableShape
from syncmon_ext.sync.reflect.sqlite import Catalog


class Pointing(msgspec.Struct, frozen=True):
    """A foreign key: which rows of which table point where."""

    table: str
    columns: tuple[str, ...]
    parent: str
    references: tuple[str, ...]  # none: the parent is not there

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(self.columns)})"


def pointing_there(session: AnySession, units: Sequence[UnitPlan]) -> dict[Pointing, int]:
    """How many rows of other tables point to nothing in the tables that are about to be replaced."""
    replaced = [unit for unit in _filled(units) if unit.mode is Mode.REPLACE]
    if not isinstance(session, SqliteSession) or not replaced:
        return {}
    own = {unit.target_table.lower() for unit in units}
    catalog = Catalog(session)
    others = {
        inbound.table.lower()
        for unit in replaced
        for inbound in catalog.inbound(unit.target_table)
        if inbound.table.lower() not in own
    }
    parents = {unit.target_table.lower() for unit in replaced}
    return {
        key: _count(session, key, key.table)
        for table in sorted(others)
        for key in _keys(catalog, table)
        if key.parent.lower() in parents
    }


def refuse_more(session: AnySession, before: dict[Pointing, int]) -> None:
    """Raise where rows of a table that is not copied have lost what they point to."""
    for key, count in before.items():
        assert isinstance(session, SqliteSession)  # noqa: S101  # PostgreSQL has none before
        more = _count(session, key, key.table) - count
        if more > 0:
            raise CopyFailed(
                f"table {key.parent}: {_rows(more)} of {key} would point to rows that are not there any "
                "more; the table is as it was",
                hint=refusals.CHILDREN,
            )


def warnings(session: AnySession, own: Ownership, unit: UnitPlan, *, staged: bool) -> list[str]:
    """What to say of the unit's new rows, which are the table's or still ``staged`` as well.

    They are in place all the same: SQLite lets the source's rows break its keys, too.
    """
    if not isinstance(session, SqliteSession) or not _filled([unit]):
        return []
    rows = names.staging(own, unit) if staged else unit.target_table
    there = {column.name.lower() for column in unit.copied}
    found = []
    for key in _keys(Catalog(session), unit.target_table):
        if staged and not {name.lower() for name in key.columns} <= there:
            continue
        if count := _count(session, key, rows):
            lacks = "lacks" if key.references else "would have, which is not there"
            found.append(
                f"foreign key ({', '.join(key.columns)}): {_rows(count)} copied point to rows that "
                f"{key.parent} {lacks}; list {key.parent} in this task, or copy it first"
            )
    return found


def _filled(units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units whose tables were there: a new one takes its keys over with the source's rows."""
    return [unit for unit in units if unit.swap in ("rename", "move", "merge")]


def _keys(catalog: Catalog, table: str) -> Iterator[Pointing]:
    shape = catalog.reflect(table)
    for key in shape.foreign_keys if shape else []:
        parent = catalog.reflect(key.table)
        references = _references(key, parent)
        # SQLite itself takes a key for void that points to columns without a unique index.
        if parent is None or any(set(k.columns) == set(references) for k in parent.keys):
            yield Pointing(table, tuple(key.columns), key.table, references)


def _references(key: ForeignKeyShape, parent: TableShape | None) -> tuple[str, ...]:
    if parent is None:
        return ()
    primary = next((k.columns for k in parent.keys if k.primary), [])
    return tuple(key.references or primary)


def _count(session: SqliteSession, key: Pointing, rows: str) -> int:
    """How many of ``rows``, a table with the key's columns, point to nothing."""
    where = [f"r.{ident(name)} IS NOT NULL" for name in key.columns]
    if key.references:
        pairs = zip(key.references, key.columns, strict=True)
        equal = " AND ".join(f"p.{ident(theirs)} = r.{ident(ours)}" for theirs, ours in pairs)
        where.append(f"NOT EXISTS (SELECT 1 FROM {ident(key.parent)} AS p WHERE {equal})")
    ask = f"SELECT count(*) FROM {ident(rows)} AS r WHERE {' AND '.join(where)}"
    return int(session.execute(ask)[0][0])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
