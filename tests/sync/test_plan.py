"""The plan says how each table will be copied, and what is wrong with it, before a row moves."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.connection import Connection, SecretReference
from syncmon_ext.model.errors import DatabaseUnavailable, InvalidConfig, SecretUnresolved
from syncmon_ext.model.plan import Plan
from syncmon_ext.sync import jobs
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import PARENTS, Maker


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("itens", "no table itens.*did you mean items"),
        ({"name": "items", "columns": ["id", "nothing"]}, "no column nothing.*id, v"),
        ({"name": "items", "where": {"nothing": 1}}, "no column nothing"),
        ({"name": "items", "where": {"id": {"like": 1}}}, "unknown operator 'like'"),
        ({"name": "items", "where": {"id": {"=": {}}}}, "not a value"),
        ({"name": "items", "where": {"id": {">=": None}}}, "no value is >= null"),
        ({"name": "items", "key": ["v"]}, r"key = \[v\] cannot cut items.*use key = \[id\]"),
        ({"name": "items", "target": "_syncmon_x"}, "reserved"),
        ({"name": "items", "target_schema": "nowhere"}, "no schema|nowhere"),
    ],
)
def test_bad_table_is_an_error_of_its_own_unit(
    database: Maker, dialect: str, table: Any, said: str
) -> None:
    source, target = database(dialect), database(dialect)
    source.run("CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY, v TEXT)", *PARENTS)
    copy = Copy(source, target, tables=[table, "parent"])
    by_id = {unit.unit_id: unit for unit in copy.units}
    assert by_id["parent"].errors == []
    bad = next(unit for unit in copy.units if unit.unit_id != "parent")

    assert any(re.search(said, error) for error in bad.errors), bad.errors


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_tables_are_ordered_and_tied_by_foreign_keys(database: Maker, dialect: str) -> None:
    source, target = database(dialect), database(dialect)
    source.run(*PARENTS)
    source.insert("parent", [(n,) for n in range(5)])
    source.insert("child", [(n, n % 5) for n in range(20)])
    copy = Copy(source, target, tables=["child", "parent"])
    assert [unit.unit_id for unit in copy.units] == ["parent", "child"]
    assert copy.units[1].depends_on == ["parent"] and copy.units[1].tied_to == []
    copy.run()
    again = Copy(source, target, owner(run="second"), tables=["child", "parent"])
    assert again.units[1].tied_to == ["parent"]
    source.run("DELETE FROM child WHERE up = 4", "DELETE FROM parent WHERE id = 4")
    again.run()
    assert sorted(target.query("SELECT id, up FROM child")) == sorted(
        source.query("SELECT id, up FROM child")
    )
    assert len(target.query("SELECT id FROM parent")) == 4


def test_foreign_keys_are_made_in_postgresql(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(*PARENTS)
    Copy(source, target, tables=["child", "parent"]).run()
    with pytest.raises(Exception, match="foreign key"):
        target.insert("child", [(1, 99)])


def test_schemas_are_told_apart(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE SCHEMA a", 'CREATE SCHEMA "B c"')
    target.run("CREATE SCHEMA a")
    source.run("CREATE TABLE a.t (id int PRIMARY KEY)", 'CREATE TABLE "B c".t (id int PRIMARY KEY)')
    source.insert("a.t", [(1,)])
    source.insert('"B c".t', [(2,)])
    tables = [
        {"name": "t", "schema": "a"},
        {"name": "t", "schema": "B c", "target_schema": "public"},
    ]
    Copy(source, target, tables=tables).run()
    assert target.query("SELECT * FROM a.t") == [(1,)]
    assert target.query("SELECT * FROM public.t") == [(2,)]


def test_plan_is_the_same_after_it_was_carried_out(database: Maker) -> None:
    for pair in (("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")):
        source, target = map(database, pair)
        source.run(*PARENTS)
        first = Copy(source, target, tables=["child", "parent"])
        first.run()
        second = Copy(source, target, owner(run="second"), tables=["child", "parent"])
        assert second.plan.fingerprint == first.plan.fingerprint
        source.run("ALTER TABLE parent ADD COLUMN more TEXT")
        third = Copy(source, target, tables=["child", "parent"])
        assert third.plan.fingerprint != first.plan.fingerprint


def test_plan_travels_as_json(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(*PARENTS)
    plan = Copy(source, target, tables=["child", "parent"]).plan
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_missing_databases_say_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Connection(name="gone", url=f"sqlite:///{tmp_path}/gone.db")
    assert not (check := jobs.test_connection(missing)).ok
    assert "gone.db" in check.message
    assert not (tmp_path / "gone.db").exists()
    (tmp_path / "text.db").write_text("this is no database, whatever its name says" * 100)
    text = jobs.test_connection(Connection(name="x", url=f"sqlite:///{tmp_path}/text.db"))
    assert not text.ok and "not a SQLite database" in text.message
    closed = Connection(name="down", url="postgresql://me@127.0.0.1:1/nothing")
    check = jobs.test_connection(closed)
    assert not check.ok and check.seconds < 10
    with pytest.raises(DatabaseUnavailable), jobs.hold_snapshot(closed):
        pass
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    secret = Connection(
        name="secret", url=closed.url, password=SecretReference(env="NO_SUCH_PASSWORD")
    )
    with pytest.raises(SecretUnresolved, match="NO_SUCH_PASSWORD"), jobs.hold_snapshot(secret):
        pass


def test_url_that_cannot_be_understood_is_not_repeated() -> None:
    with pytest.raises(InvalidConfig) as refused:
        jobs.engine_url.parsed(Connection(name="x", url="::hunter2"))
    assert "hunter2" not in str(refused.value)


def test_many_tables_keep_their_order(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    names = [f"t{n}" for n in range(300)]
    source.run(*(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)" for name in names))
    copy = Copy(source, target, tables=names)
    assert [unit.unit_id for unit in copy.units] == names and errors(copy) == []


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("mode", "table", "said"),
    [
        ("merge", "loose", "no key to merge by; add key"),
        ("merge", {"name": "loose", "key": ["v"]}, "key column v may be NULL"),
        ("merge", {"name": "loose", "key": ["w"]}, "there is no column w"),
        ("merge", {"name": "items", "columns": ["v"]}, "key column id is not copied"),
        ("merge", {"name": "items", "target": "bare"}, r"no unique index on \(id\)"),
        ("incremental", {"name": "items", "cursor": "w"}, "cursor: there is no column w.*id, v"),
    ],
)
def test_what_cannot_be_merged_is_said_by_the_plan(
    database: Maker, dialect: str, mode: str, table: Any, said: str
) -> None:
    source, target = database(dialect), database(dialect)
    source.run(
        "CREATE TABLE items (id INTEGER NOT NULL PRIMARY KEY, v TEXT)",
        "CREATE TABLE loose (v TEXT)",
    )
    target.run("CREATE TABLE bare (id INTEGER NOT NULL, v TEXT)")
    copy = Copy(source, target, mode=mode, tables=[table])
    assert any(re.search(said, error) for error in errors(copy)), errors(copy)


def test_cursor_must_grow(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id int PRIMARY KEY, b jsonb, note text)")
    copy = Copy(source, target, mode="incremental", tables=[{"name": "t", "cursor": "b"}])
    assert "does not grow with time" in errors(copy)[0]
    lagging = Copy(
        source, target, mode="incremental", tables=[{"name": "t", "cursor": "note"}], lag_seconds=5
    )
    assert "lag_seconds needs a time or a number" in errors(lagging)[0]


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
def test_partitioned_source_without_a_key_is_one_chunk(
    database: Maker, target_dialect: str
) -> None:
    source, target = database("postgresql"), database(target_dialect)
    source.run(
        "CREATE TABLE parts (y int, v text) PARTITION BY LIST (y)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
        "CREATE TABLE parts_rest PARTITION OF parts DEFAULT",
    )
    rows = [(n % 4 or None, f"v{n}") for n in range(100)]
    source.insert("parts", rows)
    copy = Copy(source, target, tables=["parts"])
    assert copy.units[0].chunk_method == "whole"
    assert any("copied as one chunk" in warning for warning in copy.units[0].warnings)
    with copy.claimed():
        assert copy.prepare(copy.units[0]).rows_total == 100
        copy.copy_all(copy.units[0], 10)
        copy.swap(copy.units[0])
    assert sorted(map(repr, target.query("SELECT y, v FROM parts"))) == sorted(map(repr, rows))
