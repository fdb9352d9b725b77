"""Compares the contents of tables in two databases, row by row and both ways."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from syncmon_ext.model.errors import DatabaseUnavailable
from syncmon_ext.sync.quoting import ident, read_columns

BATCH: Final = 5_000  # rows in memory at a time, of each side

Row = tuple[Any, ...]


def first_difference(
    left: Iterator[Row], right: Iterator[Row]
) -> tuple[int, tuple[Row | None, Row | None] | None]:
    """The number of equal rows, and the first pair that differs in a value or its type.

    Both sides are ordered by the same key, so a row that one side lacks is a difference, too; None
    stands for the end of a side.
    """
    equal = 0
    for pair in zip_longest(left, right):
        ours, theirs = pair
        if ours != theirs or [type(value) for value in ours] != [type(value) for value in theirs]:
            return equal, pair
        equal += 1
    return equal, None


@contextmanager
def sqlite_rows(path: Path, table: str, key: Sequence[str]) -> Iterator[Iterator[Row]]:
    """The rows of a table, ordered by the bytes of ``key``."""
    order = read_columns(key)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        try:
            yield database.execute(f"SELECT * FROM {ident(table)} ORDER BY {order}")  # noqa: S608
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"{path}: {error}") from error


@contextmanager
def postgres_rows(url: str, table: str, key: Sequence[str]) -> Iterator[Iterator[Row]]:
    """The same of a table in PostgreSQL."""
    with psycopg.connect(url) as database, database.cursor() as names:
        names.execute(
            "SELECT attname, attcollation <> 0 FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table],
        )
        collated: dict[str, bool] = dict(names.fetchall())
        order = sql.SQL(", ").join(
            [
                sql.SQL('{} COLLATE "C"' if collated[column] else "{}").format(
                    sql.Identifier(column)
                )
                for column in key
            ]
        )
        statement = sql.SQL("SELECT * FROM {} ORDER BY {}").format(sql.Identifier(table), order)
        with database.cursor(name="compare") as rows:
            rows.itersize = BATCH
            rows.execute(statement)
            yield iter(rows)
