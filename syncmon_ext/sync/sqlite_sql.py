"""SQLite's own CREATE statements, given another name: the rest of the text stays as it was written, but for
the table's name before its columns."""

from __future__ import annotations

import re
from typing import Final

from syncmon_ext.sync.quoting import ident

_NAME: Final = r"""(?:"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`|'(?:[^']|'')*'|[^\s("'\[`]+)"""
_SPACE: Final = r"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
# SQLite keeps "CREATE TABLE " and then the text from the table's name on; of an index likewise.
_TABLE: Final = re.compile(rf"CREATE TABLE {_SPACE}(?P<table>{_NAME})", re.IGNORECASE | re.DOTALL)
_INDEX: Final = re.compile(
    rf"CREATE (?P<unique>UNIQUE )?INDEX {_SPACE}{_NAME}{_SPACE}ON{_SPACE}(?P<table>{_NAME})",
    re.IGNORECASE | re.DOTALL,
)
_CONFLICT: Final = re.compile(rf"\bON{_SPACE}CONFLICT\b", re.IGNORECASE | re.DOTALL)
# What stands before a column, within all else that could hold the same letters.
_QUALIFIER: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\d[\w.]*|"""
    rf"""(?P<name>"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`|[\w$]+)(?P<dot>{_SPACE}\.{_SPACE})?""",
    re.DOTALL,
)

_WORD: Final = re.compile(r"""\w+|"(?:[^"]|"")*"|\[[^\]]*\]|`(?:[^`]|``)*`""")


def settles_conflicts(statement: str) -> bool:
    """Whether a constraint of the table may say what becomes of rows that break it."""
    return _CONFLICT.search(statement) is not None


def renamed_table(statement: str, name: str) -> str:
    """``statement`` for a table called ``name``."""
    found = _TABLE.match(statement)
    if found is None:
        raise ValueError("not a CREATE TABLE statement of SQLite's schema")
    return f"CREATE TABLE {ident(name)}{_rest(statement, found)}"


def renamed_index(statement: str, name: str, table: str) -> str:
    """``statement`` for an index called ``name`` on ``table``."""
    found = _INDEX.match(statement)
    if found is None:
        raise ValueError("not a CREATE INDEX statement of SQLite's schema")
    unique = "UNIQUE " if found["unique"] else ""
    return f"CREATE {unique}INDEX {ident(name)} ON {ident(table)}{_rest(statement, found)}"


def default(text: str) -> str:
    """A default as SQLite tells it, which is without its parentheses: a bare name would lose its meaning
    within any."""
    return text if _WORD.fullmatch(text) else f"({text})"


def _rest(statement: str, found: re.Match[str]) -> str:
    """What follows the name of the table, its columns without that name before them."""
    table = _plain(found["table"])

    def kept(part: re.Match[str]) -> str:
        if part["dot"] and _plain(part["name"]) == table:
            return ""
        return part[0]

    return _QUALIFIER.sub(kept, statement[found.end() :])


def _plain(name: str) -> str:
    """A name without its quotes, as SQLite compares it."""
    first = name[0]
    if first in "\"'`":
        name = name[1:-1].replace(first * 2, first)
    elif first == "[":
        name = name[1:-1]
    # Of the letters that have two cases, SQLite knows those of ASCII.
    return "".join(c.lower() if c.isascii() else c for c in name)
