"""Batches: small tables that are made, filled and put in place by one job and one transaction."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncmon_ext.model.errors import FenceLost
from syncmon_ext.sync import batch_copy, jobs
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.results import BatchResult
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

DIALECTS = ("sqlite", "postgresql")
ROWS = {"a": 3, "b": 0, "c": 40}


def fill(db: Database, rows: dict[str, int] = ROWS) -> None:
    for table, count in rows.items():
        db.run(
            f"CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, v VARCHAR(20))",
            f"CREATE INDEX {table}_v ON {table} (v)",
        )
        db.insert(table, [(n, f"{table} {n}") for n in range(count)])


def copy_of(source: Database, target: Database, **spec: Any) -> Copy:
    return Copy(source, target, **{"tables": list(ROWS), "verify": "count", **spec})


def batch(copy: Copy, rows: int = 100) -> BatchResult:
    return jobs.batch(copy.source, copy.target, copy.own, copy.units, rows, copy.snapshot)


def placed(result: BatchResult) -> dict[str, int]:
    return {unit_id: chunk.rows for unit_id, chunk in result.placed}


def content(db: Database, table: str) -> list[Any]:
    return sorted(db.query(f"SELECT id, v FROM {table}"))


def tables(db: Database) -> set[str]:
    """All tables but syncmon's records: a staging table would be a remnant."""
    ask = (
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
        if db.dialect == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    names = {str(row[0]) for row in db.query(ask)}
    return {name for name in names if not name.startswith("_syncmon_") or "stage" in name}


@pytest.mark.parametrize("old", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("target_dialect", DIALECTS)
@pytest.mark.parametrize("source_dialect", DIALECTS)
def test_batch_puts_tables_in_place_with_their_keys(
    database: Maker, source_dialect: str, target_dialect: str, old: bool
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    fill(source)
    if old:
        fill(target, dict.fromkeys(ROWS, 7))
    copy = copy_of(source, target)
    with copy.claimed():
        result = batch(copy)
        assert placed(result) == ROWS
        assert result.alone == []
        # The target's own record says so to whoever comes next.
        for unit in copy.units:
            mark = copy.prepare(unit)
            assert mark.swapped
            assert (mark.rows_swapped, mark.chunks_committed) == (ROWS[unit.unit_id], 1)
        again = batch(copy)
        assert (again.placed, sorted(again.alone)) == ([], sorted(ROWS))
    jobs.forget(copy.target, copy.own, copy.units)
    for table in ROWS:
        assert content(source, table) == content(target, table)
        with pytest.raises(Exception, match=r"(?i)unique|null"):
            target.run(f"INSERT INTO {table} (id, v) VALUES (1, 'x'), (1, 'y')")
    assert tables(target) == set(ROWS)
    indexes = Copy(target, database("sqlite"), tables=list(ROWS)).units
    assert {index.name for unit in indexes for index in unit.indexes if not index.primary} == {
        f"{table}_v" for table in ROWS
    }


@pytest.mark.parametrize("target_dialect", DIALECTS)
def test_table_that_fails_is_undone_alone(database: Maker, target_dialect: str) -> None:
    source, target = database("postgresql"), database(target_dialect)
    fill(source)
    copy = copy_of(source, target)
    target.run("CREATE TABLE b (somebody_else INTEGER)")
    with copy.claimed():
        first = batch(copy)
        assert (placed(first), first.alone) == ({"a": 3}, ["b"])
        last = jobs.batch(copy.source, copy.target, copy.own, copy.units[2:], 100, copy.snapshot)
        assert (placed(last), last.alone) == ({"c": 40}, [])
        assert not copy.prepare(copy.units[1]).swapped
    assert content(target, "a") == content(source, "a")
    assert target.query("SELECT somebody_else FROM b") == []


def test_table_that_is_refused_amid_its_rows_fails_alone(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    fill(source, {"a": 3, "b": 20_000})
    source.run("UPDATE b SET v = NULL WHERE id = 0", "CLUSTER b USING b_pkey")
    target.run("CREATE TABLE b (id INTEGER NOT NULL PRIMARY KEY, v VARCHAR(20) NOT NULL)")
    copy = copy_of(source, target, tables=["a", "b"])
    with copy.claimed():
        first = batch(copy, 50_000)
        assert (first.placed, first.alone) == ([], ["b"])
        left = [unit for unit in copy.units if unit.unit_id == "a"]
        second = jobs.batch(copy.source, copy.target, copy.own, left, 50_000, copy.snapshot)
        assert placed(second) == {"a": 3}
    assert content(target, "a") == content(source, "a")


@pytest.mark.parametrize("target_dialect", DIALECTS)
@pytest.mark.parametrize("source_dialect", DIALECTS)
def test_table_that_has_grown_is_left_to_the_longer_way(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    fill(source)
    copy = copy_of(source, target)
    with copy.claimed():
        result = batch(copy, rows=39)
        assert (placed(result), result.alone) == ({"a": 3, "b": 0}, ["c"])
    assert tables(target) == {"a", "b"}


def test_what_hangs_on_a_table_by_now_is_not_lost(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    fill(source)
    fill(target, dict.fromkeys(ROWS, 7))
    copy = copy_of(source, target)
    assert {unit.swap for unit in copy.units} == {"rename"}
    target.run("CREATE VIEW seen AS SELECT v FROM c")
    with copy.claimed():
        result = batch(copy)
        assert (placed(result), result.alone) == ({"a": 3, "b": 0}, ["c"])
    assert target.query("SELECT count(*) FROM seen") == [(7,)]
    assert tables(target) == set(ROWS)


@pytest.mark.parametrize("target_dialect", DIALECTS)
def test_table_that_somebody_holds_does_not_hold_the_others(
    database: Maker, target_dialect: str
) -> None:
    source, target = database("postgresql"), database(target_dialect)
    fill(source)
    copy = copy_of(source, target)
    with copy.claimed(), psycopg.connect(source.connection.url) as somebody:
        somebody.execute("LOCK TABLE b IN ACCESS EXCLUSIVE MODE")
        result = batch(copy)
        assert (placed(result), sorted(result.alone)) == ({}, sorted(ROWS))
    assert tables(target) == set()


def test_target_that_somebody_reads_does_not_hold_the_others(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    fill(source)
    fill(target, dict.fromkeys(ROWS, 7))
    copy = copy_of(source, target)
    with copy.claimed(), psycopg.connect(target.connection.url) as somebody:
        somebody.execute("SELECT * FROM b")
        result = batch(copy)
        assert (placed(result), result.alone) == ({"a": 3, "c": 40}, ["b"])
        assert tables(target) == set(ROWS)


@pytest.mark.parametrize("target_dialect", DIALECTS)
def test_batch_ends_in_time(
    database: Maker, target_dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = database("sqlite"), database(target_dialect)
    fill(source)
    copy = copy_of(source, target)
    monkeypatch.setattr(batch_copy, "BATCH_SECONDS", 0.0)
    with copy.claimed():
        result = batch(copy)
        assert (placed(result), result.alone) == ({"a": 3}, [])
    assert tables(target) == {"a"}


@pytest.mark.parametrize("target_dialect", DIALECTS)
def test_batch_of_an_older_owner_changes_nothing(database: Maker, target_dialect: str) -> None:
    source, target = database("sqlite"), database(target_dialect)
    fill(source)
    copy = copy_of(source, target)
    with copy.claimed():
        jobs.claim(copy.target, owner(token=2), copy.units)
        sessions.close_all()  # the connections of the older owner were ended
        with pytest.raises(FenceLost):
            batch(copy)
    assert tables(target) == set()


@pytest.mark.parametrize("width", [20, 1000])
def test_refused_row_in_the_middle_of_a_copy_is_no_outage(database: Maker, width: int) -> None:
    source, target = database("postgresql"), database("sqlite")
    for table in ("a", "b"):
        source.run(
            f"CREATE TABLE {table} (id int PRIMARY KEY, v text)",
            f"INSERT INTO {table} SELECT n, repeat('x', {width}) FROM generate_series(1, 3000) n",
        )
    source.run("UPDATE b SET v = NULL WHERE id = 5")
    target.run("CREATE TABLE b (id INTEGER NOT NULL PRIMARY KEY, v TEXT NOT NULL)")
    copy = copy_of(source, target, tables=["a", "b"])
    with copy.claimed():
        result = batch(copy, 5000)
        there = (
            {"a": 3000} if width < 100 else {}
        )  # else the rest of the COPY is too long to be read
        assert (placed(result), result.alone) == (there, ["b"])
