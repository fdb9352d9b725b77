"""What every route must hold to, for each pair of databases."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.errors import (
    CountMismatch,
    DatabaseUnavailable,
    FenceLost,
    SyncmonError,
    TargetBusy,
)
from syncmon_ext.sync import chunk_copy, jobs, ranges, throttle
from syncmon_ext.sync.faults import FaultInjected
from syncmon_ext.sync.routes.registry import ROUTES
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker, database

__all__ = ["database"]

PAIRS = sorted(tuple(name.split("_")) for name in ROUTES)
Pair = tuple[Database, Database]
ROWS: list[tuple[Any, ...]] = [
    (
        number * 3 - 60,
        f"name {number}\twith\nhostile \\ {number % 7}" if number % 5 else "",
        number / 7,
        None if number % 4 == 0 else f"{number}é🙂'\"",
        bytes([number % 256, 0, 10, 92]),
    )
    for number in range(100)
]


def make_table(
    db: Database, name: str = "items", rows: list[tuple[Any, ...]] | None = None
) -> None:
    kinds = ("BIGINT", "DOUBLE PRECISION", "BYTEA") if db.dialect == "postgresql" else (
        "INTEGER", "REAL", "BLOB"
    )  # fmt: skip
    db.run(
        f"CREATE TABLE {name} (id {kinds[0]} NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
        f"amount {kinds[1]}, note TEXT, data {kinds[2]})"
    )
    db.insert(name, ROWS if rows is None else rows)


def content(db: Database, table: str = "items") -> list[tuple[Any, ...]]:
    return sorted(db.query(f"SELECT id, name, amount, note, data FROM {table}"))


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, database: Maker) -> Pair:
    source, target = request.param
    return database(source), database(target)


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


def test_chunk_that_is_committed_is_not_copied_again(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 30))
        first = [copy.copy(unit, chunk) for chunk in chunks]
        again = [copy.copy(unit, chunk) for chunk in chunks]
        assert [r.replayed for r in first] == [False] * 4
        assert [(r.replayed, r.rows, r.bytes) for r in again] == [
            (True, r.rows, r.bytes) for r in first
        ]
        copy.swap(unit)
    assert content(target) == sorted(ROWS)


def test_resume_copies_only_what_is_missing(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 10))
        for number in (0, 1, 4, 5, 9):
            copy.copy(unit, chunks[number])
    resumed = Copy(source, target, owner(token=2), tables=["items"])
    assert resumed.plan.fingerprint == copy.plan.fingerprint
    with resumed.claimed():
        unit = resumed.units[0]
        mark = resumed.prepare(unit)
        assert [chunk.rows for chunk in mark.committed] == [20, 20, 10]
        assert mark.chunks_committed == 5
        results = [resumed.copy(unit, c) for c in resumed.chunks(unit, mark, 1000)]
        assert sum(result.rows for result in results) == 50
        resumed.swap(unit)
    assert content(target) == sorted(ROWS)


def test_older_owner_must_not_write(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 50))
    newer = Copy(source, target, owner(token=2), tables=["items"])
    with newer.claimed():
        copy.snapshot = newer.snapshot
        if target.dialect == "postgresql":  # its backend was ended; another try connects again
            with pytest.raises(DatabaseUnavailable):
                copy.copy(unit, chunks[0])
        with pytest.raises(FenceLost, match="token 2"):
            copy.copy(unit, chunks[0])
        with pytest.raises(FenceLost):
            jobs.swap(copy.target, copy.own, [unit])
        with pytest.raises(FenceLost):
            jobs.discard(copy.target, copy.own, [unit])
        assert newer.prepare(unit).committed == []
        with pytest.raises(FenceLost):
            jobs.claim(copy.target, copy.own, copy.units)


def test_other_run_is_refused_until_the_first_has_ended(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    jobs.claim(copy.target, copy.own, copy.units)
    for other in (owner(run="run2"), owner(store="store2")):
        with pytest.raises(TargetBusy, match=r"items.*run1") as refused:
            jobs.claim(copy.target, other, copy.units)
        assert f"doctor --clean {copy.target.name}" in refused.value.hint
    jobs.forget(copy.target, copy.own, copy.units)
    jobs.claim(copy.target, owner(run="run2"), copy.units)


def test_clean_drops_what_an_abandoned_run_left(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 40))
        copy.copy(unit, chunks[0])
        left = jobs.leftovers(copy.target)
        assert [(item.run_id, item.table, item.chunks, item.rows) for item in left] == [
            ("run1", "items", 1, 40)
        ]
        jobs.clean(copy.target, ["run1"])
        assert target.staging() == [] and jobs.leftovers(copy.target) == []
        with pytest.raises(SyncmonError):
            copy.copy(unit, chunks[1])
    Copy(source, target, owner(run="run2"), tables=["items"]).run()
    assert content(target) == sorted(ROWS)


def test_stop_leaves_the_target_as_it_was(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    make_table(source, "others")
    make_table(target, rows=[ROWS[5]])
    copy = Copy(source, target, tables=["items", "others"])
    with copy.claimed():
        items, others = copy.units
        copy.copy_all(items, 40)
        copy.copy_all(others, 40)
        copy.swap(others)
        gone = {
            d.unit_id: (d.kept, d.rows_kept)
            for d in jobs.discard(copy.target, copy.own, copy.units)
        }
    assert gone == {"items": (False, 0), "others": (True, len(ROWS))}
    assert content(target) == [ROWS[5]]
    assert content(target, "others") == sorted(ROWS)
    assert target.staging() == [] and jobs.leftovers(copy.target) == []


def test_second_swap_finds_the_first(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        copy.copy_all(unit, 40)
        assert copy.swap(unit) == copy.swap(unit)
        assert copy.prepare(unit).swapped
    assert content(target) == sorted(ROWS)


def test_swap_refuses_while_a_chunk_is_missing(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 40))
        for chunk in (chunks[0], chunks[2]):
            copy.copy(unit, chunk)
        with pytest.raises(CountMismatch, match="do not cover"):
            copy.swap(unit)
    assert "items" not in target.tables()


@pytest.mark.parametrize(
    "point", ["chunk.begin", "chunk.read", "chunk.written", "chunk.before_commit"]
)
def test_fault_before_commit_leaves_nothing(
    pair: Pair, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 40))
        with monkeypatch.context() as patch:
            _arm(patch, point)
            with pytest.raises(FaultInjected):
                copy.copy(unit, chunk)
        assert copy.prepare(unit).committed == []
        assert target.query(f'SELECT count(*) FROM "{target.staging()[0]}"') == [(0,)]
        assert not copy.copy(unit, chunk).replayed


def test_fault_after_commit_is_replayed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 40))
        with monkeypatch.context() as patch:
            _arm(patch, "chunk.after_commit")
            with pytest.raises(FaultInjected):
                copy.copy(unit, chunk)
        assert copy.copy(unit, chunk).replayed
        assert target.query(f'SELECT count(*) FROM "{target.staging()[0]}"') == [(40,)]


@pytest.mark.parametrize("point", ["swap.before_commit", "swap.after_commit"])
def test_fault_in_the_swap_is_all_or_nothing(
    pair: Pair, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[ROWS[0]])
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        copy.copy_all(copy.units[0], 40)
        with monkeypatch.context() as patch:
            _arm(patch, point)
            with pytest.raises(FaultInjected):
                copy.swap(copy.units[0])
        assert content(target) == ([ROWS[0]] if point == "swap.before_commit" else sorted(ROWS))
        copy.swap(copy.units[0])
    assert content(target) == sorted(ROWS)


def _arm(patch: pytest.MonkeyPatch, point: str) -> None:
    patch.setattr("syncmon_ext.sync.faults._ARMED", f"{point}:1:error")
    patch.setattr("syncmon_ext.sync.faults._seen", {})


def test_rows_that_do_not_land_fail_the_chunk(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"])
    route = copy.units[0].route
    opened = ROUTES[route]

    def losing(*arguments: Any) -> Any:
        @contextmanager
        def way() -> Any:
            with opened(*arguments) as open_way:

                def lose(*inner: Any) -> Any:
                    landed = open_way.copy(*inner)
                    return msgspec.structs.replace(landed, rows=landed.rows - 1)

                yield msgspec.structs.replace(open_way, copy=lose)

        return way()

    monkeypatch.setattr(chunk_copy, "ROUTES", {route: losing})
    with copy.claimed():
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 40))
        with pytest.raises(CountMismatch, match=r"items.*40 rows were read and 39 landed"):
            copy.copy(unit, chunk)
        assert copy.prepare(unit).committed == []


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


def test_keyless_table_starts_again_with_a_new_owner(pair: Pair) -> None:
    source, target = pair
    source.run("CREATE TABLE loose (v TEXT)")
    source.insert("loose", [(f"v{n}",) for n in range(2000)])
    copy = Copy(source, target, tables=["loose"])
    with copy.claimed():
        unit = copy.units[0]
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 500)))
    resumed = Copy(source, target, owner(token=2), tables=["loose"])
    with resumed.claimed():
        unit = resumed.units[0]
        mark = resumed.prepare(unit)
        assert mark.restarted and mark.committed == []
        assert not resumed.prepare(unit).restarted
        resumed.copy_all(unit, 500)
        resumed.swap(unit)
    assert sorted(target.query("SELECT v FROM loose")) == sorted((f"v{n}",) for n in range(2000))


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
