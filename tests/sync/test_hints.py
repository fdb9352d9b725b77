"""Each failed table says what was wrong, with which name or value, and what to do: from real runs."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed, InvalidConfig, TargetBusy
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, UnitState
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import snapshots, tasks
from syncmon_ext.store.store import Store
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.sessions import READER, connect
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker, database, dsn

__all__ = ["database"]

LONG = "n" * 70
KEY = "id INTEGER NOT NULL PRIMARY KEY"


def outcome(
    folder: Path, source: Database, target: Database, tables: list[Any], **spec: Any
) -> Progress:
    """How a run of a task ends, in a worker of its own."""
    toml = folder / "syncmon.toml"
    toml.write_text(
        f'[connections.flights]\nurl = "{source.connection.url}"\n'
        f'[connections.warehouse]\nurl = "{target.connection.url}"\n'
    )
    described = {"source": "flights", "target": "warehouse", "tables": tables, **spec}
    with closing(Store(f"sqlite:///{folder / 'store.db'}")) as store:
        catalog = Catalog(store, Configuration(toml))
        task = catalog.create("hinting", msgspec.convert(described, TaskSpec))
        TaskControl(store, catalog, Supervisor(store)).start("hinting")
        deadline = time.monotonic() + 60
        while True:
            with store.read() as connection:
                position = tasks.position(connection, "hinting")
                assert position is not None and position.run_id is not None
                progress = snapshots.run_progress(connection, task, position.run_id)
            assert progress is not None
            if progress.state in ENDED:
                return progress
            assert time.monotonic() < deadline, progress
            time.sleep(0.05)


class Case(NamedTuple):
    """A table that cannot be copied: what stands in the target, and what is said of it."""

    error: str
    hint: str
    target: str = ""
    spec: dict[str, Any] = {}  # noqa: RUF012  # never changed
    only: str = ""  # the dialect of the target, or of the source with "from "


CASES = {
    "no_table": Case(
        "no table gone in flights",
        "did you mean gone_by.* there is .*no_key",
        spec={"name": "gone"},
    ),
    "gone_by": Case("target table gone_by|column v is not in", "add it there", target=f"({KEY})"),
    "no_column": Case(
        "no column vv in no_column", "did you mean v.* there is id, v", spec={"columns": ["id", "vv"]}
    ),
    "no_key": Case("no column idd in no_key", "did you mean id", spec={"key": ["idd"]}),
    "no_filter": Case(
        "where: there is no column yeer", "did you mean year|there is id, v", spec={"where": {"yeer": 1}}
    ),
    "no_schema": Case(
        "target has no schema nowhere", "create it, or set target_schema",
        spec={"target_schema": "nowhere"}, only="postgresql",
    ),
    "no_schemas": Case(
        "target_schema: SQLite has no schemas", "leave it out",
        spec={"target_schema": "nowhere"}, only="sqlite",
    ),
    "no_source_schema": Case(
        "schema = 'nowhere': SQLite has no schemas", "leave it out",
        spec={"schema": "nowhere"}, only="from sqlite",
    ),
    "filled": Case(
        r"table (public\.)?filled.*(column \"v\" of relation \"filled\"|: filled\.v)",
        "fill column v in the source.*max_rejects",
        target=f"({KEY}, v TEXT NOT NULL)",
    ),
    "single": Case(
        r"table (public\.)?single.*(?i:unique).*(single_v_key|single\.v)",
        "merge.*(max_rejects|fresh start)",
        target=f"({KEY}, v TEXT UNIQUE)",
    ),
    "found_late": Case(
        r"(could not create unique index \"late_v\"|UNIQUE constraint failed: found_late\.v)",
        "make the rows unique.*(constraint late_v|rule). Rows that are mended .* --fresh",
        target=f"({KEY}, v TEXT); CREATE UNIQUE INDEX late_v ON found_late (v)",
    ),
    "checked": Case(
        r"table (public\.)?checked.*v_is_short",
        "correct the rows.*drop the target's (constraint v_is_short|rule)",
        target=f"({KEY}, v TEXT, CONSTRAINT v_is_short CHECK (length(v) < 4))",
    ),
    "refers": Case(
        r"table (public\.)?refers.*refers_v_fkey",
        "the rows point to rows that the target lacks",
        target=f"({KEY}, v TEXT REFERENCES words (v))",
        only="postgresql",
    ),
    "narrow": Case(
        r"column v.*(6 characters is not a text of at most 3 .*id = 2|character varying\(3\))",
        "correct the value|allow_lossy",
        target=f"({KEY}, v VARCHAR(3))",
        only="postgresql",
    ),
    "numbers": Case(
        r"column v.*(a text of 6 characters is not an integer.*id = 2|into (INTEGER|integer))",
        "correct the value|allow_lossy",
        target=f"({KEY}, v INTEGER)",
    ),
    "needs_more": Case(
        "target column w is NOT NULL without a default", "give it a default",
        target=f"({KEY}, v TEXT, w TEXT NOT NULL)",
    ),
    LONG: Case("longer than PostgreSQL's 63 bytes", "set target", only="postgresql"),
    "wide": Case(
        f"name of column {LONG} is longer than PostgreSQL's 63 bytes", "make a view", only="postgresql"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "route", ["sqlite-postgresql", "postgresql-sqlite", "postgresql-postgresql"]
)
def test_each_failed_table_says_what_is_wrong_and_what_to_do(
    database: Maker, tmp_path: Path, route: str
) -> None:
    dialects = route.split("-")
    source, target = map(database, dialects)
    cases = {
        name: case
        for name, case in CASES.items()
        if case.only in ("", dialects[1], f"from {dialects[0]}")
        and (dialects[0] == "sqlite" or name not in (LONG, "wide"))  # no such name can be there
    }
    target.run("CREATE TABLE words (v TEXT NOT NULL PRIMARY KEY)")
    for name, case in cases.items():
        columns = f'{KEY}, v TEXT, "{LONG}" TEXT' if name == "wide" else f"{KEY}, v TEXT"
        if name != "no_table":
            source.run(f"CREATE TABLE {name} ({columns})")
            rows = [(1, None), (2, "abcdef"), (3, "abcdef")]
            source.insert(name, [row + ("x",) * (name == "wide") for row in rows])
        if case.target:
            target.run(*f"CREATE TABLE {name} {case.target}".split("; "))
    source.run(f"CREATE TABLE sound ({KEY})")
    tables = [{"name": name, **case.spec} for name, case in cases.items()]
    progress = outcome(tmp_path, source, target, [*tables, "sound"])
    found = {unit.unit_id.rpartition(".")[2]: unit for unit in progress.units}
    assert found.pop("sound").state is UnitState.COMPLETED
    for name, case in cases.items():
        unit = found.pop(str(case.spec.get("name", name)))
        assert unit.state is UnitState.FAILED, unit
        told = f"{unit.error} -> {unit.hint}"
        assert re.search(case.error, unit.error or ""), told
        assert re.search(case.hint, unit.hint or ""), told
        assert "_syncmon_" not in told
    assert not found
    assert progress.hint


def test_table_of_another_schema_is_pointed_to(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE SCHEMA sales", f"CREATE TABLE sales.orders ({KEY})")
    # What another run is copying into this database at the moment is no table to be offered.
    source.run(f"CREATE TABLE _syncmon_stage_1 ({KEY})", f"CREATE TABLE orders_old ({KEY})")
    said = Copy(source, target, tables=["order"]).units[0].refusal
    assert said is not None and "orders_old" in said[1] and "_syncmon_" not in said[1]
    said = Copy(source, target, tables=["orders"]).units[0].refusal
    assert said is not None
    assert said[1] == 'there is one in schema sales: set schema = "sales"'
    empty = database("sqlite")
    said = Copy(empty, target, tables=["orders"]).units[0].refusal
    assert said == (
        f"no table orders in {empty.connection.name}",
        "there is no table at all: is it the right database, and may its user see them?",
    )


@pytest.mark.parametrize("part", ["database", "username"])
def test_database_or_role_that_is_not_there_is_not_waited_for(part: str, database: Maker) -> None:
    connection = database("postgresql").connection
    url = make_url(connection.url).set(**{part: "not_there"}).render_as_string(hide_password=False)
    with pytest.raises(InvalidConfig, match='"not_there" does not exist') as caught:
        connect(msgspec.structs.replace(connection, url=url), READER)
    assert caught.value.hint == "check user, password and database of the connection"


@pytest.mark.parametrize(
    ("rights", "error", "hint"),
    [
        ("", "permission denied for", "GRANT CREATE ON DATABASE .* TO clerk"),
        (
            "GRANT CREATE ON DATABASE {db} TO clerk",
            "permission denied for schema public",
            "GRANT USAGE, CREATE ON SCHEMA public TO clerk",
        ),
    ],
)
def test_missing_right_is_told_with_the_statement_that_gives_it(
    database: Maker, tmp_path: Path, rights: str, error: str, hint: str
) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY})")
    url = make_url(target.connection.url)
    with psycopg.connect(dsn("postgres"), autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS clerk")
        admin.execute("CREATE ROLE clerk LOGIN")
    try:
        if rights:
            target.run(rights.format(db=url.database))
        narrowed = msgspec.structs.replace(
            target.connection, url=url.set(username="clerk").render_as_string(hide_password=False)
        )
        progress = outcome(tmp_path, source, Database(narrowed), ["t"])
        told = [(progress.error, progress.hint), *((u.error, u.hint) for u in progress.units)]
        assert any(
            re.search(error, said or "") and re.search(hint, remedy or "") for said, remedy in told
        ), told
    finally:
        target.run("DROP OWNED BY clerk CASCADE", "DROP ROLE clerk")


def test_statement_for_a_sequence_gives_all_that_a_copy_needs(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (7, 'new')")
    url = make_url(target.connection.url)
    target.run(
        "CREATE TABLE t (id serial PRIMARY KEY, v text)",
        "CREATE ROLE clerk LOGIN",
        f"GRANT ALL ON DATABASE {url.database} TO clerk",
        "GRANT ALL ON SCHEMA public TO clerk",
        "GRANT ALL ON t TO clerk",
    )
    narrowed = msgspec.structs.replace(
        target.connection, url=url.set(username="clerk").render_as_string(hide_password=False)
    )
    try:
        copy = Copy(source, Database(narrowed), tables=["t"])
        with copy.claimed():
            copy.copy_all(copy.units[0], 10)
            with pytest.raises(CopyFailed, match="denied for sequence t_id_seq") as caught:
                copy.swap(copy.units[0])
            statement = (caught.value.hint or "").removeprefix("as its owner: ")
            assert statement == "GRANT USAGE, SELECT, UPDATE ON SEQUENCE t_id_seq TO clerk"
            target.run(statement)
            copy.swap(copy.units[0])
        target.run("INSERT INTO t (v) VALUES ('next')")
        assert target.query("SELECT id FROM t ORDER BY id") == [(7,), (8,)]
    finally:
        sessions.close_all()
        target.run("DROP OWNED BY clerk CASCADE", "DROP ROLE clerk")


def test_table_that_may_not_be_read_is_told_with_the_statement(
    database: Maker, tmp_path: Path
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        f"CREATE TABLE t ({KEY})", f"CREATE TABLE open_t ({KEY})", "CREATE ROLE reader LOGIN"
    )
    try:
        source.run("GRANT SELECT ON open_t TO reader")
        url = make_url(source.connection.url).set(username="reader")
        reading = msgspec.structs.replace(
            source.connection, url=url.render_as_string(hide_password=False)
        )
        progress = outcome(tmp_path, Database(reading), target, ["t", "open_t"])
        units = {unit.unit_id: unit for unit in progress.units}
        assert units["open_t"].state is UnitState.COMPLETED
        assert "permission denied for table t" in (units["t"].error or "")
        assert units["t"].hint == "as its owner: GRANT SELECT ON t TO reader"
    finally:
        source.run("DROP OWNED BY reader CASCADE", "DROP ROLE reader")


AUDITED = (  # as applications write them: no schema before a name
    "CREATE TABLE audit (id bigint)",
    "CREATE FUNCTION short(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN length($1) < 9; END'",
    "CREATE FUNCTION good(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN short($1); END'",
    f"CREATE TABLE t ({KEY}, v text CHECK (good(v)))",
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN INSERT INTO audit VALUES (coalesce(NEW.id, OLD.id)); RETURN coalesce(NEW, OLD); END $$",
)


@pytest.mark.parametrize(
    ("spec", "noted"),
    [
        ({}, [(1,), (7,)]),
        ({"mode": "append"}, [(1,)]),
        ({"mode": "append", "direct": True}, [(1,)]),
        ({"mode": "merge"}, [(1,)]),
        ({"mode": "merge", "max_rejects": 1}, [(1,)]),
    ],
)
def test_target_s_own_functions_find_their_names(
    database: Maker, spec: dict[str, Any], noted: list[Any]
) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY}, v TEXT)", "INSERT INTO t VALUES (1, 'a')")
    target.run(
        *AUDITED,
        "INSERT INTO t VALUES (7, 'old')",
        "CREATE TRIGGER n BEFORE INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()",
    )
    Copy(source, target, tables=["t"], **{"verify": "count", **spec}).run()
    assert sorted(target.query("SELECT id FROM audit")) == noted


def test_check_finds_its_names_in_a_table_that_is_renamed(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY}, v text)", "INSERT INTO t VALUES (1, 'a')")
    target.run(*AUDITED)
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "rename"
    copy.run()
    assert target.query("SELECT * FROM t") == [(1, "a")]


def test_function_that_does_not_find_its_names_is_told(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY}, v TEXT)", "INSERT INTO t VALUES (1, 'a')")
    target.run(
        *AUDITED,
        "CREATE TRIGGER n BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
        "DROP TABLE audit",
    )
    with pytest.raises(CopyFailed, match='relation "audit" does not exist') as caught:
        Copy(source, target, tables=["t"], mode="append").run()
    assert re.search(r"own function (public\.)?note\(\) says so", caught.value.hint), (
        caught.value.hint
    )


def test_merge_over_a_column_that_the_target_always_numbers_is_refused(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY}, n INTEGER)", "INSERT INTO t VALUES (1, 5)")
    always = "bigint GENERATED ALWAYS AS IDENTITY"
    target.run(
        f"CREATE TABLE t (id {always} PRIMARY KEY, n {always})", "INSERT INTO t DEFAULT VALUES"
    )
    said = Copy(source, target, tables=["t"], mode="merge").units[0].refusal
    assert said is not None
    assert "column n of target table t is GENERATED ALWAYS AS IDENTITY" in said[0]
    assert 'ALTER TABLE "t" ALTER "n" SET GENERATED BY DEFAULT' in said[1]
    target.run('ALTER TABLE "t" ALTER "n" SET GENERATED BY DEFAULT')
    Copy(source, target, tables=["t"], mode="merge").run()
    assert target.query("SELECT * FROM t") == [(1, 5)]


@pytest.mark.parametrize("made", [True, False])
def test_files_of_two_encodings_are_refused_and_of_one_are_copied(
    database: Maker, made: bool
) -> None:
    source, target = database("sqlite"), database("sqlite")
    utf16 = ("PRAGMA encoding = 'UTF-16le'", "CREATE TABLE first (a)")
    for db in (source, target):
        Path(db.path).unlink()
    at_once(source, *utf16)
    if made:
        at_once(target, "CREATE TABLE first (a)")
    source.run(f"CREATE TABLE t ({KEY}, v TEXT)", "INSERT INTO t VALUES (1, 'é😀')")
    said = Copy(source, target, tables=["t"]).units[0].refusal
    assert said is not None
    assert (
        "keeps its text in UTF-16le and the target in UTF-8" in said[0]
        and "encoding = 'UTF-16le'" in said[1]
    )
    sessions.close_all()
    Path(target.path).unlink(missing_ok=True)
    at_once(target, *utf16)
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t") == [(1, "é😀")]


def at_once(db: Database, *statements: str) -> None:
    with closing(sqlite3.connect(db.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_table_that_another_run_holds_is_told_with_the_way_out(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t ({KEY})")
    first = Copy(source, target, owner(run="first"), tables=["t"])
    second = Copy(source, target, owner(run="second"), tables=["t"])
    with (
        first.claimed(),
        pytest.raises(TargetBusy, match="held by run first of task task") as caught,
    ):
        jobs.claim(second.target, second.own, second.units)
    assert "jupyter syncmon stop task" in caught.value.hint
    assert f"doctor --clean {target.connection.name}" in caught.value.hint


@pytest.mark.parametrize("spec", [{}, {"verify": "hash"}], ids=["batch", "chunk"])
def test_source_whose_text_is_not_utf8_fails_at_once(
    database: Maker, tmp_path: Path, spec: dict[str, Any]
) -> None:
    name = "in_sql_ascii"
    with psycopg.connect(dsn("postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 "
            "LC_COLLATE 'C' LC_CTYPE 'C'".encode()
        )
    source = Database(Connection(name="ascii", url=dsn(name)))
    with psycopg.connect(source.connection.url, client_encoding="SQL_ASCII") as latin:
        latin.execute(f"CREATE TABLE t ({KEY}, v text)".encode())
        latin.execute(b"INSERT INTO t VALUES (1, 'plain'), (2, E'a\\xe9b')")
    progress = outcome(tmp_path, source, database("sqlite"), ["t"], **spec)
    (unit,) = progress.units
    assert re.search(r"table (public\.)?t, .*invalid byte sequence", unit.error or ""), unit.error
    assert unit.hint is not None and unit.hint.startswith("correct the text in the source")
    with psycopg.connect(dsn("postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
