"""The union of the chunks is the table, whatever its key."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.sync import jobs, keys
from syncmon_ext.sync.reflect.tables import reflect
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

TEXTS = [
    "",
    "a",
    "A",
    "b",
    "B",
    "ä",
    "Z",
    "z",
    "aa",
    "Aa",
    " a",
    "a ",
    "\t",
    "é",
    "🙂",
    "'",
    "\\",
    "ß",
]


def check_union(
    source: Database, target: Database, table: str, size: int, method: str = "key"
) -> None:
    copy = Copy(source, target, tables=[table])
    assert (copy.units[0].chunk_method, copy.units[0].errors) == (method, [])
    with copy.claimed():
        unit = copy.units[0]
        results = copy.copy_all(unit, size)
        # Counted chunks hold what was counted.
        assert all(r.chunk.rows in (None, r.rows) for r in results)
        copy.swap(unit)
    # PostgreSQL's own text of a row: Python has no infinite dates.
    query = (
        f"SELECT {table}::text FROM {table}"
        if "postgresql" == source.dialect == target.dialect
        else (f"SELECT * FROM {table}")
    )
    assert sorted(map(repr, target.query(query))) == sorted(map(repr, source.query(query)))


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("k text NOT NULL PRIMARY KEY", [(t,) for t in TEXTS]),
        ('k text COLLATE "C" NOT NULL PRIMARY KEY', [(t,) for t in TEXTS]),
        ('k text COLLATE "pg_unicode_fast" NOT NULL PRIMARY KEY', [(t,) for t in TEXTS]),
        ("k numeric NOT NULL PRIMARY KEY", [(v,) for v in ("NaN", "1.50", "-1e30", "0.001", "Infinity")]),
        ("k timestamptz PRIMARY KEY", [(v,) for v in ("infinity", "2013-01-01 00:00:00.1", "-infinity")]),
        ("k uuid PRIMARY KEY", [(f"{n:08x}-0000-0000-0000-000000000000",) for n in (0, 1, 255, 2**31)]),
        ("k bytea PRIMARY KEY", [(bytes([n, 0]),) for n in (0, 92, 255)]),
        ("k double precision PRIMARY KEY", [(v,) for v in ("NaN", "0.1", "-Infinity", "1e-300")]),
        ("k interval PRIMARY KEY", [(v,) for v in ("1 mon", "1 day", "-5 days", "3 years")]),
        ("k int NOT NULL UNIQUE, v int PRIMARY KEY", [(n, -n) for n in (-5, 0, 7, 10**9)]),
        ("k bigint NOT NULL UNIQUE, v text", [(n, "v") for n in (-(2**63), -7, 0, 1, 2, 2**63 - 1)]),
        ("k timestamp NOT NULL UNIQUE", [(f"20{n:02d}-02-03 04:05:06.{n:06d}",) for n in range(7)]),
        ("a text, b int, c date, PRIMARY KEY (a, b, c)",
         [(a, b, c) for a in "xyX" for b in (-1, 0) for c in ("2013-01-01", "infinity")]),
    ],
)  # fmt: skip
def test_keys_of_postgresql(
    database: Maker, columns: str, values: list[tuple[Any, ...]], size: int
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(f"CREATE TABLE t ({columns})")
    source.insert("t", values)
    check_union(source, target, "t", size)


@pytest.mark.parametrize(
    ("made", "kind", "values"),
    [
        ("", "regclass", ["pg_class", "pg_type", "pg_proc"]),
        ("", "regtype", ["integer", "text", "boolean"]),
        ("", "regrole", ["pg_monitor", "pg_read_all_data"]),
        ("CREATE DOMAIN kind AS regtype", "kind", ["integer", "text", "boolean"]),
        ("CREATE TYPE pt AS (x int, y text)", "pt", ["(1,a)", "(2,b)", "(2,c)"]),
        ("CREATE TYPE pt AS (x int); CREATE DOMAIN place AS pt", "place", ["(1)", "(2)", "(3)"]),
        ("CREATE TYPE e AS ENUM ('z', 'b', 'a'); CREATE DOMAIN de AS e", "de", ["z", "b", "a"]),
    ],
)
@pytest.mark.parametrize("more", ["", ", n"])
def test_key_whose_bounds_have_no_type_is_not_used(
    database: Maker, made: str, kind: str, values: list[str], more: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        db.run(*filter(None, made.split("; ")))
    source.run(f"CREATE TABLE t (k {kind} NOT NULL, n int NOT NULL, PRIMARY KEY (k{more}))")
    source.insert("t", [(value, n) for n, value in enumerate(values)])
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].chunk_method == "ctid"
    assert "no key that chunks can be cut by" in copy.units[0].warnings[0]
    assert copy.run(2) == {"t": len(values)}
    read = "SELECT k::text, n FROM t ORDER BY n"
    assert target.query(read) == source.query(read)


@pytest.mark.parametrize(
    ("made", "kind", "values"),
    [
        ("", "oid", ["1", "4294967295"]),
        ("CREATE TYPE e AS ENUM ('z', 'b', 'a')", "e", ["z", "b", "a"]),
        ("CREATE TYPE e AS ENUM ('z', 'b', 'a')", "e[]", ["{z}", "{b,a}"]),
        ("CREATE DOMAIN dt AS text", "dt", ["b", "a"]),
        ("CREATE DOMAIN di AS int", "di", ["10", "9"]),
        ("CREATE DOMAIN dr AS int4range", "dr", ["[1,2)", "empty"]),
        ("CREATE DOMAIN da AS int[]", "da", ["{1}", "{}"]),
        ("", "varchar(5)", ["b", "a"]),
        ("", "cidr", ["10.0.0.0/8", "::1/128"]),
    ],
)
def test_key_whose_bounds_take_its_type_is_used(
    database: Maker, made: str, kind: str, values: list[str]
) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        db.run(*filter(None, [made]))
    source.run(f"CREATE TABLE t (k {kind} PRIMARY KEY)")
    source.insert("t", [(value,) for value in values])
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].chunk_method == "key"
    assert copy.run(1) == {"t": len(values)}


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("collation", ["BINARY", "NOCASE", "RTRIM"])
@pytest.mark.parametrize("tail", ["", "WITHOUT ROWID"])
def test_text_keys_of_sqlite(database: Maker, collation: str, tail: str, size: int) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t (k TEXT NOT NULL COLLATE {collation} PRIMARY KEY) {tail}")
    folds = {"BINARY": str, "NOCASE": str.lower, "RTRIM": str.rstrip}
    fold = folds[collation]
    source.insert("t", [(t,) for t in {fold(t): t for t in TEXTS}.values()])
    check_union(source, target, "t", size)


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("k INTEGER PRIMARY KEY", [(n,) for n in (-(2**63), -1, 0, 1, 2, 3, 10**9, 2**63 - 1)]),
        ("k DECIMAL(30, 10) NOT NULL PRIMARY KEY", [(v,) for v in (-1.5, 0, 2, 2.25, 10**15)]),
        ("k TIMESTAMP NOT NULL PRIMARY KEY", [(f"20{n:02d}-02-03 04:05:06.7",) for n in range(7)]),
        ("k UUID NOT NULL PRIMARY KEY", [(f"{n:08x}-0000-4000-8000-000000000000",) for n in (0, 9, 2**31)]),
        ("k BLOB NOT NULL UNIQUE", [(bytes([n, 0]),) for n in (0, 92, 255)]),
        ("k INT NOT NULL UNIQUE, v INT", [(n, -n) for n in (-5, 0, 7, 10**9)]),
        ("a TEXT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)", [(a, b) for a in "xyX" for b in (-1, 0, 5)]),
    ],
)  # fmt: skip
def test_keys_of_sqlite(
    database: Maker, columns: str, values: list[tuple[Any, ...]], target_dialect: str, size: int
) -> None:
    source, target = database("sqlite"), database(target_dialect)
    source.run(f"CREATE TABLE t ({columns})")
    source.insert("t", values)
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].chunk_method == "key"
    assert copy.run(size) == {"t": len(values)}
    if target_dialect == "postgresql":  # a type of its own for what is a text or number in SQLite
        key = columns.split()[0]
        assert len(set(target.query(f"SELECT {key} FROM t"))) == len({row[0] for row in values})
        back = database("sqlite")
        back.run(f"CREATE TABLE t ({columns})")
        Copy(target, back, owner(run="back"), tables=["t"], allow_lossy=["k"]).run(size)
        target = back
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))


def test_index_in_another_collation_than_its_column(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (k TEXT NOT NULL, n INT NOT NULL)",
        "CREATE UNIQUE INDEX u ON t (k COLLATE NOCASE, n)",
    )
    source.insert("t", [(t, n) for n, t in enumerate(TEXTS * 3)])
    check_union(source, target, "t", 4)


def test_primary_key_of_sqlite_that_may_hold_null_is_not_used(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (k TEXT PRIMARY KEY, v INT)")
    source.insert("t", [(None, 1), (None, 2), ("a", 3), (None, 4)])
    check_union(source, target, "t", 2, method="rowid")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_nullable_partial_and_expression_indexes_are_not_keys(
    database: Maker, dialect: str
) -> None:
    source = database(dialect)
    source.run(
        "CREATE TABLE t (a INTEGER, b INTEGER NOT NULL, c INTEGER NOT NULL)",
        "CREATE UNIQUE INDEX one ON t (a)",
        "CREATE UNIQUE INDEX two ON t (b) WHERE c > 0",
        "CREATE UNIQUE INDEX three ON t ((b + c))",
        "CREATE INDEX four ON t (c)",
        "CREATE UNIQUE INDEX five ON t (c DESC)",
    )
    with jobs.sessions.opened(source.connection, "syncmon/source") as session:
        shape = reflect(session, None, "t")
    assert shape is not None
    assert keys.choose(shape, dialect, None).method in ("rowid", "ctid")
    assert "may be NULL" in keys.choose(shape, dialect, ["a"]).errors[0]
    assert "no column nothing" in keys.choose(shape, dialect, ["nothing"]).errors[0]
    assert "unique index" in keys.choose(shape, dialect, ["b"]).errors[0]


def test_wanted_key_is_used(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, other int NOT NULL UNIQUE)")
    source.insert("t", [(n, -n) for n in range(10)])
    copy = Copy(source, target, tables=[{"name": "t", "key": ["other"]}])
    assert copy.units[0].key == ["other"]
    assert copy.run(3) == {"t": 10}


def test_rows_that_come_and_go_while_copying(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    source.insert("t", [(n,) for n in range(0, 100, 2)])
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():  # its snapshot is what is copied
        unit = copy.units[0]
        chunks = copy.chunks(unit, copy.prepare(unit), 10)
        copy.copy(unit, next(chunks))
        source.run("DELETE FROM t WHERE id > 50", "INSERT INTO t SELECT generate_series(1, 99, 2)")
        for chunk in chunks:
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert sorted(target.query("SELECT id FROM t")) == [(n,) for n in range(0, 100, 2)]


def test_rows_that_come_and_go_in_sqlite(database: Maker) -> None:
    """Each chunk is one state: a row that was there all the time comes once, no row comes twice."""
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    source.insert("t", [(n, "old") for n in range(0, 100, 2)])
    copy = Copy(source, target, tables=["t"], verify="count")
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 10))
        for number, chunk in enumerate(chunks):
            copy.copy(unit, chunk)
            if number == 1:  # rows up to 38 are copied
                source.run(
                    "DELETE FROM t WHERE id % 20 = 0",
                    "INSERT INTO t VALUES (1, 'new'), (41, 'new'), (99, 'new'), (200, 'new')",
                )
        copy.swap(unit)
    there = {n for n in range(0, 100, 2) if n < 40 or n % 20}
    assert sorted(target.query("SELECT * FROM t")) == sorted(
        [(n, "old") for n in there] + [(41, "new")]
    )  # 99 and 200 lie above the upper end that was fixed when the table began


mixed = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.binary(max_size=3),
)


@examples(25)
@given(data=st.lists(st.tuples(mixed, mixed), max_size=30), size=st.integers(1, 10))
def test_any_mixture_of_values_is_a_key_of_sqlite(
    database: Maker, data: list[tuple[Any, Any]], size: int
) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (a NOT NULL, b NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID")
    import sqlite3

    db = sqlite3.connect(source.path)
    with db:
        db.executemany("INSERT OR IGNORE INTO t VALUES (?, ?)", data)
    db.close()
    check_union(source, target, "t", size)


def test_resume_orders_committed_ranges_as_the_index_does(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run("CREATE TABLE t (k TEXT NOT NULL COLLATE NOCASE PRIMARY KEY)")
    source.insert("t", [(t,) for t in ["a", "B", "c", "D", "e", "F", "g", "H"]])
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 1))
        for number in (6, 1, 3):
            copy.copy(unit, chunks[number])
        assert [c.high for c in copy.prepare(unit).committed] == [["B"], ["D"], ["g"]]
    again = Copy(source, target, owner(token=2), tables=["t"])
    assert again.run(2) == {"t": 5}
    assert len(target.query("SELECT k FROM t")) == 8


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_keys_as_long_as_an_index_takes_them(database: Maker, kind: str) -> None:
    source, target = database(kind), database("postgresql")
    source.run("CREATE TABLE t (k text NOT NULL PRIMARY KEY, n bigint)")
    keys = [secrets.token_hex(1_320) for _ in range(40)]  # PostgreSQL's index takes 2,704 bytes
    source.insert("t", [(key, n) for n, key in enumerate(keys)])
    target.run("CREATE TABLE t (k text PRIMARY KEY, n bigint CHECK (n <> 7))")
    copy = Copy(source, target, tables=["t"], max_rejects=1)
    assert copy.units[0].key == ["k"]
    copy.run(5)
    assert [row.key for row in jobs.rejects(copy.target, "store1", "task", 9).rejects] == [
        {"k": keys[7]}
    ]
    target.run("ALTER TABLE t DROP CONSTRAINT t_n_check")
    jobs.replay(copy.source, copy.target, "store1", "task", copy.units, 60)
    assert jobs.rejects(copy.target, "store1", "task", 9).total == 0
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))
