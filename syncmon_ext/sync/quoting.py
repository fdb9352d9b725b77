"""Identifiers as SQL text: always quoted, so that any name is safe and keeps its case."""

from __future__ import annotations

from collections.abc import Iterable


def ident(name: str) -> str:
    """``name`` as a quoted identifier, in SQLite and PostgreSQL alike."""
    if "\0" in name:
        raise ValueError("an identifier cannot hold a NUL")
    return '"' + name.replace('"', '""') + '"'


def read_column(name: str) -> str:
    """``name`` as a column that SQLite reads: a name in double quotes that it does not know is a text."""
    if "\0" in name:
        raise ValueError("an identifier cannot hold a NUL")
    return "`" + name.replace("`", "``") + "`"


def relation(schema: str | None, table: str) -> str:
    """A table's name with its schema."""
    return ident(table) if schema is None else f"{ident(schema)}.{ident(table)}"


def columns(names: Iterable[str]) -> str:
    """A list of columns."""
    return ", ".join(map(ident, names))


def read_columns(names: Iterable[str]) -> str:
    """A list of columns that SQLite reads."""
    return ", ".join(map(read_column, names))


def shown(schema: str | None, table: str) -> str:
    """A table's name as messages show it."""
    return table if schema is None else f"{schema}.{table}"
