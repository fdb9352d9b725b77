"""What a resume finds, whatever ended the run: chunks that are committed, for their owner alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.errors import (
    CountMismatch,
    DatabaseUnavailable,
    FenceLost,
    SyncmonError,
    TargetBusy,
)
from syncmon_ext.sync import chunk_copy, jobs
from syncmon_ext.sync.faults import FaultInjected
from syncmon_ext.sync.routes.registry import ROUTES
from tests.contract.items import ROWS, content, make_table
from tests.contract.pairs import Pair
from tests.sync.copying import Copy, owner


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
