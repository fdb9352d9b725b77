"""Cursors of texts: they grow in the order of letters, and an odd one may stand behind all that will come."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

import re
from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.cursors import TEXTS
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.reflect.shape import TableShape
from syncmon_ext.sync.storage_checks import described

SAMPLE_ROWS: Final = 1_000  # of a table of SQLite, where times are texts, too
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")  # what stands behind the day grows with it
_DAY: Final = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2]) + "*"
_DIGITS: Final = re.compile(r"\d+")


def warnings(session: AnySession, shape: TableShape, cursor: str | None) -> list[str]:
    """What to know of a cursor whose values are texts and, in SQLite, no times."""
    column = shape.column(cursor) if cursor is not None else None
    if column is None:
        return []
    if session.dialect == "sqlite":
        if column.base != "TEXT" or not _has_other_than_times(session, shape, column.name):
            return []
    elif column.base not in TEXTS:
        return []
    kind = column.type.lower() if session.dialect == "sqlite" else column.type
    return [
        f"the cursor {column.name} is {kind}: which rows are new goes by the order of texts, in which 9 "
        "comes after 10, and n/a after every day; a row whose text comes before the greatest one that was "
        "copied is never read; let the texts be of one form that grows, such as 2024-01-31 12:00:00, or use "
        "a cursor of a time or number type"
    ]


def _has_other_than_times(session: AnySession, shape: TableShape, column: str) -> bool:
    table = relation(shape.schema, shape.name)
    return bool(
        session.execute(
            f"SELECT 1 FROM (SELECT t.{ident(column)} AS v FROM {table} AS t LIMIT {SAMPLE_ROWS}) "
            f"WHERE typeof(v) = 'text' AND v NOT GLOB '{_DAY}' LIMIT 1"
        )
    )


def are_times(last: str | None, mark: str | None) -> bool:
    """Whether the greatest text and the watermark are times, as far as there are any."""
    return all(text is None or _is_time(text) for text in (last, mark))


def is_given_up(first: str | None, last: str | None, mark: str | None) -> bool:
    """Whether a watermark is none of the times that the cursor holds: it came from an odd value, which was
    corrected since."""
    return mark is not None and not _is_time(mark) and _is_time(first) and _is_time(last)


def looked_at(unit: UnitPlan, first: str | None, last: str | None, mark: str | None) -> list[str]:
    """What a person should know where the ``last`` of the texts is none of those that the ``first``, or the
    watermark, is one of. Raises CopyFailed where those are times: it would stand behind all to come."""
    if last is None or _is_time(last):
        return []
    what = f"the greatest value of the cursor {unit.cursor}, in the order of texts, is {described(last)}"
    if _is_time(first) or _is_time(mark):
        raise CopyFailed(
            f"{what} and no time like the others: rows that come later would never be copied",
            hint=f"correct it: it comes first of ORDER BY {ident(unit.cursor or '')} DESC; or use another "
            "cursor. Rows that came after it may be missing in the target already: all rows are read again "
            "once it is corrected",
        )
    others = [text for text in (first, mark) if text is not None]
    if any(map(_DIGITS.fullmatch, others)) and not _DIGITS.fullmatch(last):
        return [
            f"{what}, and not of digits alone like the least: if it is an odd one, rows that come later are "
            "never copied; correct it, or use another cursor"
        ]
    return []


def _is_time(text: str | None) -> bool:
    return text is not None and _TIME.match(text) is not None
