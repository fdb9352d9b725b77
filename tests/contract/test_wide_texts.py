"""Texts of files that keep them in UTF-16: SQLite changes some where they pass through a program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncmon_ext.model.errors import BadRow, CopyFailed
from syncmon_ext.sync import jobs, throttle
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

TABLE = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, u TEXT, v TEXT)"
# All others of Unicode's noncharacters, the byte order mark and what lies beyond 16 bits go through.
GOOD = ["", "é🙂", "\ufffd", "\ufeff first", "\ufdd0", "\U0001fffe", "\U0010ffff", "\x01\x7f\x85"]
HALF = ("00D8", "D800")  # of a surrogate pair, as either file has it
NONCHARACTER = ("FFFF", "FFFF")


class Bounded:
    """A bound that no row feels."""

    def rates(self) -> tuple[float, float]:
        return 1e9, 0.0


@pytest.fixture
def _bounded() -> Iterator[None]:
    throttle.set_pace(Bounded())
    yield
    throttle.set_pace(None)


def wide(database: Maker, order: str = "le") -> Database:
    made = database("sqlite")
    made.run(f"PRAGMA encoding = 'UTF-16{order}'", TABLE)
    return made


def insert_units(db: Database, order: str, *texts: tuple[str, ...]) -> None:
    """Rows 1 and on with a text of these 16-bit units between two letters, as another program writes them."""
    db.run("CREATE TABLE made (id INTEGER PRIMARY KEY, data BLOB)")
    for number, units in enumerate(texts, 1):
        a, b = ("6100", "6200") if order == "le" else ("0061", "0062")
        unit = units[0 if order == "le" else 1]
        db.run(f"INSERT INTO made VALUES ({number}, X'{a}{unit}{b}')")
    db.run("INSERT INTO t SELECT id, 'plain', CAST(data AS TEXT) FROM made", "DROP TABLE made")


def contents(db: Database) -> list[tuple[object, ...]]:
    return db.query("SELECT id, u, CAST(v AS BLOB) FROM t ORDER BY id")


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("character", ["\ufffe", "\uffff"])
def test_character_that_utf16_does_not_keep_is_refused(
    database: Maker, character: str, order: str
) -> None:
    source, target = database("postgresql"), wide(database, order)
    source.run(TABLE.replace("INTEGER", "bigint"))
    source.insert("t", [(1, "a\tb", "plain"), (2, "\\", f"a{character}b"), (3, "c", None)])
    copy = Copy(source, target, tables=["t"], mode="append")
    with copy.claimed(), pytest.raises(BadRow, match=r"column v: .* U\+FFFE or U\+FFFF") as error:
        copy.copy_all(copy.units[0], 10)
    assert character not in error.value.message
    assert target.query("SELECT * FROM t") == []


def test_rows_that_utf16_does_not_keep_are_set_aside(database: Maker) -> None:
    source, target = database("postgresql"), wide(database)
    source.run('CREATE TABLE t (id text COLLATE "C" PRIMARY KEY, v text)')
    rows = [(f"k{n:02}", f"{n}") for n in range(30)]
    source.insert("t", [*rows, ("k07\uffff", "bad key"), ("k19\ufffd", "good key")])
    source.run("UPDATE t SET v = U&'\\FFFE' WHERE id = 'k12'")
    target.run("DROP TABLE t")
    copy = Copy(source, target, tables=["t"], max_rejects=5)
    (unit,) = copy.units
    with copy.claimed():
        copy.copy_all(unit, 8)
        copy.swap(unit)
        found = jobs.rejects(copy.target, copy.own.store_id, copy.own.task_id, 10)
    assert sorted(reject.key["id"] for reject in found.rejects) == ["k07\uffff", "k12"]
    left = [row for row in source.query("SELECT * FROM t") if row[0] not in ("k07\uffff", "k12")]
    assert sorted(target.query("SELECT * FROM t")) == sorted(left)


def test_all_other_texts_reach_utf16_as_they_are(database: Maker) -> None:
    source, target = database("postgresql"), wide(database)
    source.run(TABLE.replace("INTEGER", "bigint"))
    source.insert("t", [(n, text, text * 3) for n, text in enumerate(GOOD)])
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t ORDER BY id") == source.query(
        "SELECT * FROM t ORDER BY id"
    )


def test_characters_that_utf8_keeps_are_not_refused(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(TABLE.replace("INTEGER", "bigint"))
    source.insert("t", [(1, "\ufffe", "a\uffffb")])
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t") == [(1, "\ufffe", "a\uffffb")]


@pytest.mark.parametrize("order", ["le", "be"])
def test_sqlite_itself_moves_any_text_of_utf16(database: Maker, order: str) -> None:
    source, target = wide(database, order), wide(database, order)
    insert_units(source, order, HALF, NONCHARACTER)
    source.insert("t (u, id)", [(text, 10 + n) for n, text in enumerate(GOOD)])
    before = contents(source)
    Copy(source, target, tables=["t"], verify="hash").run()
    assert contents(target) == before


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("units", [HALF, NONCHARACTER], ids=["half", "noncharacter"])
def test_text_of_utf16_that_does_not_pass_through_python_is_refused_under_a_bound(
    database: Maker, order: str, units: tuple[str, str]
) -> None:
    source, target = wide(database, order), wide(database, order)
    source.insert("t", [(10, "plain", "\ufffd🙂")])
    insert_units(source, order, units)
    copy = Copy(source, target, tables=["t"], verify="count")
    with copy.claimed(), pytest.raises(BadRow, match=r"column v: .* id = 1\b"):
        copy.copy_all(copy.units[0], 10)
    source.run("DELETE FROM t WHERE id = 1")
    Copy(source, target, tables=["t"], verify="count").run()
    assert contents(target) == contents(source)


@pytest.mark.parametrize("order", ["le", "be"])
def test_half_of_a_surrogate_pair_does_not_become_another_character(
    database: Maker, order: str
) -> None:
    source, target = wide(database, order), database("postgresql")
    insert_units(source, order, NONCHARACTER, HALF)
    copy = Copy(source, target, tables=["t"])
    with copy.claimed(), pytest.raises(BadRow, match=r"column v: .* id = 2\b"):
        copy.copy_all(copy.units[0], 10)
    source.run("DELETE FROM t WHERE id = 2")
    jobs.discard(copy.target, copy.own, copy.units)
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t") == [(1, "plain", "a\uffffb")]


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
def test_row_with_the_last_key_is_not_left_out(database: Maker, target_dialect: str) -> None:
    source = database("sqlite")
    source.run(
        "PRAGMA encoding = 'UTF-16be'",
        "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, v INT) WITHOUT ROWID",
        "CREATE TABLE made (data BLOB)",
        "INSERT INTO made VALUES (X'0061'), (X'0062'), (X'FFFF')",
        "INSERT INTO t SELECT CAST(data AS TEXT), 1 FROM made",
        "DROP TABLE made",
    )
    target = wide(database, "be") if target_dialect == "sqlite" else database("postgresql")
    target.run("DROP TABLE IF EXISTS t")
    copy = Copy(source, target, tables=["t"], verify="count")
    with (
        copy.claimed(),
        pytest.raises(CopyFailed, match=r"the last key as it is.* would be left out"),
    ):
        copy.prepare(copy.units[0])
    source.run("INSERT INTO t VALUES (char(65533), 1)")
    source.run("DELETE FROM t WHERE CAST(k AS BLOB) = X'FFFF'")
    again = Copy(source, target, tables=["t"], verify="count")
    again.run(2)
    assert target.query("SELECT k FROM t ORDER BY k") == [("a",), ("b",), ("\ufffd",)]


def test_row_with_the_last_value_of_a_cursor_is_not_left_out(database: Maker) -> None:
    source, target = wide(database, "le"), wide(database, "le")
    source.insert("t", [(10, "plain", "a")])
    insert_units(source, "le", NONCHARACTER)
    tables = [{"name": "t", "cursor": "v"}]
    copy = Copy(source, target, tables=tables, mode="incremental")
    with (
        copy.claimed(),
        pytest.raises(CopyFailed, match="the greatest value of the cursor v has a character U"),
    ):
        copy.prepare(copy.units[0])


def test_walk_ends_at_keys_that_come_again(database: Maker) -> None:
    source = database("sqlite")
    source.run(
        "PRAGMA encoding = 'UTF-16le'",
        "CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY)",
        "CREATE TABLE made (data BLOB)",
        "INSERT INTO made VALUES (X'6100'), (X'FEFF'), (X'FEFF0100'), (X'FF00')",
        "INSERT INTO t SELECT CAST(data AS TEXT) FROM made",
        "DROP TABLE made",
    )
    copy = Copy(source, database("postgresql"), tables=["t"])
    with copy.claimed(), pytest.raises(CopyFailed, match="have that very key"):
        copy.copy_all(copy.units[0], 1)
