"""How many columns a table may have in either database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import Final

_POSTGRESQL: Final = 1_600  # MaxHeapAttributeNumber; a row must fit into a page of 8 KiB besides


def problems(dialect: str, table: str, columns: int) -> list[str]:
    """Why a target of ``dialect`` cannot have so many columns, with the remedy; nothing where it can."""
    most = _POSTGRESQL if dialect == "postgresql" else _sqlite()
    if columns <= most:
        return []
    name = "PostgreSQL" if dialect == "postgresql" else "this build of SQLite"
    return [
        f"{table} has {columns:,} columns, and {name} allows {most:,}; name those to copy with "
        "columns = [...], the others in a second task with a target of its own"
    ]


@cache
def _sqlite() -> int:
    """What SQLite was built with: 2,000 columns as a rule, and a value bound for each of a row."""
    with closing(sqlite3.connect(":memory:")) as db:
        return min(
            db.getlimit(sqlite3.SQLITE_LIMIT_COLUMN),
            db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER),
        )
