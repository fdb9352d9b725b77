"""The window of an incremental unit: from the watermark less the lag to the cursor's present end."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from typing import Any

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import cursors, filters, ranges, watermark
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.keys import packed, unpacked
from syncmon_ext.sync.quoting import ident, relation


def opened(
    source: AnySession, target: AnySession, unit: UnitPlan, *, anew: bool
) -> tuple[Window, list[str]]:
    """What a unit that begins now reads, and what a person should know about it.

    The upper end never lies below the watermark: a source that was set back is read from there on.
    ``anew``: the target has nothing that a watermark could speak of.
    """
    mark = None if anew else watermark.stored(target, unit)
    if isinstance(source, PostgresSession):
        return _in_postgresql(source, unit, mark)
    return _in_sqlite(source, unit, mark)


def _in_postgresql(
    session: PostgresSession, unit: UnitPlan, mark: KeyValue | None
) -> tuple[Window, list[str]]:
    column, kind = ident(unit.cursor or ""), unit.cursor_type
    table = relation(unit.source_schema, unit.source_table)
    filtered = filters.predicate(unit.where, session.literal)
    endless = cursors.endless(kind, column)
    finite = [*filtered, f"NOT {endless}"] if endless else filtered
    where = f" WHERE {' AND '.join(finite)}" if finite else ""
    last = f"max({column})"
    if mark is not None:
        last = f"greatest({last}, {session.literal(mark[0])}::{kind})"
    high, first = session.execute(
        f"SELECT ({last})::text, min({column})::text FROM {table}{where}"
    )[0]
    begin = first if mark is None else mark[0]  # the first finite one: -infinity lies before it
    low = None
    if begin is not None:
        low = [cursors.earlier_in_postgresql(session, kind, begin, unit.lag_seconds)]
    left = f"{column} IS NULL" + (f" OR {endless}" if endless else "")
    where = " AND ".join([*filtered, f"({left})"])
    count = session.execute(f"SELECT count(*) FROM {table} WHERE {where}")[0][0]
    return Window(low=low, high=None if high is None else [high]), _warnings(unit, count)


def _in_sqlite(
    session: SqliteSession, unit: UnitPlan, mark: KeyValue | None
) -> tuple[Window, list[str]]:
    column, table = ident(unit.cursor or ""), ident(unit.source_table)
    bind = ranges.Binder()
    filtered = filters.predicate(unit.where, bind)
    where = f" WHERE {' AND '.join(filtered)}" if filtered else ""
    ask = f"SELECT max({column}) FROM {table}{where}"
    values: list[Any] = list(bind.values)
    low = None
    if mark is not None:
        at = unpacked(mark)[0]
        ask = (
            f"SELECT max(v) FROM (SELECT max({column}) AS v FROM {table}{where} UNION ALL SELECT ?)"
        )
        values.append(at)
        earlier = cursors.earlier_in_sqlite(unit.cursor or "", at, unit.lag_seconds)
        low = None if earlier is None else packed([earlier])
    high = session.execute(ask, values)[0][0]
    where = " AND ".join([*filtered, f"{column} IS NULL"])
    count = session.execute(f"SELECT count(*) FROM {table} WHERE {where}", bind.values)[0][0]
    return Window(low=low, high=None if high is None else packed([high])), _warnings(unit, count)


def _warnings(unit: UnitPlan, count: int) -> list[str]:
    if not count:
        return []
    rows = "1 row has" if count == 1 else f"{count:,} rows have"
    return [f"{rows} no value in the cursor {unit.cursor} (NULL or endless) and cannot be copied"]
