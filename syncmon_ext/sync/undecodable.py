"""Texts of SQLite that PostgreSQL cannot hold: SQLite keeps any bytes as a text, and tells of none."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import refusals
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import read_column, shown
from syncmon_ext.sync.storage_checks import in_the_row

_NOT_UTF8: Final = "the text is not UTF-8"
_NUL: Final = "the text has a NUL character, which PostgreSQL cannot hold"


def first(
    session: SqliteSession, unit: UnitPlan, clause: str, values: Sequence[Any]
) -> BadRow | None:
    """What is wrong with the first such text of the rows in ``clause``: its column, its row's key."""
    texts = (
        f"CASE typeof({read_column(column.name)}) WHEN 'text' THEN {read_column(column.name)} END"
        for column in unit.copied
    )
    selected = ", ".join([*map(read_column, unit.key), *texts])
    with session.guard(), session.raw_texts():
        for row in session.raw.execute(f"SELECT {selected} FROM {clause}", values):
            for column, text in zip(unit.copied, row[len(unit.key) :], strict=True):
                if text is not None and (reason := _reason(text)):
                    place = shown(unit.source_schema, unit.source_table)
                    return BadRow(
                        f"table {place}, column {column.name}: {reason}"
                        + in_the_row(unit.key, [_plain(value) for value in row[: len(unit.key)]]),
                        hint=refusals.BAD_TEXT,
                        column=column.name,
                        reason=reason,
                    )
    return None


def _reason(text: bytes) -> str:
    if b"\0" in text:
        return _NUL
    try:
        text.decode()
    except UnicodeDecodeError:
        return _NOT_UTF8
    return ""


def _plain(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
