"""Cursors: the column that tells which rows are new, and how far back of a value ``lag_seconds`` is."""
# names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Any, Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.near_names import offered
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.reflect.shape import TableShape

INTEGERS: Final = ("smallint", "integer", "bigint")
NUMBERS: Final = ("numeric", "real", "double precision")
TIMES: Final = ("date", "timestamp without time zone", "timestamp with time zone")
TEXTS: Final = ("text", "character varying")
_LEAST: Final = {  # what no lag goes below
    "smallint": "-32768",
    "integer": "-2147483648",
    "bigint": "-9223372036854775808",
    "date": "date '4714-11-24 BC'",
    "timestamp without time zone": "timestamp '4714-11-24 00:00:00 BC'",
    "timestamp with time zone": "timestamptz '4714-11-24 00:00:00+00 BC'",
}
_LEAST_OF_SQLITE: Final = -(2**63)
# SQLite keeps times as text; the precision and the offset stay as they are written.
_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:(?P<between>[ T])(?P<minute>\d\d:\d\d)"
    r"(?:(?P<second>:\d\d)(?:\.(?P<fraction>\d{1,6}))?)?(?P<offset>Z|[+-]\d\d:?\d\d)?)?"
)


def checked(
    shape: TableShape, dialect: str, cursor: str | None, lag_seconds: float
) -> tuple[str, list[str]]:
    """The cursor's type, and what is wrong with it as a cursor."""
    column = shape.column(cursor) if cursor is not None else None
    if column is None:
        remedy = offered([cursor or ""], [c.name for c in shape.columns])
        return "", [f"cursor: there is no column {cursor} in {shape.name}; {remedy}"]
    if dialect == "sqlite":
        return column.type, []
    kinds = (*INTEGERS, *NUMBERS, *TIMES, *TEXTS)
    if column.base not in kinds:
        return column.base, [
            f"cursor {cursor} is {column.type}, which does not grow with time; use a column of type "
            + ", ".join(kinds)
        ]
    if lag_seconds and column.base in TEXTS:
        return column.base, [
            f"cursor {cursor} is {column.type}: lag_seconds needs a time or a number; leave it out"
        ]
    return column.base, []


def endless(kind: str, column: str) -> str | None:
    """A condition on PostgreSQL's values that lie beyond every other; None where there are none."""
    if kind in TIMES:
        return f"{column} IN ('infinity', '-infinity')"
    if kind in NUMBERS:
        return f"{column} IN ('NaN', 'Infinity', '-Infinity')"
    return None


def earlier_in_postgresql(
    session: PostgresSession, kind: str, value: str, lag_seconds: float
) -> str:
    """``value`` less the lag, as PostgreSQL counts; of a number, a unit is a second. It ends at the
    type's least value."""
    if not lag_seconds:
        return value
    at, least = f"{session.literal(value)}::{kind}", _LEAST.get(kind, "")
    if kind == "date":
        days = math.ceil(lag_seconds / 86_400)
        less = f"{least} + greatest({at} - {least} - {days}, 0)"
    elif kind in TIMES:
        seconds = float(lag_seconds)
        less = (
            f"CASE WHEN extract(epoch FROM {at}) - extract(epoch FROM {least}) > {seconds!r} "
            f"THEN {at} - make_interval(secs => {seconds!r}) ELSE {least} END"
        )
    elif kind in INTEGERS:
        less = f"greatest({at}::numeric - {math.ceil(lag_seconds)}, {least})"
    else:
        less = f"{at} - {float(lag_seconds)!r}::{kind}"
    return str(session.execute(f"SELECT ({less})::text")[0][0])


def earlier_in_sqlite(column: str, value: Any, lag_seconds: float) -> Any:
    """``value`` less the lag: of a number, a unit is a second; of a text, the time it says.

    None where there is no such early time.
    """
    if not lag_seconds:
        return value
    if isinstance(value, int):
        return max(value - math.ceil(lag_seconds), _LEAST_OF_SQLITE)
    if isinstance(value, float):
        return value - lag_seconds
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise CopyFailed(
            f"cursor {ident(column)} holds neither a number nor a time like 2024-01-31 12:00:00",
            hint="leave lag_seconds out, or use another cursor",
        )
    fraction = found["fraction"] or ""
    plain = f"{found['day']} {found['minute'] or '00:00'}{found['second'] or ':00'}"
    at = datetime.fromisoformat(f"{plain}.{fraction.ljust(6, '0')}")
    try:
        at -= timedelta(seconds=lag_seconds)
    except OverflowError:
        return None
    text = f"{at.year:04d}-{at:%m-%d}"
    if found["minute"]:
        text += f"{found['between']}{at:%H:%M}"
    if found["second"]:
        text += f":{at:%S}"
    if fraction:
        text += f".{at.microsecond:06d}"[: len(fraction) + 1]
    return text + (found["offset"] or "")
