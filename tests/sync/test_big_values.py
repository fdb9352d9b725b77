"""Values of many megabytes: what a chunk needs is a few of its largest value, not all of its rows."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncmon_ext.sync import jobs
from syncmon_ext.sync.routes import (
    big_values,
    compiled,
    forwarding,
    postgresql_postgresql,
    sqlite_postgresql,
)
from syncmon_ext.sync.solitary import RunAlone
from tests.sync.copying import Copy
from tests.sync.databases import Maker

SPAWN = multiprocessing.get_context("spawn")
MIB = 1 << 20
VALUE = 32 * MIB
ROWS = 8
# Of a value: the driver's own two copies of a row, or SQLite's value and record; and a cache beside it.
# Without the compiled loops a row on its way to PostgreSQL is six times in memory, as the guide says.
TIMES = 2 if compiled.for_sqlite() is not None else 6
BESIDE = 24 * MIB
# A chunk of many long texts: a fifth of its bytes would already be more than a batch of them.
LONG_TEXT = "ä€" * (MIB // 5)
TEXTS = 160
BATCH = {"postgresql": 32 * MIB, "sqlite": 96 * MIB}  # with the page cache of a SQLite target


def most_memory() -> int:
    """Bytes of this process at its peak; getrusage() would give those of the one that it began as."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def peak_of_a_copy(warm_up: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[int, int]:
    jobs.copy(*warm_up)
    before = most_memory()
    rows = jobs.copy(*arguments).rows
    return rows, most_memory() - before


def peak_of_the_rest(copy: Copy, rows: int) -> int:
    """Copy the first row of ``t``, then all ``rows`` others as one chunk; the bytes that these took."""
    with copy.claimed(), ProcessPoolExecutor(1, SPAWN) as pool:
        unit = copy.units[0]
        copy.prepare(unit)
        first, rest = jobs.walk(copy.source, unit, None, [rows], [1, rows], copy.snapshot)
        chunks = [
            (copy.source, copy.target, copy.own, unit, chunk, copy.snapshot)
            for chunk in (first, rest)
        ]
        copied, peak = pool.submit(peak_of_a_copy, *chunks).result()
        assert copied == rows
        copy.swap(unit)
    return peak


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_memory_is_bounded_by_a_value(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    kind, zeros = {
        "sqlite": ("BLOB", f"zeroblob({VALUE})"),
        "postgresql": ("BYTEA", f"decode(repeat('00', {VALUE}), 'hex')"),
    }[source_dialect]
    source.run(
        f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {kind})",
        "INSERT INTO t VALUES (0, NULL)",
        *(f"INSERT INTO t VALUES ({number}, {zeros})" for number in range(1, ROWS + 1)),
    )
    copy = Copy(source, target, tables=["t"], verify="count")  # the digest holds a value once more
    assert peak_of_the_rest(copy, ROWS) < TIMES * VALUE + BESIDE
    assert target.query(f"SELECT count(*) FROM t WHERE length(v) = {VALUE}") == [(ROWS,)]


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_memory_of_a_chunk_is_bounded_by_bytes_not_by_rows(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    source.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)")
    source.insert("t", [(0, None), *((n, LONG_TEXT + str(n)) for n in range(1, TEXTS + 1))])
    copy = Copy(source, target, tables=["t"], verify="count")
    assert peak_of_the_rest(copy, TEXTS) < BATCH[target_dialect]
    ask = "SELECT id, v FROM t WHERE id > 0 ORDER BY id"
    assert target.query(ask) == [(n, LONG_TEXT + str(n)) for n in range(1, TEXTS + 1)]


@pytest.mark.parametrize(
    ("dialect", "route", "binary"),
    [
        ("sqlite", sqlite_postgresql, "BLOB"),
        ("postgresql", postgresql_postgresql, "bytea"),
    ],
)
def test_chunk_of_large_values_is_copied_only_where_it_is_alone(
    database: Maker, monkeypatch: pytest.MonkeyPatch, dialect: str, route: Any, binary: str
) -> None:
    monkeypatch.setattr(route, "LARGE_BYTES", 1_000)
    # What goes from socket to socket needs no memory for a value; the driver's way does.
    monkeypatch.setattr(forwarding, "loops", lambda source, target: None)
    source, target = database(dialect), database("postgresql")
    source.run(f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a TEXT, b {binary})")
    if dialect == "postgresql":
        source.run("ALTER TABLE t ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL")
    rows = [(1, "ä" * 500, b"x"), (2, "ä" * 501, b"x"), (3, "", bytes(2_001)), (4, None, None)]
    source.insert("t", rows)
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 1))
        assert [copy.copy(unit, chunk).rows for chunk in (chunks[0], chunks[3])] == [1, 1]
        for chunk in chunks[1:3]:
            with pytest.raises(RunAlone):
                copy.copy(unit, chunk)
            alone = msgspec.structs.replace(unit, large_values=True)
            assert copy.copy(alone, chunk).rows == 1
        copy.swap(unit)
    assert sorted(target.query("SELECT * FROM t"), key=lambda row: row[0]) == rows


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(big_values, "BIG_BYTES", 1_000)
    monkeypatch.setattr(big_values, "SLICE_BYTES", 301)
    monkeypatch.setattr(big_values, "LEAST_KEPT", 1)


