"""SQLite's CREATE statements under other names, and defaults as SQLite tells them."""

from __future__ import annotations

import sqlite3

import pytest

from syncmon_ext.sync.sqlite_sql import default, renamed_index, renamed_table
from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker


@pytest.mark.parametrize(
    ("statement", "renamed"),
    [
        ("CREATE TABLE t (a CHECK (t.a > 0))", 'CREATE TABLE "n" (a CHECK (a > 0))'),
        ('CREATE TABLE "T" (a CHECK (t . a > 0))', 'CREATE TABLE "n" (a CHECK (a > 0))'),
        ("CREATE TABLE t(a CHECK ([T].a>0 /* t.a */))", 'CREATE TABLE "n"(a CHECK (a>0 /* t.a */))'),
        ("CREATE TABLE t (a CHECK (a <> 't.a'))", "CREATE TABLE \"n\" (a CHECK (a <> 't.a'))"),
        ("CREATE TABLE t (t, b CHECK (tt.t AND t.t))", 'CREATE TABLE "n" (t, b CHECK (tt.t AND t))'),
        ("CREATE TABLE t (a REFERENCES t (a)) -- t.a", 'CREATE TABLE "n" (a REFERENCES t (a)) -- t.a'),
        ("CREATE TABLE t (a CHECK (1.5<t.a))", 'CREATE TABLE "n" (a CHECK (1.5<a))'),
        ('CREATE TABLE "t ""1" (a CHECK ("t ""1".a))', 'CREATE TABLE "n" (a CHECK (a))'),
    ],
)  # fmt: skip
def test_table_does_not_speak_of_its_old_name(statement: str, renamed: str) -> None:
    assert renamed_table(statement, "n") == renamed


def test_index_does_not_speak_of_its_old_table() -> None:
    statement = "CREATE UNIQUE INDEX i ON t (b, a) WHERE T.b > 't.b'"
    wanted = 'CREATE UNIQUE INDEX "j" ON "n" (b, a) WHERE b > \'t.b\''
    assert renamed_index(statement, "j", "n") == wanted


DEFAULTS = [
    "5", "-5", "+1.5e3", "'it''s'", "x'00ff'", "NULL", "TRUE", "CURRENT_TIMESTAMP", "(1 + 1)",
    "(datetime('now'))", "((2))", '"text"', "bare", "[in brackets]", "(lower('A') || 'b')",
]  # fmt: skip


@pytest.mark.parametrize("written", DEFAULTS)
def test_default_is_read_as_it_was_written(written: str) -> None:
    with sqlite3.connect(":memory:") as db:
        db.execute(f"CREATE TABLE t (a DEFAULT {written}, b)")
        told = db.execute("SELECT dflt_value FROM pragma_table_info('t') WHERE name = 'a'")
        db.execute(f"CREATE TABLE n (a DEFAULT {default(told.fetchone()[0])}, b)")
        seen = []
        for table in "tn":
            db.execute(f"INSERT INTO {table} (b) VALUES (1)")
            seen.append(db.execute(f"SELECT typeof(a), a FROM {table}").fetchone())
    db.close()
    assert seen[0][0] == seen[1][0]
    assert seen[0] == seen[1] or "now" in written or "CURRENT" in written


def test_expression_is_a_default_of_a_table_of_fewer_columns(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT DEFAULT (1 + 1), b TEXT DEFAULT x, c)",
        "INSERT INTO t (id) VALUES (1)",
    )
    Copy(source, target, tables=[{"name": "t", "columns": ["id", "a", "b"]}]).run()
    target.run("INSERT INTO t (id) VALUES (2)")
    assert target.query("SELECT * FROM t") == [(1, 2, "x"), (2, 2, "x")]


@pytest.mark.parametrize("target_name", ["t", "other"])
def test_table_whose_rules_name_it_is_made_and_replaced(database: Maker, target_name: str) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (a INTEGER PRIMARY KEY CHECK (t.a > 0), b INT, CHECK (t.b > 0))",
        "CREATE INDEX i ON t (b) WHERE t.b > 1",
        "INSERT INTO t VALUES (1, 2), (3, 1)",
    )
    tables = [{"name": "t", "target": target_name}]
    for number in range(2):
        Copy(source, target, owner(run=f"run{number}"), tables=tables).run()
        assert target.query(f"SELECT * FROM {target_name}") == [(1, 2), (3, 1)]
    with pytest.raises(sqlite3.IntegrityError):
        target.run(f"INSERT INTO {target_name} VALUES (-1, 1)")
    assert target.query(f"SELECT count(*) FROM {target_name} INDEXED BY i WHERE b > 1") == [(1,)]
    target.run(
        f"DROP TABLE {target_name}",
        f"CREATE TABLE {target_name} (a INTEGER PRIMARY KEY CHECK ({target_name}.a > 0), b INT)",
        f"CREATE INDEX j ON {target_name} (b) WHERE {target_name}.b > 1",
    )
    tables = [{"name": "t", "target": target_name, "columns": ["a", "b"]}]
    Copy(source, target, owner(run="third"), tables=tables).run()
    assert target.query(f"SELECT * FROM {target_name}") == [(1, 2), (3, 1)]
