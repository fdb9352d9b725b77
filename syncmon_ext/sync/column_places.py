"""The places of a SQLite table's columns: names may go to other columns between two chunks.

A column that is renamed keeps its place; one that is taken away gives the next ones theirs. PostgreSQL's
columns have numbers that stay, see sync.makeup.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Final

from syncmon_ext.model.errors import SourceExchanged
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.sqlite import SqliteSession

CHANGED = "its columns are others now"
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def of(session: SqliteSession, schema: str, unit: UnitPlan) -> dict[str, int]:
    """The place of each column that the unit names, by its name in lower case."""
    named = {column.name for column in unit.columns} | {*unit.key, *unit.where}
    if unit.cursor is not None:
        named.add(unit.cursor)
    wanted = {_folded(name) for name in named}
    rows = session.execute(
        "SELECT name, cid FROM pragma_table_xinfo(?, ?)", (unit.source_table, schema)
    )
    return {_folded(name): place for name, place in rows if _folded(name) in wanted}


def _folded(name: str) -> str:
    """The name as SQLite compares it, which tells no case apart of the letters of ASCII alone."""
    return name.translate(_LOWER)


def check(
    session: SqliteSession, schema: str, unit: UnitPlan, begun: Mapping[str, int] | None
) -> None:
    """Raise SourceExchanged where a column lies elsewhere than when the unit began."""
    if begun is not None and begun != of(session, schema, unit):
        raise SourceExchanged(
            f"{CHANGED}: the rows read so far do not go together with the others",
            hint="start the task again: the table is copied from its first row",
        )
