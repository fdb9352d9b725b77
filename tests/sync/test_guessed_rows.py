"""About how many rows a SQLite table without rowid has, from a few of its pages."""

from __future__ import annotations

import random
import sqlite3

from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.reflect.tables import reflect
from tests.sync.copying import Copy
from tests.sync.databases import Maker


def test_rows_of_a_table_without_rowid_are_guessed_from_a_few_pages(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    chance = random.Random(2)
    for rows in (0, 1, 300, 40_000):
        source.run(f"CREATE TABLE t{rows} (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID")
        keys = [f"{chance.random():.17f}" for _ in range(rows)]
        source.insert(f"t{rows}", [(key, "x" * chance.randint(0, 60)) for key in keys])
    copy = Copy(source, target, tables=["t0", "t1", "t300", "t40000"])
    guessed = {unit.unit_id: unit.rows_total for unit in copy.units}
    assert guessed["t0"] == 0 and guessed["t1"] == 1
    assert 150 <= (guessed["t300"] or 0) <= 600
    assert 20_000 <= (guessed["t40000"] or 0) <= 80_000, guessed
    assert all(unit.rows_total_is_estimate for unit in copy.units)
    source.run("ANALYZE")
    assert Copy(source, target, tables=["t40000"]).units[0].rows_total == 40_000


def test_rows_of_a_table_without_rowid_are_unknown_where_sqlite_cannot_tell(
    database: Maker,
) -> None:
    source = database("sqlite")
    source.run("CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES ('a')")

    def without_dbstat(action: int, table: str | None, *_: str | None) -> int:
        read = action == sqlite3.SQLITE_READ
        return sqlite3.SQLITE_DENY if read and table == "dbstat" else sqlite3.SQLITE_OK

    with sessions.opened(source.connection, "syncmon/source") as session:
        session.raw.set_authorizer(without_dbstat)  # type: ignore[arg-type]  # a session of SQLite
        shape = reflect(session, None, "t")
    assert shape is not None and shape.rows is None
