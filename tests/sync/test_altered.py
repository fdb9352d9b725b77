"""Columns that get another type after the plan was made: no value may travel as one of the old type."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs, replaying
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

# All that another type of four bytes would be, where bytes pass as they are.
INTEGERS = "CREATE TABLE t (id bigint PRIMARY KEY, v integer)"
MODES: dict[str, dict[str, Any]] = {
    "replace": {"mode": "replace"},
    "append": {"mode": "append"},
    "merge": {"mode": "merge"},
    "direct": {"mode": "append", "direct": True},
}


def pair(database: Maker, table: str, *values: str) -> tuple[Database, Database]:
    source, target = database("postgresql"), database("postgresql")
    for side in (source, target):
        side.run(table)
    for number, value in enumerate(values):
        source.run(f"INSERT INTO t VALUES ({number}, {value})")
    return source, target


@pytest.mark.parametrize("spec", MODES.values(), ids=MODES)
def test_target_that_was_altered_before_its_turn_is_refused(
    database: Maker, spec: dict[str, Any]
) -> None:
    source, target = pair(database, INTEGERS, "5", "1075838976")
    copy = Copy(source, target, tables=["t"], verify="count", **spec)
    target.run("ALTER TABLE t ALTER v TYPE real")
    with (
        copy.claimed(),
        pytest.raises(CopyFailed, match=r"v was integer .* and is real now") as error,
    ):
        copy.copy_all(copy.units[0], 10)
    assert "fresh" in error.value.hint
    assert target.query("SELECT * FROM t") == []
    jobs.discard(copy.target, copy.own, copy.units)
    again = Copy(source, target, owner(run="again"), tables=["t"], mode="append")
    assert "integer into real" in errors(again)[0]


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
@pytest.mark.parametrize(
    ("kind", "other", "value"),
    [("numeric", "numeric(10,1)", "1.25"), ("timestamp", "date", "'2020-01-01 10:00'")],
)
def test_target_that_was_altered_before_the_swap_is_refused(
    database: Maker, mode: str, kind: str, other: str, value: str
) -> None:
    source, target = pair(database, f"CREATE TABLE t (id bigint PRIMARY KEY, v {kind})", value)
    copy = Copy(source, target, tables=["t"], mode=mode)
    with copy.claimed():
        copy.copy_all(copy.units[0], 10)
        target.run(f"ALTER TABLE t ALTER v TYPE {other}")
        with pytest.raises(CopyFailed, match="column v was"):
            copy.swap(*copy.units)
    assert target.query("SELECT * FROM t") == []


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
def test_sqlite_target_that_was_made_anew_with_another_type_is_refused(
    database: Maker, dialect: str, mode: str
) -> None:
    source, target = database(dialect), database("sqlite")
    for side in (source, target):
        side.run("CREATE TABLE t (id integer NOT NULL PRIMARY KEY, v text)")
    source.run("INSERT INTO t VALUES (1, '007'), (2, '1e3')")
    copy = Copy(source, target, tables=["t"], mode=mode)
    with copy.claimed():
        copy.copy_all(copy.units[0], 10)
        target.run("DROP TABLE t", "CREATE TABLE t (id integer NOT NULL PRIMARY KEY, v integer)")
        with pytest.raises(CopyFailed, match=r"column v was TEXT .* is INTEGER now"):
            copy.swap(*copy.units)
    assert target.query("SELECT * FROM t") == []


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
def test_source_that_was_altered_before_its_turn_is_refused(
    database: Maker, target_dialect: str
) -> None:
    source, target = database("postgresql"), database(target_dialect)
    source.run(INTEGERS, "INSERT INTO t VALUES (1, 5)")
    copy = Copy(source, target, tables=["t"], verify="count")
    source.run("ALTER TABLE t ALTER v TYPE real USING 3.5")
    with (
        copy.claimed(),
        pytest.raises(CopyFailed, match=r"source: column v was integer .* real now"),
    ):
        copy.copy_all(copy.units[0], 10)


def test_source_that_is_altered_between_chunks_without_a_snapshot_is_refused(
    database: Maker,
) -> None:
    source, target = pair(database, INTEGERS, "5", "6", "7")
    copy = Copy(source, target, tables=["t"], verify="count", consistency="chunk")
    unit = copy.units[0]
    jobs.claim(copy.target, copy.own, copy.units)
    first, second, _ = copy.chunks(unit, copy.prepare(unit), 1)
    copy.copy(unit, first)
    source.run("ALTER TABLE t ALTER v TYPE real USING 3.5")
    with pytest.raises(CopyFailed, match=r"source: column v was integer .* real now"):
        copy.copy(unit, second)


def test_direct_target_that_is_altered_between_chunks_is_refused(database: Maker) -> None:
    source, target = pair(
        database, "CREATE TABLE t (id bigint PRIMARY KEY, v numeric)", "1", "2.55"
    )
    copy = Copy(source, target, tables=["t"], mode="append", direct=True)
    unit = copy.units[0]
    with copy.claimed():
        first, second = copy.chunks(unit, copy.prepare(unit), 1)
        copy.copy(unit, first)
        target.run("ALTER TABLE t ALTER v TYPE numeric(10,1)")
        with pytest.raises(CopyFailed, match="column v was numeric"):
            copy.copy(unit, second)
    assert target.query("SELECT id FROM t") == [(0,)]


def test_small_tables_are_looked_at_in_a_batch_too(database: Maker) -> None:
    source, target = pair(database, INTEGERS, "5")
    for side in (source, target):
        side.run("CREATE TABLE u (id bigint PRIMARY KEY, v integer)")
    copy = Copy(source, target, tables=["t", "u"], verify="count")
    target.run("ALTER TABLE t ALTER v TYPE real")
    with copy.claimed():
        arguments = (copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
        with pytest.raises(CopyFailed, match="column v was integer"):
            jobs.batch(*arguments)
    assert target.query("SELECT * FROM t") == []


@pytest.mark.parametrize("side", ["source", "target"])
def test_replay_into_or_out_of_an_altered_table_is_refused(database: Maker, side: str) -> None:
    source, target = pair(database, INTEGERS, "5", "-1")
    target.run("ALTER TABLE t ADD CHECK (v > 0)")
    copy = Copy(source, target, tables=["t"], mode="append", max_rejects=5)
    copy.run()
    source.run("UPDATE t SET v = 1075838976 WHERE id = 1")
    {"source": source, "target": target}[side].run("ALTER TABLE t ALTER v TYPE real")
    with pytest.raises(CopyFailed, match=f"{side}: column v was integer"):
        replaying.replayed(copy.source, copy.target, "store1", "task", copy.units, 20)
    assert target.query("SELECT id FROM t") == [(0,)]
    assert replaying.listed(copy.target, "store1", "task", 10).total == 1


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("spec", MODES.values(), ids=MODES)
def test_target_whose_enum_got_another_label_before_the_swap_is_refused(
    database: Maker, spec: dict[str, Any], there: bool
) -> None:
    source, target = database("postgresql"), database("postgresql")
    for side in (source, target) if there else (source,):
        side.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        side.run("CREATE TABLE t (id bigint PRIMARY KEY, v mood[])")
    if not there:
        target.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    source.run("INSERT INTO t VALUES (1, '{sad}'), (2, '{glad}'), (3, '{sad}')")
    copy = Copy(source, target, tables=["t"], **{"verify": "count", **spec})
    unit = copy.units[0]
    with copy.claimed():
        first, *others = copy.chunks(unit, copy.prepare(unit), 1)
        copy.copy(unit, first)
        target.run("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
        target.run("ALTER TYPE mood ADD VALUE 'sad'")  # or the next chunk is refused
        assert not copy.prepare(unit).restarted  # as where it is resumed
        for chunk in others:
            copy.copy(unit, chunk)
        with pytest.raises(CopyFailed, match="a label of an enum was renamed") as error:
            copy.swap(unit)
        assert "start the task fresh" in error.value.hint
    if not spec.get("direct") and there:
        assert target.query("SELECT * FROM t") == []


def test_target_whose_enum_got_one_more_label_is_not_refused(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for side in (source, target):
        side.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        side.run("CREATE TABLE t (id bigint PRIMARY KEY, v mood)")
    source.run("INSERT INTO t VALUES (1, 'sad')")
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        copy.copy_all(copy.units[0], 10)
        target.run("ALTER TYPE mood ADD VALUE 'mad' BEFORE 'glad'")
        copy.swap(*copy.units)
    assert target.query("SELECT id, v::text FROM t") == [(1, "sad")]


def test_column_that_got_no_other_type_is_not_refused(database: Maker) -> None:
    source, target = pair(database, INTEGERS, "5")
    copy = Copy(source, target, tables=["t"], mode="append")
    with copy.claimed():
        copy.copy_all(copy.units[0], 10)
        target.run("ALTER TABLE t ADD more integer", "ALTER TABLE t ALTER v SET DEFAULT 3")
        copy.swap(*copy.units)
    assert target.query("SELECT * FROM t") == [(0, 5, None)]


@pytest.mark.parametrize("spec", MODES.values(), ids=MODES)
@pytest.mark.parametrize("moved", [False, True])
def test_types_with_a_schema_are_the_same_ones_wherever_they_are_looked_at(
    database: Maker, spec: dict[str, Any], moved: bool
) -> None:
    source, target = database("postgresql"), database("postgresql")
    for side in (source, target):
        side.run(
            "CREATE TYPE mood AS ENUM ('sad', 'glad')",
            "CREATE DOMAIN whole AS numeric(9, 2)",
            "CREATE TABLE t (id bigint PRIMARY KEY, v mood, w whole[])",
        )
    source.run("INSERT INTO t VALUES (1, 'sad', '{1.50}'), (2, 'glad', NULL)")
    if moved:
        target.run("CREATE VIEW seen AS SELECT v FROM t")
    Copy(source, target, tables=["t"], **spec).run(1)
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("kind", "other", "value"),
    [("INTEGER", "TEXT", "'007'"), ("TEXT", "INTEGER", "7"), ("REAL", "INTEGER", str(2**53 + 1))],
)
def test_sqlite_source_that_was_made_anew_with_another_type_is_refused(
    database: Maker, there: bool, kind: str, other: str, value: str
) -> None:
    source, target = database("sqlite"), database("sqlite")
    made = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {})"
    for side in (source, target) if there else (source,):
        side.run(made.format(kind))
    source.run("INSERT INTO t (id) VALUES (1), (2)")
    anew = ["DROP TABLE t", made.format(other), f"INSERT INTO t VALUES (1, {value}), (2, {value})"]
    for begun in (False, True):
        copy = Copy(source, target, owner(run=f"run{begun}"), tables=["t"], verify="count")
        unit = copy.units[0]
        with copy.claimed():
            if begun:
                first, second = copy.chunks(unit, copy.prepare(unit), 1)
                copy.copy(unit, first)
            source.run(*anew)
            with pytest.raises(CopyFailed, match=rf"column v was {kind} .* and is {other} now"):
                if begun:
                    copy.copy(unit, second)
                else:
                    copy.prepare(unit)
        jobs.discard(copy.target, copy.own, copy.units)
        source.run("DROP TABLE t", made.format(kind), "INSERT INTO t (id) VALUES (1), (2)")


def test_sqlite_source_is_looked_at_in_a_batch_too(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v INTEGER)")
    copy = Copy(source, target, tables=["t"], verify="count")
    source.run("DROP TABLE t", "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, V TEXT)")
    source.run("INSERT INTO t VALUES (1, '007')")
    with copy.claimed(), pytest.raises(CopyFailed, match="column v was INTEGER"):
        jobs.batch(copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
