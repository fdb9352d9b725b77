"""NULL on its way into an INTEGER PRIMARY KEY of SQLite, which would make a number of its own of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import read_column
from syncmon_ext.sync.reflect.shape import TableShape
from syncmon_ext.sync.reflect.sqlite import ROWID

_FUNCTION: Final = "_syncmon_null"
_STOPS: Final = "a NULL stops the copy: SQLite would make a number of it in its INTEGER PRIMARY KEY"


def marked(
    source: TableShape, columns: Sequence[ColumnPlan], target: TableShape
) -> list[ColumnPlan]:
    """``columns`` with the mark of the one that ``target`` numbers and ``source`` may have a NULL in."""
    numbered = {
        name.lower()
        for key in target.keys
        if key.primary and key.name == ROWID
        for name in key.columns
    }
    return [
        msgspec.structs.replace(
            column, no_null=True, reason="; ".join(filter(None, (column.reason, _STOPS)))
        )
        if column.name.lower() in numbered
        and (origin := source.column(column.name)) is not None
        and origin.nullable
        else column
        for column in columns
    ]


def marks(unit: UnitPlan) -> str:
    """The placeholders of a row's values."""
    return ", ".join(_guarded(unit, number, "?") for number in range(len(unit.copied)))


def selected(unit: UnitPlan) -> str:
    """The columns of a SELECT."""
    return ", ".join(
        _guarded(unit, number, read_column(column.name))
        for number, column in enumerate(unit.copied)
    )


def _guarded(unit: UnitPlan, number: int, value: str) -> str:
    return f"coalesce({value}, {_FUNCTION}({number}))" if unit.copied[number].no_null else value


@contextmanager
def refused(session: SqliteSession, unit: UnitPlan) -> Iterator[None]:
    """Around the statements of ``marks`` and ``selected``: raises BadRow for a NULL where none may be."""
    if not any(column.no_null for column in unit.copied):
        yield
        return
    failed: list[BadRow] = []

    def refuse(number: int) -> None:
        name = unit.copied[number].name
        failed.append(
            BadRow(
                f"column {name} is NULL, and is the INTEGER PRIMARY KEY of target table "
                f"{unit.target_table}: SQLite would make a number of its own of it",
                hint=f"fill column {name} in the source, leave the rows out with where, declare the target's "
                "column INT instead of INTEGER, or set max_rejects, which keeps such rows apart and lists "
                "them by their keys",
                column=name,
                reason=f"NULL in the INTEGER PRIMARY KEY {name}",
            )
        )
        raise failed[0]

    session.raw.create_function(_FUNCTION, 1, refuse)
    try:
        yield
    except Exception:
        if failed:
            raise failed[0] from None
        raise