SLICED = r"""
    INSERT INTO t SELECT i,
        CASE WHEN i % 3 > 0 THEN repeat('ä€😀' || i || '\' || chr(10) || chr(9), i * 20) END,
        CASE WHEN i % 4 > 0 THEN decode(repeat(lpad(to_hex(i), 6, '0') || '00ff', i * 30), 'hex') END,
        'row ' || i, repeat('x', i * 50)
    FROM generate_series(1, 40) AS i
"""


@pytest.mark.parametrize("partitioned", [False, True])
def test_sliced_values_are_the_same(database: Maker, small_slices: None, partitioned: bool) -> None:
    source, target = database("postgresql"), database("sqlite")
    columns = 'id integer PRIMARY KEY, a text, b bytea, "c %s" text NOT NULL, d text UNIQUE'
    if partitioned:
        source.run(
            f"CREATE TABLE t ({columns.replace(' UNIQUE', '')}) PARTITION BY RANGE (id)",
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (1) TO (20)",
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (20) TO (100)",
        )
    else:
        source.run(f"CREATE TABLE t ({columns})")
    source.run("ALTER TABLE t ALTER b SET STORAGE EXTERNAL", SLICED)
    copy = Copy(source, target, tables=["t"])
    assert copy.run(size=15) == {"t": 40}
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))
    kinds = "SELECT DISTINCT typeof(a), typeof(b) FROM t WHERE a IS NOT NULL AND b IS NOT NULL"
    assert target.query(kinds) == [("text", "blob")]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT CHECK (length(a) > 0))",
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a TEXT) WITHOUT ROWID",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE)",
    ],
    ids=["check", "no rowid", "unique"],
)
def test_what_cannot_be_sliced_is_copied_whole(
    database: Maker, small_slices: None, made: str
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        "CREATE TABLE t (id integer PRIMARY KEY, a text)",
        "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, repeat('v' || i, 2000) FROM generate_series(1, 3) AS i",
    )
    target.run(made)
    assert Copy(source, target, tables=["t"]).run() == {"t": 3}
    assert target.query("SELECT * FROM t") == source.query("SELECT * FROM t ORDER BY id")


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    "looks",
    [
        "CREATE INDEX i ON t (id) WHERE a LIKE 'v%'",
        "CREATE INDEX i ON t (substr(a, 1, 3))",
        "CREATE TRIGGER r AFTER INSERT ON T BEGIN INSERT INTO seen VALUES (substr(NEW.a, 1, 2)); END",
        "ALTER TABLE t ADD COLUMN g AS (substr(a, 1, 2)); CREATE INDEX i ON t (g)",
    ],
    ids=["partial index", "index on an expression", "trigger", "generated column"],
)
def test_what_looks_at_a_value_sees_all_of_it(
    database: Maker, small_slices: None, looks: str, direct: bool
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        "CREATE TABLE t (id integer PRIMARY KEY, a text)",
        "ALTER TABLE t ALTER a SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT i, repeat('v' || i, 2000) FROM generate_series(1, 3) AS i",
    )
    target.run("CREATE TABLE seen (a)", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    target.run(*looks.split("; ") if "ALTER" in looks else (looks,))
    options = {"direct": True, "verify": "count"} if direct else {}
    assert Copy(source, target, tables=["t"], mode="append", **options).run() == {"t": 3}
    assert target.query("SELECT id, a FROM t") == source.query("SELECT * FROM t ORDER BY id")
    assert target.query("PRAGMA integrity_check") == [("ok",)]
    if "INDEX" in looks and "ALTER" not in looks:
        asked = "SELECT count(*) FROM t INDEXED BY i WHERE "
        ask = "a LIKE 'v%'" if "WHERE" in looks else "substr(a, 1, 3) = 'v1v'"
        assert target.query(asked + ask) == [(3 if "WHERE" in looks else 1,)]
    if "TRIGGER" in looks:
        assert target.query("SELECT a FROM seen ORDER BY a") == [("v1",), ("v2",), ("v3",)]
