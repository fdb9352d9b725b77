"""What ``merge`` and ``incremental`` must hold to, for each pair of databases."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs, watermark
from syncmon_ext.sync.faults import FaultInjected
from tests.contract.pairs import Pair
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

_runs = itertools.count(1)
EVENTS = {"name": "events", "cursor": "updated_at"}


def make_events(db: Database, rows: list[tuple[Any, ...]]) -> None:
    time = "TIMESTAMP" if db.dialect == "postgresql" else "TEXT"
    db.run(
        f"CREATE TABLE events (id BIGINT NOT NULL PRIMARY KEY, v TEXT, updated_at {time})"
        if db.dialect == "postgresql"
        else f"CREATE TABLE events (id INTEGER NOT NULL PRIMARY KEY, v TEXT, updated_at {time})"
    )
    db.insert("events", rows)


def at(second: int) -> str:
    return f"2024-03-01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def content(db: Database) -> list[tuple[Any, ...]]:
    return sorted(
        (i, v, t and str(t)) for i, v, t in db.query("SELECT id, v, updated_at FROM events")
    )


def run(source: Database, target: Database, size: int = 3, **spec: Any) -> Copy:
    spec.setdefault("tables", [EVENTS] if spec.get("mode") == "incremental" else ["events"])
    copy = Copy(source, target, owner(run=f"run{next(_runs)}"), **spec)
    assert [unit.errors for unit in copy.units] == [[] for _ in copy.units]
    copy.run(size)
    return copy


def test_merge_updates_inserts_and_keeps_the_rest(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, f"new {n}", at(n)) for n in range(10)])
    make_events(target, [(5, "old", at(0)), (100, "kept", None)])
    target.run("CREATE VIEW seen AS SELECT v FROM events")
    for _ in range(2):  # twice is as good as once
        copy = run(source, target, mode="merge")
        assert copy.units[0].swap == "merge"
        assert content(target) == sorted([*content(source), (100, "kept", None)])
    assert target.staging() == [] and jobs.leftovers(target.connection) == []


def test_merge_makes_a_table_that_can_be_merged_into(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(n)) for n in range(10)])
    run(source, target, mode="merge")
    source.run("UPDATE events SET v = 'second' WHERE id > 6", "DELETE FROM events WHERE id = 0")
    run(source, target, mode="merge")
    assert content(target) == sorted([*content(source), (0, "first", at(0))])


def test_merge_by_a_key_that_chunks_cannot_be_cut_by(pair: Pair) -> None:
    source, target = pair
    source.run("CREATE TABLE loose (code TEXT NOT NULL, v TEXT)")
    source.insert("loose", [(f"c{n}", "new") for n in range(20)])
    table = {"name": "loose", "key": ["code"]}
    run(source, target, mode="merge", tables=[table])
    target.run("UPDATE loose SET v = 'changed'")
    run(source, target, mode="merge", tables=[table])
    assert sorted(target.query("SELECT code, v FROM loose")) == sorted(
        source.query("SELECT code, v FROM loose")
    )
    source.insert("loose", [("c7", "twice")])
    with pytest.raises(CopyFailed, match=r"share one key \(code\)"):
        run(source, target, mode="merge", tables=[table])
    assert target.query("SELECT count(*) FROM loose") == [(20,)]


def test_stop_of_a_merge_leaves_all_as_it_was(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "new", at(n)) for n in range(10)])
    make_events(target, [(5, "old", at(0))])
    copy = Copy(source, target, mode="merge", tables=["events"])
    with copy.claimed():
        copy.copy_all(copy.units[0], 3)
        assert content(target) == [(5, "old", at(0))]
        jobs.discard(copy.target, copy.own, copy.units)
    assert content(target) == [(5, "old", at(0))]
    assert target.staging() == []


def test_incremental_reads_what_is_new(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(n)) for n in range(10)])
    run(source, target, mode="incremental")
    assert content(target) == content(source)
    source.run(
        f"UPDATE events SET v = 'changed', updated_at = '{at(20)}' WHERE id = 3",
        "UPDATE events SET v = 'silently' WHERE id = 4",  # no cursor tells of it
        f"INSERT INTO events VALUES (50, 'added', '{at(21)}')",
        "DELETE FROM events WHERE id = 0",
    )
    copy = Copy(source, target, owner(run="second"), mode="incremental", tables=[EVENTS])
    assert copy.run(3) == {"events": 3}  # 3 and 50, and 9 that stands at the watermark
    rows = {i: v for i, v, _ in content(target)}
    assert (rows[3], rows[4], rows[50], rows[0]) == ("changed", "first", "added", "first")


def test_incremental_skips_none_at_the_watermark_or_late(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(100)) for n in range(5)])
    run(source, target, mode="incremental", lag_seconds=30)
    source.insert(
        "events",
        [
            (10, "the same instant", at(100)),
            (11, "committed late", at(71)),
            (12, "at the lag's edge", at(70)),
            (13, "too late", at(69)),
        ],
    )
    run(source, target, mode="incremental", lag_seconds=30)
    assert {i for i, _, _ in content(target)} == {0, 1, 2, 3, 4, 10, 11, 12}


def test_row_updated_while_copying_is_not_skipped(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(n)) for n in range(9)])
    copy = Copy(source, target, owner(run="one"), mode="incremental", tables=[EVENTS])
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 3))
        copy.copy(unit, chunks[0])
        source.run(
            f"UPDATE events SET v = 'second', updated_at = '{at(30)}' WHERE id IN (1, 7)",
            f"INSERT INTO events VALUES (4000, 'third', '{at(31)}')",
        )
        for chunk in chunks[1:]:
            copy.copy(unit, chunk)
        copy.swap(unit)
    jobs.forget(copy.target, copy.own, copy.units)
    run(source, target, mode="incremental")
    assert content(target) == content(source)


def test_null_cursors_are_counted_and_left(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(1, "a", at(1)), (2, "b", None), (3, "c", None)])
    copy = Copy(source, target, mode="incremental", tables=[EVENTS])
    with copy.claimed():
        mark = copy.prepare(copy.units[0])
    assert (
        len(mark.warnings) == 1
        and "2 rows have no value in the cursor updated_at" in (mark.warnings[0])
    )
    jobs.discard(copy.target, copy.own, copy.units)
    run(source, target, mode="incremental")
    assert content(target) == [(1, "a", at(1))]


def test_source_without_any_cursor_leaves_the_watermark(pair: Pair) -> None:
    source, target = pair
    make_events(source, [])
    run(source, target, mode="incremental")
    source.insert("events", [(1, "a", at(5))])
    run(source, target, mode="incremental")
    source.run("DELETE FROM events")
    run(source, target, mode="incremental")
    source.insert("events", [(2, "old", at(4)), (3, "new", at(6))])
    run(source, target, mode="incremental")
    assert {i for i, _, _ in content(target)} == {1, 3}


def test_watermark_survives_a_stop_and_advances_with_the_rows(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(n)) for n in range(5)])
    run(source, target, mode="incremental")
    source.run(f"UPDATE events SET v = 'new', updated_at = '{at(50)}' WHERE id < 2")
    stopped = Copy(source, target, owner(run="stopped"), mode="incremental", tables=[EVENTS])
    with stopped.claimed():
        stopped.copy_all(stopped.units[0], 3)
        with monkeypatch.context() as patch:
            patch.setattr("syncmon_ext.sync.faults._ARMED", "swap.before_commit:1:error")
            patch.setattr("syncmon_ext.sync.faults._seen", {})
            with pytest.raises(FaultInjected):
                stopped.swap(stopped.units[0])
        jobs.discard(stopped.target, stopped.own, stopped.units)
    assert {v for _, v, _ in content(target)} == {"first"}
    copy = Copy(source, target, owner(run="after"), mode="incremental", tables=[EVENTS])
    assert copy.run() == {"events": 3}
    assert content(target) == content(source)


def test_other_columns_or_filter_are_read_from_the_start(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    some = {**EVENTS, "where": {"id": {">": 2}}}
    run(source, target, mode="incremental", tables=[some])
    assert len(content(target)) == 3
    run(source, target, mode="incremental")
    assert content(target) == content(source)


def test_dropped_target_is_filled_again(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    run(source, target, mode="incremental")
    target.run("DROP TABLE events")
    run(source, target, mode="incremental")
    assert content(target) == content(source)


EMPTYING = {
    "emptied": ["DELETE FROM events"],
    "made anew": [
        "DROP TABLE events",
        "CREATE TABLE events (id {id} NOT NULL PRIMARY KEY, v TEXT, updated_at {at})",
    ],
}


@pytest.mark.parametrize("emptying", EMPTYING.values(), ids=EMPTYING)
def test_emptied_target_is_filled_again(pair: Pair, emptying: list[str]) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    run(source, target, mode="incremental")
    one = {**EVENTS, "where": {"id": 1}}
    run(source, target, mode="incremental", tables=[one])
    of = {"postgresql": ("BIGINT", "TIMESTAMP"), "sqlite": ("INTEGER", "TEXT")}[target.dialect]
    for statement in emptying:
        target.run(statement.format(id=of[0], at=of[1]))
    source.insert("events", [(9, "new", at(9))])
    copy = Copy(source, target, mode="incremental", tables=[EVENTS])
    assert watermark.EMPTIED in copy.units[0].warnings
    # What another filter brought is gone as well, though the table is no longer empty by then.
    run(source, target, mode="incremental", tables=[{**EVENTS, "where": {"id": 9}}])
    run(source, target, mode="incremental", tables=[one])
    run(source, target, mode="incremental")
    assert content(target) == content(source)
    copy = Copy(source, target, mode="incremental", tables=[EVENTS])
    assert not {watermark.EMPTIED, watermark.MADE_ANEW}.intersection(copy.units[0].warnings)


@pytest.mark.parametrize("way", ["renamed", "moved", "batch"])
def test_target_that_was_replaced_is_filled_again(pair: Pair, way: str) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    source.run("CREATE TABLE other (id INTEGER NOT NULL PRIMARY KEY, at INTEGER)")
    source.insert("other", [(1, 1)])
    run(source, target, mode="incremental", tables=[EVENTS, {"name": "other", "cursor": "at"}])
    if way == "moved" and target.dialect == "postgresql":
        target.run("CREATE VIEW seen AS SELECT v FROM events")
    some: dict[str, Any] = {"mode": "replace", "tables": [{**EVENTS, "where": {"id": {"<": 2}}}]}
    del some["tables"][0]["cursor"]
    if way == "batch":
        copy = Copy(source, target, owner(run=f"run{next(_runs)}"), verify="count", **some)
        with copy.claimed():
            args = (copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
            assert len(jobs.batch(*args).placed) == 1
        jobs.forget(copy.target, copy.own, copy.units)
    else:
        run(source, target, **some)
    assert len(content(target)) == 2
    known = "_syncmon_watermarks" if target.dialect == "sqlite" else "_syncmon.watermarks"
    assert target.query(f"SELECT target_table FROM {known}") == [("other",)]
    source.insert("events", [(9, "new", at(9))])
    run(source, target, mode="incremental")
    assert content(target) == content(source)


def test_stopped_replace_leaves_the_watermark(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    run(source, target, mode="incremental")
    copy = Copy(source, target, owner(run="stopped"), mode="replace", tables=["events"])
    with copy.claimed():
        copy.copy_all(copy.units[0], 3)
        jobs.discard(copy.target, copy.own, copy.units)
    last = Copy(source, target, owner(run="after"), mode="incremental", tables=[EVENTS])
    assert last.run() == {"events": 1}


def test_target_that_was_made_anew_with_rows_is_filled_again(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    run(source, target, mode="incremental")
    target.run("DROP TABLE events")
    make_events(target, [(5, "v", at(5))])
    copy = run(source, target, mode="incremental")
    assert watermark.MADE_ANEW in copy.units[0].warnings
    assert content(target) == content(source)


def test_target_that_is_emptied_while_it_is_copied_is_not_called_complete(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(6)])
    run(source, target, mode="incremental")
    source.insert("events", [(9, "new", at(9))])
    copy = Copy(source, target, owner(run="late"), mode="incremental", tables=[EVENTS])
    with copy.claimed():
        copy.copy_all(copy.units[0], 3)
        target.run("DELETE FROM events")
        with pytest.raises(CopyFailed, match="events: it was emptied or made anew") as caught:
            copy.swap(*copy.units)
    assert "fresh" in caught.value.hint
    jobs.discard(copy.target, copy.own, copy.units)
    run(source, target, mode="incremental")
    assert content(target) == content(source)


def test_resume_reads_the_window_that_was_opened(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "v", at(n)) for n in range(9)])
    copy = Copy(source, target, mode="incremental", tables=[EVENTS])
    with copy.claimed():
        unit = copy.units[0]
        mark = copy.prepare(unit)
        copy.copy(unit, next(copy.chunks(unit, mark, 3)))
    source.insert("events", [(100, "later", at(100))])
    resumed = Copy(source, target, owner(token=2), mode="incremental", tables=[EVENTS])
    with resumed.claimed():
        again = resumed.prepare(unit)
        assert again.window == mark.window
        for chunk in resumed.chunks(unit, again, 3):
            resumed.copy(unit, chunk)
        resumed.swap(unit)
    assert len(content(target)) == 9


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@examples(12)
@given(data=st.data())
def test_runs_of_incremental_catch_up_with_any_history(
    database: Maker, target_dialect: str, data: st.DataObject
) -> None:
    source, target = database("sqlite"), database(target_dialect)
    make_events(source, [])
    clock = 0
    changes = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=8)
    for _ in range(data.draw(st.integers(1, 4))):
        for key, step in data.draw(changes):
            clock += step
            source.run(
                f"INSERT INTO events VALUES ({key}, 'v{clock}-{key}', '{at(clock)}') ON CONFLICT (id) "
                "DO UPDATE SET v = excluded.v, updated_at = excluded.updated_at"
            )
        run(source, target, data.draw(st.integers(1, 5)), mode="incremental")
        assert content(target) == content(source)


def test_source_that_was_set_back_is_told(pair: Pair) -> None:
    source, target = pair
    make_events(source, [(n, "first", at(n)) for n in range(10)])
    run(source, target, mode="incremental")
    told = []
    for change in (
        ["UPDATE events SET v = 'same' WHERE id = 9"],
        ["DELETE FROM events WHERE id > 5", f"INSERT INTO events VALUES (6, 'other', '{at(6)}')"],
        ["DELETE FROM events"],
        [f"INSERT INTO events VALUES (9, 'other', '{at(9)}')"],
    ):
        source.run(*change)
        copy = Copy(
            source, target, owner(run=f"run{next(_runs)}"), mode="incremental", tables=[EVENTS]
        )
        with copy.claimed():
            mark = copy.prepare(copy.units[0])
        told.append([warning for warning in mark.warnings if "it was set back" in warning])
        jobs.discard(copy.target, copy.own, copy.units)
    assert [len(warnings) for warnings in told] == [0, 1, 0, 0]
    assert "mode = replace" in told[1][0]
