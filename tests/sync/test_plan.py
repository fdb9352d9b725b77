"""The plan says how each table will be copied, and what is wrong with it, before a row moves."""

from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection, SecretReference
from syncmon_ext.model.errors import DatabaseUnavailable, InvalidConfig, SecretUnresolved
from syncmon_ext.model.plan import Plan
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.engine_url import masked
from syncmon_ext.sync.reflect.tables import reflect
from tests.faults.proxy import Cut, CuttingProxy
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

PARENTS = (
    "CREATE TABLE parent (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE child (id INTEGER NOT NULL PRIMARY KEY, up INTEGER REFERENCES parent (id))",
)


def errors(copy: Copy) -> list[str]:
    return [error for unit in copy.units for error in unit.errors]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("itens", "no table itens.*did you mean items"),
        ({"name": "items", "columns": ["id", "nothing"]}, "no column nothing.*id, v"),
        ({"name": "items", "where": {"nothing": 1}}, "no column nothing"),
        ({"name": "items", "where": {"id": {"like": 1}}}, "unknown operator 'like'"),
        ({"name": "items", "where": {"id": {"=": {}}}}, "not a value"),
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
def test_same_table_as_source_and_target_is_refused(database: Maker, dialect: str) -> None:
    source = database(dialect)
    source.run(*PARENTS)
    assert "holds rows that this task reads" in errors(Copy(source, source, tables=["parent"]))[0]
    table = {"name": "parent", "target": "twin"}
    assert errors(Copy(source, source, tables=[table])) == []
    Copy(source, source, tables=[table]).run()
    assert "twin" in source.tables()


def test_same_file_by_another_name_is_the_same(database: Maker, tmp_path: Path) -> None:
    source = database("sqlite")
    source.run(*PARENTS)
    path = Path(source.path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "hard.db").hardlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for other in ("link.db", "hard.db", f"folder/{path.name}", f"deep/../{path.name}"):
        connection = Connection(name="other", url=f"sqlite:///{tmp_path / other}")
        copy = Copy(source, Database(connection), tables=["parent"])
        assert "holds rows that this task reads" in errors(copy)[0], other


def test_same_database_by_another_address_is_the_same(database: Maker) -> None:
    source = database("postgresql")
    source.run("CREATE SCHEMA sales", "CREATE TABLE sales.t (id int PRIMARY KEY)")
    name = make_url(source.connection.url).database
    folder = source.query("SHOW unix_socket_directories")[0][0]
    proxy = CuttingProxy(f"{folder}/.s.PGSQL.5432", Cut(times=0))
    with closing(proxy):
        for host in ("127.0.0.1", "localhost"):
            url = f"postgresql://postgres@{host}:{proxy.port}/{name}?sslmode=disable"
            other = Database(Connection(name="other", url=url))
            table = {"name": "t", "schema": "sales"}
            assert (
                "holds rows that this task reads" in errors(Copy(source, other, tables=[table]))[0]
            )
            # The search path finds the same table without its schema's name.
            source.run(f"ALTER ROLE postgres IN DATABASE {name} SET search_path = sales")
            sessions.close_all()  # those that are open have the old one
            assert "holds rows that this task reads" in errors(Copy(source, other, tables=["t"]))[0]
            source.run(f"ALTER ROLE postgres IN DATABASE {name} RESET search_path")
            sessions.close_all()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_target_that_a_source_reads_through_a_view_is_refused(
    database: Maker, dialect: str
) -> None:
    source = database(dialect)
    source.run(
        *PARENTS,
        "CREATE VIEW several AS SELECT id FROM parent WHERE id > 1",
        "CREATE VIEW few AS SELECT id FROM several WHERE id > 2",
    )
    copy = Copy(source, source, tables=[{"name": "few", "target": "parent"}])
    assert "parent holds rows that this task reads as few" in errors(copy)[0]
    assert errors(Copy(source, source, tables=[{"name": "few", "target": "child2"}])) == []


def test_target_that_shares_partitions_with_a_source_is_refused(database: Maker) -> None:
    source = database("postgresql")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (1000)",
        "CREATE TABLE base (id int PRIMARY KEY)",
        "CREATE TABLE heir () INHERITS (base)",
    )
    for name, target in (("t", "t1"), ("t1", "t"), ("base", "heir")):
        copy = Copy(source, source, tables=[{"name": name, "target": target}])
        assert f"{target} holds rows that this task reads as {name}" in errors(copy)[0]
    assert errors(Copy(source, source, tables=[{"name": "t1", "target": "t2"}])) == []


