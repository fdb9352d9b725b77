"""NULL on its way into an INTEGER PRIMARY KEY of SQLite, where it would become a number."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import rejects, throttle
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.routes import compiled
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

TABLES = {
    "replace": {"mode": "replace"},
    "append": {"mode": "append"},
    "direct": {"mode": "append", "direct": True},
}


def pair(database: Maker, dialect: str, more: str = "") -> tuple[Database, Database]:
    source, target = database(dialect), database("sqlite")
    source.run(f"CREATE TABLE t (id INTEGER, v TEXT{more})")
    target.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT{more})")
    return source, target


@pytest.mark.parametrize("filled_by", ["compiled", "python", "paced"])
@pytest.mark.parametrize("options", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_null_is_refused_not_numbered(
    database: Maker,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    options: dict[str, Any],
    filled_by: str,
) -> None:
    if filled_by == "python":
        monkeypatch.setattr(compiled, "for_sqlite", lambda: None)
    if filled_by == "paced":
        monkeypatch.setattr(throttle.Pacer, "bounded", True)
    source, target = pair(database, dialect)
    source.insert("t", [(7, "b"), (5, "a")])
    copy = Copy(source, target, tables=["t"], **options)
    assert "a NULL stops the copy" in copy.units[0].columns[0].reason
    copy.run()
    assert target.query("SELECT * FROM t") == [(5, "a"), (7, "b")]
    source.insert("t", [(None, "c")])
    source.run("DELETE FROM t WHERE id IS NOT NULL")
    with pytest.raises(CopyFailed, match=r"column id is NULL.*INTEGER PRIMARY KEY") as failed:
        Copy(source, target, owner(run="second"), tables=["t"], **options).run()
    assert "where" in failed.value.hint
    sessions.close_all()
    assert target.query("SELECT * FROM t") == [(5, "a"), (7, "b")]


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_null_is_a_reject(database: Maker, dialect: str) -> None:
    source, target = pair(database, dialect, ", k INTEGER NOT NULL UNIQUE")
    source.insert("t", [(None if n % 4 == 0 else n, "v", n) for n in range(10)])
    Copy(source, target, tables=["t"], max_rejects=5).run(4)
    assert target.query("SELECT id FROM t") == [(n,) for n in range(10) if n % 4]
    with sessions.opened(target.connection, "syncmon/reader") as session:
        found = rejects.found(session, "store1", "task", None)
    assert sorted((kept.reject.key["k"], kept.reject.column) for kept in found) == [
        (0, "id"),
        (4, "id"),
        (8, "id"),
    ]


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_null_of_a_view_is_refused(database: Maker, dialect: str) -> None:
    source, target = pair(database, dialect)
    source.insert("t", [(1, "a"), (None, "b")])
    source.run("CREATE VIEW w AS SELECT id, v FROM t")
    with pytest.raises(CopyFailed, match="column id is NULL"):
        Copy(source, target, tables=[{"name": "w", "target": "t"}]).run()


def test_null_is_not_moved_with_its_record(database: Maker) -> None:
    source, target = pair(database, "sqlite")
    source.insert("t", [(None, "a"), (7, "b")])
    for mode in ("append", "replace"):  # the second finds the table that the first one staged in
        with pytest.raises(CopyFailed, match="column id is NULL"):
            Copy(source, target, tables=["t"], mode=mode).run()
        sessions.close_all()
    assert target.query("SELECT * FROM t") == []


def test_column_that_holds_no_null_is_not_looked_at(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    target.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    assert not any(c.no_null for c in Copy(source, target, tables=["t"]).units[0].columns)
