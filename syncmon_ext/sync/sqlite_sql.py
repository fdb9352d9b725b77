"""SQLite's own CREATE statements, given another name: the rest of the text stays as it was written."""

from __future__ import annotations

import re
from typing import Final

from syncmon_ext.sync.quoting import ident

_NAME: Final = r"""(?:"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`|'(?:[^']|'')*'|[^\s("'\[`]+)"""
_SPACE: Final = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
# SQLite keeps "CREATE TABLE " and then the text from the table's name on; of an index likewise.
_TABLE: Final = re.compile(rf"CREATE TABLE {_SPACE}{_NAME}", re.IGNORECASE | re.DOTALL)
_INDEX: Final = re.compile(
    rf"CREATE (?P<unique>UNIQUE )?INDEX {_SPACE}{_NAME}{_SPACE}ON{_SPACE}{_NAME}",
    re.IGNORECASE | re.DOTALL,
)
_CONFLICT: Final = re.compile(rf"\bON{_SPACE}CONFLICT\b", re.IGNORECASE | re.DOTALL)


def settles_conflicts(statement: str) -> bool:
    """Whether a constraint of the table may say what becomes of rows that break it."""
    return _CONFLICT.search(statement) is not None


def renamed_table(statement: str, name: str) -> str:
    """``statement`` for a table called ``name``."""
    found = _TABLE.match(statement)
    if found is None:
        raise ValueError("not a CREATE TABLE statement of SQLite's schema")
    return f"CREATE TABLE {ident(name)}{statement[found.end() :]}"


def renamed_index(statement: str, name: str, table: str) -> str:
    """``statement`` for an index called ``name`` on ``table``."""
    found = _INDEX.match(statement)
    if found is None:
        raise ValueError("not a CREATE INDEX statement of SQLite's schema")
    unique = "UNIQUE " if found["unique"] else ""
    return f"CREATE {unique}INDEX {ident(name)} ON {ident(table)}{statement[found.end() :]}"
