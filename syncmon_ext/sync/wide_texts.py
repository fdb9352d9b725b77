"""Texts that SQLite would change, without a word, where a file keeps them in UTF-16.

On their way into it U+FFFE and U+FFFF become U+FFFD, and on their way out half of a surrogate pair takes the
character behind it for its other half (SQLite, utf.c: READ_UTF8, sqlite3VdbeMemTranslate). A file that other
programs wrote in UTF-16 may hold any of them; as long as SQLite itself moves a text, it stays as it is.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.model.errors import BadRow, CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import refusals
from syncmon_ext.sync.databases.sqlite import UTF8, SqliteSession
from syncmon_ext.sync.quoting import ident, read_column, read_columns, shown
from syncmon_ext.sync.storage_checks import in_the_row

_CHANGED: Final = "\ufffe", "\uffff"
_CHANGED_BYTES: Final = tuple(character.encode() for character in _CHANGED)
_NONCHARACTER: Final = (
    "the text has a character U+FFFE or U+FFFF, which SQLite changes in a file in UTF-16"
)
CHANGED_KEY: Final = (
    "has a character U+FFFE or U+FFFF or half of a surrogate pair, in a file in UTF-16"
)
_SURROGATE: Final = "the text has half of a surrogate pair, which is no character"


def refuse_in_copy(unit: UnitPlan, data: bytes) -> None:
    """Raise BadRow at the first row of COPY's text in UTF-8 that a file in UTF-16 would not keep."""
    if not any(character in data for character in _CHANGED_BYTES):
        return
    for line in data.split(b"\n"):
        for column, field in zip(unit.copied, line.split(b"\t"), strict=False):
            if any(character in field for character in _CHANGED_BYTES):
                raise _bad(unit, column.name, _NONCHARACTER)


def refuse_in_window(session: SqliteSession, unit: UnitPlan, last: Any) -> None:
    """Raise CopyFailed where the last value of the cursor is a text that SQLite takes for another."""
    if not isinstance(last, str) or not any(character in last for character in _CHANGED):
        return
    if session.encoding != UTF8:
        raise CopyFailed(
            f"table {shown(unit.source_schema, unit.source_table)}: the greatest value of the cursor "
            f"{unit.cursor} {CHANGED_KEY}: its row would be left out",
            hint=f"it comes first of ORDER BY {ident(unit.cursor or '')} DESC: correct it, or use another "
            "cursor",
        )


def refuse_in_rows(
    session: SqliteSession,
    unit: UnitPlan,
    clause: str,
    values: Sequence[Any],
    *,
    written: bool = False,
) -> None:
    """Raise BadRow at the first of the rows in ``clause`` that is not read as it is, from a file in UTF-16.

    ``written``: what is read goes into a file in UTF-16 as well.
    """
    if (encoding := session.encoding) == UTF8:
        return
    texts = (
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) END"
        for name in (read_column(column.name) for column in unit.copied)
    )
    keys = [read_columns(unit.key)] if unit.key else []
    selected = ", ".join([*texts, *keys])
    with session.guard(), session.raw_texts():
        for row in session.raw.execute(f"SELECT {selected} FROM {clause}", values):
            for column, text in zip(unit.copied, row, strict=False):
                if text is not None and (reason := _reason(text, encoding, written)):
                    key = in_the_row(unit.key, [_plain(v) for v in row[len(unit.copied) :]])
                    raise _bad(unit, column.name, reason, key)


def _reason(text: bytes, encoding: str, written: bool) -> str:
    try:
        read = text.decode(encoding)
    except UnicodeDecodeError:
        return _SURROGATE
    return _NONCHARACTER if written and any(each in read for each in _CHANGED) else ""


def _plain(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _bad(unit: UnitPlan, column: str, reason: str, row: str = "") -> BadRow:
    return BadRow(
        f"table {shown(unit.source_schema, unit.source_table)}, column {column}: {reason}{row}",
        hint=refusals.BAD_TEXT,
        column=column,
        reason=reason,
    )
