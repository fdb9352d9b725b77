"""A reject that is tried again is the row that was set aside, and no other."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from syncmon_ext.model.errors import FenceLost, TargetBusy
from syncmon_ext.model.reject import Reject
from syncmon_ext.sync import fence, jobs
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.ownership import replay_of
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

TARGETS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
_runs = itertools.count(1)


def copied(source: Database, target: Database, **spec: Any) -> Copy:
    own = owner(run=f"set-aside{next(_runs)}")
    copy = Copy(source, target, own, **{"tables": ["items"], "max_rejects": 5, **spec})
    assert errors(copy) == []
    copy.run(4)
    return copy


def replay(copy: Copy) -> tuple[int, int, int]:
    done = jobs.replay(copy.source, copy.target, "store1", "task", copy.units, 60)
    return done.replayed, done.gone, done.remaining


def listed(copy: Copy) -> list[Reject]:
    return jobs.rejects(copy.target, "store1", "task", 100).rejects


def sink(target: Database, columns: str) -> None:
    rule = "CHECK (typeof(n) = 'integer')" if target.dialect == "sqlite" else ""
    target.run(f"CREATE TABLE items ({columns}, n bigint {rule})")


def heap(source: Database, rows: list[tuple[Any, ...]]) -> None:
    """A table without a key whose first row is taken away, so that VACUUM moves the others."""
    source.run("CREATE TABLE items (name TEXT, n INTEGER)")
    source.insert("items", [("first", 0), *rows])
    source.run("DELETE FROM items WHERE name = 'first'")


@TARGETS
def test_a_key_is_compared_as_its_index_compares_it(database: Maker, kind: str) -> None:
    source, target = database("sqlite"), database(kind)
    source.run(
        "CREATE TABLE items (k TEXT COLLATE NOCASE NOT NULL, n INTEGER)",
        "CREATE UNIQUE INDEX exact ON items (k COLLATE BINARY)",
    )
    source.insert("items", [("a", "bad"), ("A", 5), ("b", 6), ("C", 7), ("c", "bad")])
    sink(target, "k text")
    copy = copied(source, target)
    source.run("UPDATE items SET n = 1 WHERE k = 'a' COLLATE BINARY")
    assert replay(copy) == (1, 0, 1)
    source.run("UPDATE items SET n = 2 WHERE k = 'c' COLLATE BINARY")
    assert replay(copy) == (1, 0, 0)
    assert sorted(target.query("SELECT k, n FROM items")) == sorted(
        source.query("SELECT k, n FROM items")
    )


@TARGETS
def test_a_filter_on_the_key_holds_for_its_rejects(database: Maker, kind: str) -> None:
    source, target = database("sqlite"), database(kind)
    source.run("CREATE TABLE items (k TEXT NOT NULL PRIMARY KEY, n INTEGER)")
    source.insert("items", [("a", 1), ("b", "bad"), ("c", 3)])
    sink(target, "k text")
    copy = copied(source, target, tables=[{"name": "items", "where": {"k": {"<": "c"}}}])
    source.run("UPDATE items SET n = 2 WHERE k = 'b'")
    assert replay(copy) == (1, 0, 0)
    assert sorted(target.query("SELECT k, n FROM items")) == [("a", 1), ("b", 2)]


@TARGETS
@pytest.mark.parametrize("mended", [True, False])
@pytest.mark.parametrize("name", ["row{}", "same"])
@pytest.mark.parametrize("at", [10, 19])  # among others, and the last
def test_no_other_row_comes_in_the_place_of_one_that_was_moved(
    database: Maker, kind: str, mended: bool, name: str, at: int
) -> None:
    source, target = database("sqlite"), database(kind)
    heap(source, [(name.format(n), "bad" if n == at else n) for n in range(20)])
    sink(target, "name text")
    copy = copied(source, target)
    assert copy.units[0].chunk_method == "rowid"
    there = sorted(target.query("SELECT name, n FROM items"))
    assert len(there) == 19
    if mended:
        source.run(f"UPDATE items SET n = {at} WHERE n = 'bad'")
    source.run("VACUUM")
    for _ in range(2):
        assert replay(copy) == (0, 0, 1)
        assert sorted(target.query("SELECT name, n FROM items")) == there
        (reject,) = listed(copy)
        assert "not found again" in reject.error
        assert "start the task fresh" in str(reject.message)
        assert reject.row == {"name": name.format(at), "n": "bad"}
    source.run(f"UPDATE items SET n = {at} WHERE n = 'bad'")
    copied(source, target)  # as the message says
    assert sorted(target.query("SELECT name, n FROM items")) == sorted(
        source.query("SELECT name, n FROM items")
    )
    assert listed(copy) == []


@TARGETS
def test_a_row_in_its_place_is_replayed_as_often_as_it_is_mended(
    database: Maker, kind: str
) -> None:
    source, target = database("sqlite"), database(kind)
    heap(source, [(f"row{n}", "bad" if n in (3, 4, 5) else n) for n in range(9)])
    sink(target, "name text")
    copy = copied(source, target)
    source.run(
        "UPDATE items SET n = 'worse' WHERE name = 'row3'",
        "UPDATE items SET n = 4 WHERE name = 'row4'",
        "DELETE FROM items WHERE name = 'row5'",
    )
    assert replay(copy) == (1, 0, 2)
    source.run("UPDATE items SET n = 3 WHERE name = 'row3'")
    assert replay(copy) == (1, 0, 1)
    assert sorted(target.query("SELECT name, n FROM items")) == sorted(
        source.query("SELECT name, n FROM items")
    )


@TARGETS
def test_a_row_that_was_not_changed_comes_in_once_the_target_takes_it(
    database: Maker, kind: str
) -> None:
    source, target = database("sqlite"), database(kind)
    heap(source, [("same", n % 4) for n in range(12)])
    target.run("CREATE TABLE items (name text, n bigint CHECK (n <> 3))")
    copy = copied(source, target)
    assert len(listed(copy)) == 3
    target.run("DROP TABLE items", "CREATE TABLE items (name text, n bigint)")
    target.insert("items", [("same", n % 4) for n in range(12) if n % 4 != 3])
    assert replay(copy) == (3, 0, 0)
    assert sorted(target.query("SELECT name, n FROM items")) == sorted(
        source.query("SELECT name, n FROM items")
    )


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_run_does_not_wait_for_a_replay_that_was_cut_off(database: Maker, dialect: str) -> None:
    source, target = database("sqlite"), database(dialect)
    for side in (source, target):
        side.run("CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY, v TEXT)")
    source.insert("items", [(1, "v")])
    copy = Copy(source, target, tables=["items"])
    cut_off = owner(run=replay_of("task"))
    jobs.claim(copy.target, cut_off, copy.units)
    with pytest.raises(TargetBusy, match="is held by run replay-task"):
        jobs.claim(copy.target, owner(store="another"), copy.units)
    assert copy.run() == {"items": 1}
    with (
        sessions.opened(copy.target, cut_off.application_name) as session,
        pytest.raises(FenceLost),  # it was not dead after all
    ):
        fence.compare(session, cut_off, copy.units)
