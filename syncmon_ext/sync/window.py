"""The window of an incremental unit: from the watermark less the lag to the cursor's present end."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from typing import Any

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import (
    cursor_kinds,
    cursor_texts,
    cursor_times,
    cursors,
    filters,
    ranges,
    watermark,
    wide_texts,
)
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.keys import packed, unpacked
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.storage_checks import described, in_the_row


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
    with source.reading():
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
    last, behind = f"max({column})", "false"
    if mark is not None:
        at = f"{session.literal(mark[0])}::{kind}"
        last, behind = f"greatest({last}, {at})", f"coalesce({last} < {at}, false)"
    high, first, greatest, is_behind = session.execute(
        f"SELECT ({last})::text, min({column})::text, max({column})::text, {behind} FROM {table}{where}"
    )[0]
    told = []
    if kind in cursors.TEXTS:
        known = None if mark is None else mark[0]
        if cursor_texts.is_given_up(first, greatest, known):
            opened, warnings = _in_postgresql(session, unit, None)
            return opened, [_given_up(unit, known, "times"), *warnings]
        told = cursor_texts.looked_at(unit, first, greatest, known)
    if kind in (*cursors.TIMES, *cursors.TEXTS):
        told += cursor_times.warnings(unit, high)
    begin = first if mark is None else mark[0]  # the first finite one: -infinity lies before it
    low = None
    if begin is not None:
        low = [cursors.earlier_in_postgresql(session, kind, begin, unit.lag_seconds)]
    left = f"{column} IS NULL" + (f" OR {endless}" if endless else "")
    where = " AND ".join([*filtered, f"({left})"])
    count = session.execute(f"SELECT count(*) FROM {table} WHERE {where}")[0][0]
    warnings = [*told, *_warnings(unit, count)]
    if mark is not None and is_behind:
        warnings.append(_set_back(unit))
    return Window(low=low, high=None if high is None else [high]), warnings


def _in_sqlite(
    session: SqliteSession, unit: UnitPlan, mark: KeyValue | None
) -> tuple[Window, list[str]]:
    # With the table before it, SQLite never takes the name of a column that is gone for a text.
    column, table = f"t.{ident(unit.cursor or '')}", f"{ident(unit.source_table)} AS t"
    bind = ranges.Binder()
    filtered = filters.predicate(unit.where, bind)
    rows = table + (f" WHERE {' AND '.join(filtered)}" if filtered else "")
    values = list(bind.values)
    found = cursor_kinds.usual(session, rows, values, column, unit.cursor_type)
    warnings = _left_out(session, unit, column, found)
    if (kind := found.kind) is None:
        return Window(low=mark, high=mark), warnings
    at = None if mark is None else unpacked(mark)[0]
    if mark is not None and not kind.holds(at):
        warnings.append(_given_up(unit, at, kind.shown))
        mark = None
    wanted = [*filtered, kind.within(column, bind)]
    low = None
    if mark is not None:
        wanted.append(f"{column} >= {bind(at)}")  # in the column's own collation
        low = cursors.earlier_in_sqlite(unit.cursor or "", at, unit.lag_seconds)
    if low is None and found.below:
        low = kind.low
    ask = f"SELECT max({column}) FROM {table} WHERE {' AND '.join(wanted)}"
    high = session.execute(ask, bind.values)[0][0]
    wide_texts.refuse_in_window(session, unit, high)
    known = None if mark is None else at
    if kind in (cursor_kinds.TIMES, cursor_kinds.TEXTS) and not cursor_texts.are_times(high, known):
        first, last = _ends(session, unit, column, kind)
        if cursor_texts.is_given_up(first, last, known):
            opened, warnings = _in_sqlite(session, unit, None)
            return opened, [_given_up(unit, known, "times"), *warnings]
        warnings += cursor_texts.looked_at(unit, first, last, known)
    warnings += cursor_times.warnings(unit, at if high is None else high)
    if mark is not None and high is None:
        warnings.append(_set_back(unit))
    return Window(
        low=None if low is None else packed([low]), high=mark if high is None else packed([high])
    ), warnings


def _ends(
    session: SqliteSession, unit: UnitPlan, column: str, kind: cursor_kinds.Kind
) -> tuple[Any, Any]:
    """The first and the last value of a kind; each is asked for alone, which an index answers."""
    found = []
    with session.raw_texts(lambda text: text.decode(errors="replace")):
        for which in ("min", "max"):
            bind = ranges.Binder()
            wanted = [*filters.predicate(unit.where, bind), kind.within(column, bind)]
            table = f"{ident(unit.source_table)} AS t"
            ask = f"SELECT {which}({column}) FROM {table} WHERE {' AND '.join(wanted)}"
            found.append(session.execute(ask, bind.values)[0][0])
    return found[0], found[1]


def _left_out(
    session: SqliteSession, unit: UnitPlan, column: str, found: cursor_kinds.Usual
) -> list[str]:
    """What a person should know of the rows that have no value that grows with the others'."""
    bind = ranges.Binder()
    filtered = filters.predicate(unit.where, bind)
    table = f"{ident(unit.source_table)} AS t"
    where = " AND ".join([*filtered, f"{column} IS NULL"])
    count = session.execute(f"SELECT count(*) FROM {table} WHERE {where}", bind.values)[0][0]
    warnings = _warnings(unit, count + found.others.get(cursor_kinds.ENDLESS, 0))
    other = sum(count for name, count in found.others.items() if name != cursor_kinds.ENDLESS)
    if not other or (kind := found.kind) is None:
        return warnings
    where = " AND ".join([*filtered, kind.without(column, bind)])
    key = [f"t.{ident(name)}" for name in unit.key]
    with session.raw_texts(lambda text: text.decode(errors="replace")):
        value, *of_key = session.execute(
            f"SELECT {', '.join([column, *key])} FROM {table} WHERE {where} LIMIT 1", bind.values
        )[0]
    have = "1 row has" if other == 1 else f"{other:,} rows have"
    return [
        *warnings,
        f"the cursor {unit.cursor} has {kind.shown}, but {have} something else there and cannot be "
        f"copied, such as {described(value)}{in_the_row(unit.key, of_key)}; correct such values, or use "
        "another cursor",
    ]


def _given_up(unit: UnitPlan, mark: Any, kind: str) -> str:
    return (
        f"the watermark was {described(mark)}, and the cursor {unit.cursor} has {kind}: all rows "
        "are read again, not only the new ones"
    )


def _warnings(unit: UnitPlan, count: int) -> list[str]:
    if not count:
        return []
    rows = "1 row has" if count == 1 else f"{count:,} rows have"
    return [
        f"{rows} no value in the cursor {unit.cursor} (NULL or endless) and cannot be copied; give "
        f"{'it' if count == 1 else 'each'} one, or use another cursor"
    ]


def _set_back(unit: UnitPlan) -> str:
    return (
        f"all values of the cursor {unit.cursor} in the source lie before the watermark, up to which it was "
        "read: its last rows were deleted, or it was set back, as by a backup that was restored; what it got "
        "since then below the watermark is not read: copy the table with mode = replace once"
    )
