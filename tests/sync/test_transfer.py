"""Whole tables between two SQLite files: when they are moved as they lie, and that nothing is lost by it."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.sync import names, throttle, transfer
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.routes import sqlite_sqlite
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

TABLE = "CREATE TABLE t (a TEXT NOT NULL, b INTEGER, c NUMERIC DEFAULT 3, PRIMARY KEY (a))"
INDEXES = (
    "CREATE INDEX by_b ON t (b DESC, c)",
    "CREATE UNIQUE INDEX by_lower ON t (lower(a) COLLATE NOCASE) WHERE b IS NOT NULL",
)
ROWS = [("'k1'", "'not a number'", "x'00ff'"), ("'k2'", "NULL", "1e300"), ("'k 3 ''\n'", "7", "''")]
CONTENT = "SELECT a, typeof(b), b, typeof(c), quote(c) FROM t ORDER BY a"


def fill(database: Database, *more: str) -> None:
    values = ", ".join(f"({', '.join(row)})" for row in ROWS)
    database.run(TABLE, *INDEXES, f"INSERT INTO t VALUES {values}", "DELETE FROM t WHERE a = 'k2'")
    database.run("INSERT INTO t VALUES ('k4', 0.5, -0.0)", *more)


def statement(copy: Copy, chunk: Chunk) -> str | None:
    """What the route would move the chunk with; nothing stays of it."""
    unit = copy.units[0]
    with sessions.opened(copy.target, copy.own.application_name) as session:
        assert isinstance(session, SqliteSession)
        with sqlite_sqlite.opened(copy.source, session, None) as way:
            session.change("BEGIN IMMEDIATE")
            found = transfer.prepared(
                session, way.schema or "main", unit, chunk, names.landing(copy.own, unit)
            )
            session.change("ROLLBACK")
    return found


@pytest.mark.parametrize("there", [False, True])
def test_whole_table_is_moved_with_its_indexes(database: Maker, there: bool) -> None:
    source, target = database("sqlite"), database("sqlite")
    fill(source)
    if there:
        target.run(TABLE, *INDEXES, "INSERT INTO t VALUES ('old', 1, 1)")
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        assert mark.at_once
        chunk = Chunk(low=None, high=mark.upper)
        assert statement(copy, chunk)
        assert copy.copy(unit, chunk).rows == 3
        copy.swap(unit)
    assert target.query(CONTENT) == source.query(CONTENT)
    made = "SELECT name, \"unique\", origin, partial FROM pragma_index_list('t') ORDER BY seq"
    assert target.query(made) == source.query(made)
    assert target.query("PRAGMA integrity_check") == [("ok",)]


def test_rows_beyond_the_upper_end_are_left_alone(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    fill(source)
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        chunk = Chunk(low=None, high=mark.upper)
        source.run("INSERT INTO t VALUES ('later', 1, 1)")
        assert statement(copy, chunk) is None
        assert copy.copy(unit, chunk).rows == 3
        copy.swap(unit)
    assert target.query(CONTENT) == [row for row in source.query(CONTENT) if row[0] != "later"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"name": "t", "where": {"b": {"!=": 3}}}, False),
        ({"name": "t", "columns": ["a", "c"]}, True),
    ],
)
def test_part_of_a_table_is_not_moved(
    database: Maker, table: dict[str, Any], expected: bool
) -> None:
    source, target = database("sqlite"), database("sqlite")
    fill(source)
    copy = Copy(source, target, tables=[table])
    with copy.claimed():
        mark = copy.prepare(copy.units[0])
        assert mark.at_once is expected
        assert statement(copy, Chunk(low=None, high=mark.upper)) is None


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE t (a TEXT NOT NULL, c NUMERIC DEFAULT 3, b INTEGER, PRIMARY KEY (a))",
        "CREATE TABLE t (a TEXT NOT NULL, b TEXT, c NUMERIC DEFAULT 3, PRIMARY KEY (a))",
        "CREATE TABLE t (a TEXT NOT NULL, b INTEGER, c NUMERIC DEFAULT 3 CHECK (c <> 9), PRIMARY KEY (a))",
    ],
    ids=["order", "type", "check"],
)
def test_target_made_otherwise_gets_rows_of_its_own(database: Maker, made: str) -> None:
    source, target = database("sqlite"), database("sqlite")
    fill(source)
    target.run(made)
    copy = Copy(source, target, tables=["t"], allow_lossy=["b"])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        chunk = Chunk(low=None, high=mark.upper)
        assert statement(copy, chunk) is None
        assert copy.copy(unit, chunk).rows == 3
        copy.swap(unit)
    assert target.query("SELECT a, quote(c) FROM t ORDER BY a") == source.query(
        "SELECT a, quote(c) FROM t ORDER BY a"
    )


class Bounding:
    """No bound when the copy looks first, one from the second look on."""

    def __init__(self) -> None:
        self.looks = 0

    def rates(self) -> tuple[float, float]:
        self.looks += 1
        return (0.0, 0.0) if self.looks == 1 else (100.0, 0.0)


def test_bound_breaks_a_transfer_off(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
        "INSERT INTO t SELECT i, 'v' || i FROM n",
    )
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        throttle.set_pace(Bounding())
        try:
            with pytest.raises(throttle.ChunkTooLarge):
                copy.copy(unit, Chunk(low=None, high=mark.upper))
        finally:
            throttle.set_pace(None)
        assert copy.prepare(unit).committed == []  # nothing of it stays
        copy.copy_all(unit, 30_000)
        copy.swap(unit)
    assert target.query("SELECT count(*), sum(id) FROM t") == [(100_000, 5_000_050_000)]


@pytest.mark.parametrize(("there", "size"), [(False, 16_384), (True, 1_024)])
def test_file_that_is_made_gets_large_pages_and_one_that_is_there_keeps_its_own(
    database: Maker, there: bool, size: int
) -> None:
    source, target = database("sqlite"), database("sqlite")
    fill(source)
    if there:
        target.run("PRAGMA page_size = 1024", "CREATE TABLE other (v)")
    Copy(source, target, tables=["t"]).run()
    assert target.query("PRAGMA page_size") == [(size,)]
    assert target.query(CONTENT) == source.query(CONTENT)
