"""Settings of a role or a database: they change no value, and what a target computes goes by its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

FELT = r"""
CREATE FUNCTION felt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.day := NEW.written::date;
    NEW.felt := concat_ws('|', now()::timestamptz(0) - now()::timestamptz(0)::timestamp, 'a\\b',
                          decode('00ff', 'hex'), interval '1 day 2 hours', NEW.written::date);
    RETURN NEW;
END $$
"""


def configured(db: Database, **settings: str) -> None:
    """Give the database settings of its own."""
    name = db.query("SELECT current_database()")[0][0]
    db.run(*(f"ALTER DATABASE {name} SET {key} = '{value}'" for key, value in settings.items()))


@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_triggers_and_defaults_go_by_the_settings_of_the_target(database: Maker, mode: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    configured(
        target,
        TimeZone="Pacific/Kiritimati",
        DateStyle="SQL, DMY",
        IntervalStyle="iso_8601",
        bytea_output="escape",
        standard_conforming_strings="off",
    )
    source.run("CREATE TABLE t (id int PRIMARY KEY, written text)")
    source.run("INSERT INTO t VALUES (1, '01/02/03')")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, written text, day date, felt text, "
        "zone text DEFAULT to_char(now(), 'OF'))",
        FELT,
        "CREATE TRIGGER felt BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION felt()",
        "INSERT INTO t (id, written) VALUES (0, '01/02/03')",
    )
    asked = "SELECT day::text, felt, zone FROM t WHERE id = {}"
    expected = target.query(asked.format(0))
    assert expected[0][2] == "+14"
    Copy(source, target, tables=["t"], mode=mode).run()
    assert target.query(asked.format(1)) == expected


MOMENTS = "2001-02-03 04:05:06+00", "0044-03-15 12:00:00+00 BC", "infinity"


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_rows_that_come_in_directly_are_read_exactly_beside_what_the_target_computes(
    database: Maker, dialect: str
) -> None:
    source, target = database(dialect), database("postgresql")
    kind = "timestamptz" if dialect == "postgresql" else "TEXT"
    source.run(f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, moment {kind}, written TEXT)")
    source.insert("t", [(n, moment, "01/02/03") for n, moment in enumerate(MOMENTS)])
    configured(target, TimeZone="Pacific/Kiritimati", DateStyle="German, DMY")
    target.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, moment timestamptz, written text, day date, "
        "zone text DEFAULT to_char(now(), 'OF'))",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "NEW.day := NEW.written::date; RETURN NEW; END $$",
        "CREATE TRIGGER noted BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    Copy(source, target, tables=["t"], mode="append", direct=True).run(2)
    for n, moment in enumerate(MOMENTS):
        asked = f"SELECT moment = '{moment}', day = '2003-02-01', zone FROM t WHERE id = {n}"
        assert target.query(asked) == [(True, True, "+14")]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "append"},
        {"mode": "merge"},
        {"mode": "replace"},
        {"mode": "append", "direct": True},
        {"mode": "append", "max_rejects": 1},
    ],
    ids=lambda options: "-".join(options),
)
def test_deferred_triggers_go_by_the_settings_of_the_target(
    database: Maker, options: dict[str, Any]
) -> None:
    source, target = database("postgresql"), database("postgresql")
    configured(target, DateStyle="ISO, DMY")
    source.run("CREATE TABLE t (id int PRIMARY KEY, written text)")
    source.run("INSERT INTO t VALUES (1, '01/02/03')")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, written text)",
        "CREATE TABLE days (day date)",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO days VALUES (NEW.written::date); RETURN NEW; END $$",
        "CREATE CONSTRAINT TRIGGER z AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    Copy(source, target, tables=["t"], **options).run()
    assert target.query("SELECT day::text FROM days") == [("2003-02-01",)]


def test_types_keep_their_names_where_all_identifiers_are_quoted(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v bytea, n oid)")
    source.run("INSERT INTO t VALUES (1, '\\x00ff', 7)")
    configured(source, quote_all_identifiers="on")
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t") == [(1, b"\0\xff", 7)]


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_view_that_goes_by_other_settings_is_told(database: Maker, target: str) -> None:
    source = database("postgresql")
    source.run(
        "CREATE VIEW t AS SELECT 1 AS id, '01/02/03'::text::date AS day",
        "CREATE MATERIALIZED VIEW m AS SELECT now() AS moment",
    )
    configured(source, DateStyle="ISO, DMY")

    def told(table: str) -> list[str]:
        warnings = Copy(source, into, tables=[table]).units[0].warnings
        return [text for text in warnings if "is read with" in text]

    into = database(target)
    assert told("t") == []
    Copy(source, into, tables=["t"]).run()
    assert str(into.query("SELECT day FROM t")[0][0]) == "2003-02-01"
    configured(source, TimeZone="Asia/Tokyo", bytea_output="escape")
    sessions.close_all()
    (text,) = told("t")
    assert "TimeZone = UTC, bytea_output = hex" in text
    assert "TimeZone = Asia/Tokyo, bytea_output = escape" in text
    assert told("m") == []


@pytest.fixture
def tablespace(database: Maker) -> Iterator[tuple[Database, str]]:
    """A database whose new tables go to a tablespace of its own, and the name of that."""
    db, name = database("postgresql"), "elsewhere"
    with psycopg.connect(db.connection.url, autocommit=True) as pg:
        pg.execute("SET allow_in_place_tablespaces = on")
        pg.execute(f"CREATE TABLESPACE {name} LOCATION ''".encode())
    yield db, name
    sessions.close_all()
    db.run("DROP TABLE t", "DROP SCHEMA _syncmon CASCADE", f"DROP TABLESPACE {name}")


def test_table_that_is_replaced_stays_in_its_tablespace(
    database: Maker, tablespace: tuple[Database, str]
) -> None:
    source, (target, name) = database("postgresql"), tablespace
    for db in (source, target):
        db.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "CREATE INDEX by_v ON t (v)")
    configured(target, default_tablespace=name)
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "rename"
    copy.run()
    placed = "SELECT relname, reltablespace FROM pg_class WHERE relname IN ('t', 't_pkey', 'by_v')"
    assert sorted(target.query(placed)) == [("by_v", 0), ("t", 0), ("t_pkey", 0)]


@pytest.mark.parametrize("table", ["child", "watched", "plain"])
def test_keys_and_triggers_that_a_setting_switches_off_are_told(
    database: Maker, table: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, up int)")
    target.run(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int PRIMARY KEY, up int REFERENCES parent)",
        "CREATE TABLE watched (id int PRIMARY KEY, up int)",
        "CREATE TRIGGER z BEFORE INSERT ON watched FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TABLE plain (id int PRIMARY KEY, up int)",
    )

    def told() -> bool:
        (unit,) = Copy(source, target, tables=[{"name": "t", "target": table}]).units
        return any("session_replication_role = replica" in text for text in unit.warnings)

    assert not told()
    configured(target, session_replication_role="replica")
    sessions.close_all()
    assert told() == (table != "plain")
