"""Constraints of SQLite that say ON CONFLICT REPLACE or IGNORE drop no row in silence."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from syncmon_ext.model.errors import BadRow
from syncmon_ext.sync import jobs
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

SOURCES = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
MODES = pytest.mark.parametrize("mode", ["replace", "append", "merge", "direct"])
CLAUSES = pytest.mark.parametrize("clause", ["REPLACE", "IGNORE"])
_runs = itertools.count(1)


def run(source: Database, target: Database, mode: str = "replace", **spec: Any) -> Copy:
    chosen = {"mode": "append", "direct": True} if mode == "direct" else {"mode": mode}
    own = owner(run=f"conflicting{next(_runs)}")
    copy = Copy(source, target, own, tables=["items"], **chosen, **spec)
    assert errors(copy) == []
    copy.run(10)
    return copy


@SOURCES
@MODES
@CLAUSES
def test_rows_that_are_not_unique_are_refused(
    database: Maker, kind: str, mode: str, clause: str
) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, mail text)")
    source.insert("items", [(n, f"m{n % 7}") for n in range(35)])
    target.run(
        "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, "
        f"mail text UNIQUE ON /* else */ CONFLICT {clause})"
    )
    with pytest.raises(BadRow, match=r"UNIQUE constraint failed: items\.mail") as caught:
        run(source, target, mode)
    assert "make the rows unique" in caught.value.hint


@SOURCES
@MODES
def test_null_is_refused_where_it_would_become_a_default(
    database: Maker, kind: str, mode: str
) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, n bigint)")
    source.insert("items", [(1, 1), (2, None)])
    target.run(
        "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, "
        "n bigint NOT NULL ON CONFLICT REPLACE DEFAULT 0)"
    )
    with pytest.raises(BadRow, match=r"NOT NULL constraint failed: items\.n"):
        run(source, target, mode)


@SOURCES
@pytest.mark.parametrize("mode", ["append", "direct"])
@CLAUSES
def test_append_replaces_no_row_that_was_there(
    database: Maker, kind: str, mode: str, clause: str
) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, n bigint)")
    source.insert("items", [(n, n) for n in range(10)])
    target.run(
        f"CREATE TABLE items (id bigint NOT NULL PRIMARY KEY ON CONFLICT {clause}, n bigint)"
    )
    old = [(n, -1) for n in range(5, 15)]
    target.insert("items", old)
    with pytest.raises(BadRow, match=r"UNIQUE constraint failed: items\.id"):
        run(source, target, mode)
    assert [row for row in target.query("SELECT * FROM items") if row[1] < 0] == old


@SOURCES
@CLAUSES
def test_merge_updates_over_such_a_key(database: Maker, kind: str, clause: str) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, n bigint)")
    source.insert("items", [(n, n) for n in range(30)])
    target.run(
        f"CREATE TABLE items (id bigint NOT NULL PRIMARY KEY ON CONFLICT {clause}, n bigint, more "
        "text DEFAULT 'kept')"
    )
    target.insert("items", [(n, -1, "own") for n in range(20, 40)])
    run(source, target, "merge")
    assert target.query("SELECT * FROM items ORDER BY id") == [
        (n, n if n < 30 else -1, "kept" if n < 20 else "own") for n in range(40)
    ]


@CLAUSES
def test_tables_with_such_constraints_are_copied_as_they_are(database: Maker, clause: str) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, a NOT NULL UNIQUE ON CONFLICT {clause})"
    )
    source.insert("items", [(n, f"a{n}") for n in range(30)])
    for _ in range(2):  # into a table that is made, and into one that is there
        run(source, target)
        assert target.query("SELECT * FROM items") == source.query("SELECT * FROM items")


@CLAUSES
def test_rejects_that_would_replace_a_row_stay(database: Maker, clause: str) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY, mail TEXT)")
    source.insert("items", [(1, "a"), (2, "b"), (3, "a")])
    target.run(
        f"CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY, mail TEXT UNIQUE ON CONFLICT {clause})"
    )
    copy = run(source, target, max_rejects=5)
    assert jobs.rejects(copy.target, "store1", "task", 9).total == 1
    done = jobs.replay(copy.source, copy.target, "store1", "task", copy.units, 60)
    assert (done.replayed, done.remaining) == (0, 1)
    assert target.query("SELECT count(*), count(DISTINCT mail) FROM items") == [(2, 2)]


@SOURCES
@MODES
def test_what_triggers_do_on_a_conflict_is_left_to_them(
    database: Maker, kind: str, mode: str
) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, mail text)")
    source.insert("items", [(n, f"m{n % 3}") for n in range(30)])
    target.run(
        "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, mail text)",
        "CREATE TABLE mails (mail text PRIMARY KEY)",
        "CREATE TRIGGER noted AFTER INSERT ON items "
        "BEGIN INSERT OR IGNORE INTO mails VALUES (new.mail); END",
    )
    run(source, target, mode)
    assert sorted(target.query("SELECT * FROM items")) == sorted(
        source.query("SELECT * FROM items")
    )
    noted = [] if mode == "replace" else [("m0",), ("m1",), ("m2",)]  # renamed: it does not fire
    assert target.query("SELECT * FROM mails ORDER BY mail") == noted
