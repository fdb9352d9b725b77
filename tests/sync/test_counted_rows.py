"""Rows of a SQLite target are counted as they are there: triggers may leave some out, or add others."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import CountMismatch
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

SOURCES = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


def appended(source: Database, target: Database) -> None:
    Copy(source, target, tables=["items"], mode="append", direct=True).run(10)


@SOURCES
@pytest.mark.parametrize("compiled", [True, False])
def test_rows_that_a_trigger_leaves_out_are_not_counted(
    database: Maker, kind: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("syncmon_ext.sync.routes.compiled.for_sqlite", lambda: None)
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, v text)")
    source.insert("items", [(n, "x") for n in range(50)])
    target.run(
        "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, v text)",
        "CREATE TABLE seen (id bigint)",
        "CREATE TRIGGER some BEFORE INSERT ON items WHEN new.id % 7 = 5 BEGIN "
        "INSERT INTO seen VALUES (new.id); INSERT INTO seen VALUES (-new.id); "
        "SELECT RAISE(IGNORE); END",
    )
    with pytest.raises(CountMismatch, match="10 rows were read and 9 landed"):
        appended(source, target)


@SOURCES
def test_what_a_trigger_adds_elsewhere_is_not_counted(database: Maker, kind: str) -> None:
    source, target = database(kind), database("sqlite")
    source.run("CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, v text)")
    source.insert("items", [(n, "x") for n in range(50)])
    target.run(
        "CREATE TABLE items (id bigint NOT NULL PRIMARY KEY, v text)",
        "CREATE TABLE seen (id bigint)",
        "CREATE TRIGGER noted AFTER INSERT ON items BEGIN "
        "INSERT INTO seen VALUES (new.id); INSERT INTO seen VALUES (-new.id); END",
    )
    appended(source, target)
    assert target.query("SELECT count(*) FROM items") == [(50,)]
    assert target.query("SELECT count(*) FROM seen") == [(100,)]
