"""What to do about a database's refusal, by its code."""

from __future__ import annotations

import re
from typing import Final

_APART: Final = "or set max_rejects, which keeps such rows apart and lists them by their keys"
_NULL: Final = (
    "fill{column} in the source, leave the rows out with where, drop NOT NULL in the target, "
    + _APART
)
_UNIQUE: Final = (
    'make the rows unique in the source, use mode = "merge" where they are newer versions of rows '
    "that are there, drop the target's{constraint}, " + _APART
)
_CHECK: Final = (
    "correct the rows, leave them out with where, drop the target's{constraint}, " + _APART
)
_PARENT: Final = (
    "the rows point to rows that the target lacks: list the table that they point to in this task, "
    "it is copied first; or drop the target's{constraint}"
)
CHILDREN: Final = (
    "rows of another table point to rows that are not in the source any more: take those away first, "
    'list that table in this task, or use mode = "merge"'
)
_CHANGED: Final = "the table was changed since the run was planned: start with fresh = true"
_RENAMED: Final = (
    "a column was renamed or dropped since the run was planned: start with fresh = true; where the task "
    "names the column (columns, key, cursor, where), write its present name"
)
_TRIGGER: Final = (
    "a trigger of the target refuses the row: correct the row or the trigger, " + _APART
)
_WIDER: Final = (
    "correct the value, leave the row out with where, or give the target's column a type that holds "
    "it; max_rejects keeps such rows apart"
)
_WIDE: Final = (
    "PostgreSQL keeps a row within a page of 8 KiB, of a long value at least a pointer of 18 bytes: copy "
    "fewer columns with columns = [...], or leave the row out with where"
)
BAD_TEXT: Final = (
    "correct the text in the source, or leave the row out with where; max_rejects keeps it apart"
)
_FUNCTION: Final = (
    "the database's own function {function} says so: write the schema before each name in it, or give it "
    "a search_path of its own (ALTER FUNCTION ... SET search_path = ...)"
)
_OTHER: Final = "mend what the server names, then start the task again: it goes on where it was"
_POSTGRESQL: Final = {
    "23502": _NULL,
    "23505": _UNIQUE,
    "23514": _CHECK,
    "23P01": _CHECK,
    "42P01": _CHANGED,
    "42703": _RENAMED,
    "42704": _CHANGED,
    "3F000": _CHANGED,
    "P0001": _TRIGGER,
}
_FRESH: Final = (
    "Rows that are mended in the source are read by a fresh start only: run --fresh, Start fresh… on the "
    "page, fresh = true elsewhere"
)
_DENIED: Final = re.compile(r"permission denied for (?P<kind>[\w ]+?) (?P<name>\S+)$")
_RIGHTS: Final = {  # to read, and to write
    "schema": ("USAGE", "USAGE, CREATE"),
    "database": ("CONNECT", "CREATE"),
    "sequence": ("SELECT", "USAGE, SELECT, UPDATE"),
}
_TABLE: Final = ("SELECT", "SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES")
NO_COLUMN: Final = "no such column"  # SQLite's words for one that is read
_SQLITE: Final = {
    "NOT NULL": _NULL,
    "UNIQUE": _UNIQUE,
    "CHECK": _CHECK,
    "FOREIGN KEY": _PARENT,
    "cannot store": _WIDER,
    "datatype mismatch": _WIDER,
    "Could not decode": BAD_TEXT,
    "no such table": _CHANGED,
    NO_COLUMN: _RENAMED,
    "has no column": _CHANGED,
}


def postgresql_hint(
    state: str, text: str, *, column: str = "", constraint: str = "", function: str = ""
) -> str:
    """What to do about an error of PostgreSQL with this SQLSTATE, raised in ``function`` or by itself."""
    if function and state[:2] == "42":
        return _FUNCTION.format(function=function)
    if state == "23503":
        hint = CHILDREN if text.startswith("update or delete") else _PARENT
    elif state == "54000" and text.startswith("row is too big"):
        hint = _WIDE
    elif state == "22021" or "cannot contain NUL" in text:  # the driver's own words
        hint = BAD_TEXT
    elif state[:2] == "22":
        hint = _WIDER
    else:
        hint = _POSTGRESQL.get(state, _OTHER)
    return _filled(hint, column, constraint)


def late_hint(hint: str) -> str:
    """``hint`` for rows that are refused when all of them are copied.

    That they are not unique shows only then, with max_rejects too.
    """
    if hint.startswith(_UNIQUE.partition(",")[0]):
        hint = hint.removesuffix(f", {_APART}")
    return f"{hint}. {_FRESH}"


def sqlite_hint(text: str, *, column: str = "") -> str:
    """What to do about an error of SQLite with this text."""
    hint = next((hint for words, hint in _SQLITE.items() if words in text), _OTHER)
    return _filled(hint, column, "")


def _filled(hint: str, column: str, constraint: str) -> str:
    return hint.format(
        column=f" column {column}" if column else " the column",
        constraint=f" constraint {constraint}" if constraint else " rule",
    )


def right_hint(text: str, user: str, *, reading: bool) -> str:
    """The statement that gives ``user`` the right that PostgreSQL misses."""
    denied = _DENIED.search(text)
    if denied is None:  # "must be owner of table t"
        return f"let the owner run this task, or make {user} the owner, or a member of its role"
    kind, name = denied["kind"], denied["name"]
    right = _RIGHTS.get(kind, _TABLE)[0 if reading else 1]
    word = "" if kind in ("table", "view") else f"{kind.upper()} "
    return f"as its owner: GRANT {right} ON {word}{name} TO {user}"
