"""A column of SQLite that is renamed or dropped while it is copied is missed, not read as a text."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

TARGETS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


def filled(source: Database, table: str = "items") -> None:
    source.run(f"CREATE TABLE {table} (k TEXT NOT NULL PRIMARY KEY, v TEXT, c INTEGER NOT NULL)")
    source.insert(table, [(f"{'j' if n < 15 else 'm'}{n:03d}", f"v{n}", n) for n in range(30)])


@TARGETS
@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("ALTER TABLE items RENAME v TO other", "v"),
        ("ALTER TABLE items DROP v", "v"),
        ("ALTER TABLE items RENAME k TO l", "k"),  # the keys lie on both sides of its name
    ],
)
def test_a_column_that_is_gone_is_missed(
    database: Maker, kind: str, change: str, column: str
) -> None:
    source, target = database("sqlite"), database(kind)
    filled(source)
    copy = Copy(source, target, tables=["items"])
    (unit,) = copy.units
    with copy.claimed():
        first, *rest = list(copy.chunks(unit, copy.prepare(unit), 10))
        copy.copy(unit, first)
        source.run(change)
        with pytest.raises(CopyFailed, match=f"no such column: {column}") as caught:
            copy.copy(unit, rest[0])
    assert f"{source.connection.name}: no such column" in caught.value.message
    assert "renamed or dropped" in caught.value.hint and "fresh" in caught.value.hint


@TARGETS
@pytest.mark.parametrize("condition", [{">": "a"}, ["v", "v1"]])  # true of the name itself
def test_a_filter_whose_column_is_gone_chooses_no_rows(
    database: Maker, kind: str, condition: Any
) -> None:
    source, target = database("sqlite"), database(kind)
    filled(source)
    table = {"name": "items", "columns": ["k", "c"], "where": {"v": condition}}
    copy = Copy(source, target, tables=[table])
    (unit,) = copy.units
    with copy.claimed():
        chunk = next(iter(copy.chunks(unit, copy.prepare(unit), 100)))
        source.run("ALTER TABLE items RENAME v TO other")
        with pytest.raises(CopyFailed, match="no such column: v"):
            copy.copy(unit, chunk)


@TARGETS
def test_an_incremental_copy_misses_no_row_whose_cursor_had_another_name(
    database: Maker, kind: str
) -> None:
    source, target = database("sqlite"), database(kind)
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, c INTEGER NOT NULL)")
    source.insert("items", [(n, n) for n in range(20)])
    spec: dict[str, Any] = {"mode": "incremental", "tables": [{"name": "items", "cursor": "c"}]}
    Copy(source, target, owner(run="a"), **spec).run(10)
    source.insert("items", [(n, n) for n in range(100, 130)])
    copy = Copy(source, target, owner(run="b"), **spec)
    (unit,) = copy.units
    with copy.claimed():
        first, *rest = list(copy.chunks(unit, copy.prepare(unit), 10))
        copy.copy(unit, first)
        source.run("ALTER TABLE items RENAME c TO d")
        with pytest.raises(CopyFailed, match="no such column: c"):
            copy.copy(unit, rest[0])
        source.run("ALTER TABLE items RENAME d TO c")
        for chunk in rest:
            copy.copy(unit, chunk)
        copy.swap(unit)
    jobs.forget(copy.target, copy.own, copy.units)
    assert sorted(target.query("SELECT * FROM items")) == source.query("SELECT * FROM items")


def test_a_window_is_not_opened_by_the_name_of_a_cursor_that_is_gone(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    filled(source)
    copy = Copy(source, target, mode="incremental", tables=[{"name": "items", "cursor": "c"}])
    with copy.claimed():
        source.run("ALTER TABLE items RENAME c TO d")
        with pytest.raises(CopyFailed, match=r"no such column: t\.c"):
            copy.prepare(copy.units[0])


@TARGETS
def test_names_with_quotes_of_every_kind_are_read(database: Maker, kind: str) -> None:
    source, target = database("sqlite"), database(kind)
    names = ["a`b", 'a"b', "``", "a'b", "[a]", "rowid"]
    quoted = ", ".join('"' + name.replace('"', '""') + '" TEXT NOT NULL' for name in names)
    source.run(f'CREATE TABLE items ({quoted}, PRIMARY KEY ("a`b", "``"))')
    source.insert("items", [tuple(f"{name}{n}" for name in names) for n in range(9)])
    table = {"name": "items", "where": {"a`b": {">": "a`b1"}, "``": {"!=": "``5"}}}
    Copy(source, target, tables=[table], max_rejects=1).run(2)
    wanted = source.query("SELECT * FROM items WHERE \"a'b\" NOT IN ('a''b0', 'a''b1', 'a''b5')")
    assert len(wanted) == 6
    assert sorted(target.query("SELECT * FROM items")) == sorted(wanted)