def test_two_tables_into_one_are_refused(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(*PARENTS)
    copy = Copy(source, target, tables=["parent", {"name": "child", "target": "PARENT"}])
    assert all("two tables of this task go to" in error for error in errors(copy))
    assert len(errors(copy)) == 2


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


def test_what_hangs_on_a_table_is_named_and_survives(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(n, "new") for n in range(10)])
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t VALUES (100, 'old')",
        "CREATE INDEX by_v ON t (v)",
    )
    assert Copy(source, target, tables=["t"]).units[0].swap == "rename"
    target.run(
        "CREATE VIEW seen AS SELECT v FROM t",
        "CREATE MATERIALIZED VIEW kept AS SELECT v FROM t",
        "CREATE TABLE inbound (t int REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE POLICY mine ON t USING (true)",
        "CREATE PUBLICATION pub FOR TABLE t",
        "GRANT SELECT ON t TO PUBLIC",
    )
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "move"
    for part in ("view seen", "materialised view kept", "policy mine", "publication pub", "grants"):
        assert part in copy.units[0].swap_reason
    oid = target.query("SELECT 't'::regclass::oid")
    copy.run()
    assert target.query("SELECT 't'::regclass::oid") == oid
    assert sorted(target.query("SELECT * FROM seen")) == [("new",)] * 10
    assert target.query("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_v'") == [(1,)]


def test_view_made_after_the_plan_still_survives(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    source.insert("t", [(1,), (2,)])
    target.run("CREATE TABLE t (id int PRIMARY KEY)")
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "rename"
    target.run("CREATE VIEW seen AS SELECT id FROM t")
    copy.run()
    assert sorted(target.query("SELECT * FROM seen")) == [(1,), (2,)]


def test_cascading_foreign_key_of_another_table_is_refused(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE TABLE other (t int REFERENCES t (id) ON DELETE CASCADE)",
    )
    assert "other (CASCADE)" in errors(Copy(source, target, tables=["t"]))[0]


def test_identity_and_serial_go_on_after_the_copied_rows(database: Maker) -> None:
    source = database("postgresql")
    source.run(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, v text, "
        "g text GENERATED ALWAYS AS (upper(v)) STORED)",
        "INSERT INTO t (v) SELECT 'v' || n FROM generate_series(1, 30) n",
    )
    for existing in (False, True):
        target = database("postgresql")
        if existing:
            target.run(
                "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, v text, "
                "g text GENERATED ALWAYS AS (upper(v)) STORED)"
            )
        Copy(source, target, tables=["t"]).run(7)
        target.run("INSERT INTO t (v) VALUES ('next')")
        assert target.query("SELECT id, s, g FROM t ORDER BY id DESC LIMIT 1") == [(31, 31, "NEXT")]
        assert target.query("SELECT * FROM t WHERE id < 31 ORDER BY id") == source.query(
            "SELECT * FROM t ORDER BY id"
        )


def test_indexes_triggers_and_autoincrement_of_sqlite_survive(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT COLLATE NOCASE UNIQUE, "
        "CHECK (v <> 'x'))",
        "CREATE INDEX half ON t (v DESC) WHERE v > 'a'",
        "CREATE INDEX [odd name] ON t (lower(v))",
    )
    source.insert("t", [(n, f"v{n}") for n in range(1, 20)])
    for run in ("first", "second"):
        Copy(source, target, owner(run=run), tables=["t"]).run(5)
        if run == "first":
            target.run(
                "CREATE TRIGGER no_delete BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        shape = (
            "SELECT type, name, substr(sql, instr(sql, '(')) FROM sqlite_schema "
            "WHERE name NOT LIKE '%syncmon%' AND type <> 'trigger'"
        )
        assert set(target.query(shape)) == set(source.query(shape))
        with pytest.raises(Exception, match="no"):
            target.run("DELETE FROM t")
    target.run("INSERT INTO t (v) VALUES ('z')")
    assert target.query("SELECT max(id) FROM t") == [(20,)]


def test_partitioned_tables_are_read_and_filled(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        db.run(
            "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (1000)",
        )
    source.insert("t", [(n, "new") for n in range(100)])
    target.insert("t", [(n, "old") for n in range(200)])
    Copy(source, target, tables=["t"]).run(30)
    assert target.query("SELECT * FROM t ORDER BY id") == [(n, "new") for n in range(100)]
    assert target.query("SELECT count(*) FROM t1") == [(50,)]


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


def test_urls_are_shown_without_their_secrets() -> None:
    assert masked("postgresql://me:hunter2@host/db?sslpassword=hunter2&sslmode=require") == (
        "postgresql://me:***@host/db?sslmode=require&sslpassword=%2A%2A%2A"
    )
    assert "hunter2" not in masked("not a url with hunter2")
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
