"""What every route must hold to, for each pair of databases."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.errors import CopyFailed, FenceLost
from syncmon_ext.sync import jobs, ranges, throttle
from syncmon_ext.sync.databases import sessions
from tests.contract.items import ROWS, content, make_table
from tests.contract.pairs import Pair
from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_new_table_has_the_source_s_rows(pair: Pair, size: int) -> None:
    source, target = pair
    make_table(source)
    assert Copy(source, target, tables=["items"]).run(size) == {"items": len(ROWS)}
    assert content(target) == content(source) == sorted(ROWS)
    assert target.staging() == []
    assert jobs.leftovers(target.connection) == []


def test_new_table_has_the_source_s_key(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    Copy(source, target, tables=["items"]).run()
    with pytest.raises(Exception, match=r"(?i)unique"):
        target.insert("items", [ROWS[0]])


def test_replace_takes_old_rows_away(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[(10**6, "old", 1.0, None, b"old"), ROWS[3]])
    target.run("CREATE INDEX items_by_name ON items (name)")
    Copy(source, target, tables=["items"]).run(13)
    assert content(target) == sorted(ROWS)
    catalog = "pg_indexes" if target.dialect == "postgresql" else "sqlite_schema"
    column = "indexname" if target.dialect == "postgresql" else "name"
    named = f"SELECT count(*) FROM {catalog} WHERE {column} = 'items_by_name'"
    assert target.query(named) == [(1,)]


def test_replace_keeps_views(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[(10**6, "old", 1.0, None, b"old")])
    target.run("CREATE VIEW names AS SELECT id, name FROM items")
    Copy(source, target, tables=["items"]).run(13)
    assert sorted(target.query("SELECT id, name FROM names")) == sorted(row[:2] for row in ROWS)


def test_append_keeps_old_rows(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    old = (10**6, "old", 1.0, None, b"old")
    make_table(target, rows=[old])
    Copy(source, target, tables=["items"], mode="append").run(13)
    assert content(target) == sorted([*ROWS, old])


def test_direct_append_shows_rows_as_they_come(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[])
    copy = Copy(source, target, tables=["items"], mode="append", direct=True)
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 30))
        first = copy.copy(unit, chunks[0])
        assert len(content(target)) == first.rows == 30
        gone = jobs.discard(copy.target, copy.own, copy.units)
    assert [(d.kept, d.rows_kept, d.table_made) for d in gone] == [(True, 30, False)]
    assert len(content(target)) == 30


@pytest.mark.parametrize("rows", [0, 30])
def test_stop_says_that_a_direct_copy_made_its_table(pair: Pair, rows: int) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"], mode="append", direct=True)
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 30))
        if rows:
            copy.copy(unit, chunks[0])
        gone = jobs.discard(copy.target, copy.own, copy.units)
    assert [(d.kept, d.rows_kept, d.table_made) for d in gone] == [(rows > 0, rows, rows > 0)]
    assert ("items" in target.tables()) == (rows > 0)


def test_chunk_that_comes_after_a_stop_leaves_no_row(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[])
    copy = Copy(source, target, tables=["items"], mode="append", direct=True)
    with copy.claimed():
        unit = copy.units[0]
        first, second, *_ = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        jobs.discard(copy.target, copy.own, copy.units)
        with pytest.raises(FenceLost, match="which has ended"):
            copy.copy(unit, second)
    assert len(content(target)) == 30


def test_stop_counts_the_rows_of_a_commit_that_is_under_way(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    make_table(source)
    make_table(target, rows=[])
    target.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(1.5 / 30); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    copy = Copy(source, target, tables=["items"], mode="append", direct=True)
    with copy.claimed(), ThreadPoolExecutor(1) as other:
        unit = copy.units[0]
        first, *_ = copy.chunks(unit, copy.prepare(unit), 30)
        copied = other.submit(copy.copy, unit, first)
        other.submit(sessions.close_all)
        committing = "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
        while not target.query(committing):
            assert not copied.done()
        gone = jobs.discard(copy.target, copy.own, copy.units)
        assert copied.result().rows == 30
    assert [d.rows_kept for d in gone] == [len(content(target))] == [30]


def test_nothing_is_seen_before_the_swap(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[ROWS[0]])
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        copy.copy_all(copy.units[0], 20)
        assert content(target) == [ROWS[0]]
        copy.swap(copy.units[0])
        assert content(target) == sorted(ROWS)


def test_only_the_filtered_rows_and_columns_go(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    table = {
        "name": "items",
        "columns": ["id", "note"],
        "target": "picked",
        "where": {"id": {">": -10, "<=": 60}, "note": {"!=": None}, "amount": {">": 1.5}},
    }
    Copy(source, target, tables=[table]).run(9)
    wanted = [(r[0], r[3]) for r in ROWS if -10 < r[0] <= 60 and r[3] is not None and r[2] > 1.5]
    assert sorted(target.query("SELECT * FROM picked")) == sorted(wanted) != []


@pytest.mark.parametrize(
    "name",
    [
        "select",
        'with "quotes"',
        "a.b c",
        "Größe 🙂",
        "MixedCase",
        "100%s",
        "semi;colon--",
        "n" * 63,
    ],
)
def test_odd_names_survive(pair: Pair, name: str) -> None:
    source, target = pair
    quoted = '"' + name.replace('"', '""') + '"'
    kind = "BIGINT" if source.dialect == "postgresql" else "INTEGER"
    source.run(f"CREATE TABLE {quoted} ({quoted} {kind} NOT NULL PRIMARY KEY, v TEXT)")
    source.insert(quoted, [(number, name) for number in range(25)])
    for _ in range(2):  # made, then replaced
        Copy(source, target, owner(run=f"run{time.monotonic_ns()}"), tables=[name]).run(10)
    assert sorted(target.query(f"SELECT * FROM {quoted}")) == [(n, name) for n in range(25)]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows(pair: Pair, rows: int) -> None:
    source, target = pair
    make_table(source, rows=ROWS[:rows])
    assert Copy(source, target, tables=["items"]).run() == {"items": rows}
    assert content(target) == ROWS[:rows]


def test_table_without_a_key(pair: Pair) -> None:
    source, target = pair
    source.run("CREATE TABLE loose (v TEXT, w TEXT)")
    rows = [(f"v{n % 10}", None if n % 3 else "w") for n in range(500)]
    source.insert("loose", rows)
    copy = Copy(source, target, tables=["loose"])
    assert copy.units[0].chunk_method in ("rowid", "ctid")
    assert copy.units[0].warnings
    copy.run(50)
    got = target.query("SELECT v, w FROM loose")
    assert sorted(map(repr, got)) == sorted(map(repr, rows))


def test_view_is_a_source(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    source.run("CREATE VIEW few AS SELECT id, name FROM items WHERE id > 0")
    Copy(source, target, tables=["few"]).run()
    assert sorted(target.query("SELECT id, name FROM few")) == sorted(
        r[:2] for r in ROWS if r[0] > 0
    )


def test_pace_is_kept(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])

    class Slow:
        def rates(self) -> tuple[float, float]:
            return 100.0, 0.0

    throttle.set_pace(Slow())
    try:
        with copy.claimed():
            unit = copy.units[0]
            mark = copy.prepare(unit)
            started = time.monotonic()
            copy.copy(unit, Chunk(low=None, high=mark.upper))
            # a second's worth of rows, of which the pacer lends half a second in advance
            assert time.monotonic() - started >= 0.45
            copy.swap(unit)
    finally:
        throttle.set_pace(None)
    assert content(target) == sorted(ROWS)


def test_gaps_and_walks_agree(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        assert (mark.upper, mark.rows_total) == ([max(r[0] for r in ROWS)], len(ROWS))
        chunks = list(copy.chunks(unit, mark, 17))
        assert [c.low for c in chunks] == [None, *(c.high for c in chunks[:-1])]
        assert chunks[-1].high == mark.upper
        assert ranges.merged(list(reversed(chunks)))[0].high == mark.upper


class Fast:
    """A bound that is never met."""

    def rates(self) -> tuple[float, float]:
        return 1e9, 0.0


@pytest.mark.parametrize(
    "spec", [{}, {"verify": "count"}, {"max_rejects": 3}, {"mode": "merge"}], ids=str
)
@pytest.mark.parametrize("paced", [False, True], ids=["at_once", "paced"])
def test_text_that_is_not_utf8_is_kept_in_sqlite(
    database: Maker, spec: dict[str, Any], paced: bool
) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE odd (id INTEGER NOT NULL PRIMARY KEY, v TEXT, n NUMERIC, b BLOB)")
    source.insert("odd", [(n, f"plain {n}", n, b"\xff") for n in range(30)])
    source.run(
        "UPDATE odd SET v = CAST(x'61e962' AS TEXT) WHERE id IN (0, 7, 29)",
        "UPDATE odd SET n = CAST(x'ff' AS TEXT), b = CAST(x'c3' AS TEXT) WHERE id = 8",
    )
    copy = Copy(source, target, tables=["odd"], **spec)
    throttle.set_pace(Fast() if paced else None)
    try:
        assert copy.run(11) == {"odd": 30}
    finally:
        throttle.set_pace(None)
    ask = "SELECT id, typeof(v), hex(v), typeof(n), hex(n), typeof(b), hex(b) FROM odd ORDER BY id"
    assert target.query(ask) == source.query(ask)


@pytest.mark.parametrize("bytes_", ["61e962", "610062"], ids=["not_utf8", "nul"])
@pytest.mark.parametrize("key", ["id", "id, code"])
def test_text_that_postgresql_cannot_hold_is_named(database: Maker, bytes_: str, key: str) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(
        f"CREATE TABLE odd (id INTEGER NOT NULL, code TEXT NOT NULL, v TEXT, PRIMARY KEY ({key}))"
    )
    source.insert("odd", [(n, f"c{n}", "plain") for n in range(30)])
    source.run(f"UPDATE odd SET v = CAST(x'{bytes_}' AS TEXT) WHERE id = 7")
    copy = Copy(source, target, tables=["odd"])
    where = "id = 7" if key == "id" else "id = 7 and code = 'c7'"
    with pytest.raises(
        CopyFailed, match=f"table odd, column v: the text .*in the row where {where}$"
    ):
        copy.run()
    rejecting = Copy(source, target, owner(run="apart"), tables=["odd"], max_rejects=1)
    jobs.discard(copy.target, copy.own, copy.units)
    assert rejecting.run(11) == {"odd": 29}
    (reject,) = jobs.rejects(target.connection, "store1", "task", 10).rejects
    assert (reject.key["id"], reject.column) == (7, "v")
