"""How long a bad row stays among the rejects: until it is replayed, or a later run makes that needless."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syncmon_ext.sync import jobs
from tests.contract.pairs import Pair
from tests.contract.rejecting import copy_of, listed, make, replay
from tests.sync.copying import Copy


def test_stop_and_a_fresh_run_take_rejects_away(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    stopped = copy_of(source, target, max_rejects=1)
    with stopped.claimed():
        stopped.copy_all(stopped.units[0], 10)
        assert set(listed(target)) == {1}
        jobs.discard(stopped.target, stopped.own, stopped.units)
    assert listed(target) == {}
    copy_of(source, target, max_rejects=1).run()
    source.run("UPDATE items SET v = 'mended' WHERE id = 1")
    copy_of(source, target, max_rejects=1).run()
    assert listed(target) == {}


def test_incremental_keeps_its_rejects_for_a_replay(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    spec = {"mode": "incremental", "tables": [{"name": "items", "cursor": "id"}], "max_rejects": 9}
    copy_of(source, target, **spec).run()
    source.insert("items", [(3, "v")])
    copy = copy_of(source, target, **spec)
    copy.run()
    assert set(listed(target)) == {1}
    source.run("UPDATE items SET v = 'mended' WHERE id = 1")
    assert replay(copy) == (1, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == [(1, "mended"), (2, "v"), (3, "v")]


def test_stop_keeps_what_the_run_before_has_rejected(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    first = copy_of(source, target, max_rejects=1)
    first.run()
    stopped = copy_of(source, target, max_rejects=1)
    with stopped.claimed():
        stopped.copy_all(stopped.units[0], 10)
        jobs.discard(stopped.target, stopped.own, stopped.units)
    assert listed(target)[1].run_id == first.own.run_id
    source.run("UPDATE items SET v = 'mended' WHERE id = 1")
    assert replay(first) == (1, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == [(1, "mended"), (2, "v")]


def test_doctor_takes_away_the_rejects_of_rows_that_never_came_into_place(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    left = copy_of(source, target, mode="append", max_rejects=1)
    jobs.claim(left.target, left.own, left.units)
    left.copy_all(left.units[0], 10)
    jobs.clean(target.connection, [left.own.run_id])
    assert listed(target) == {} and target.staging() == []


@pytest.mark.parametrize("size", [1, 10])
def test_row_is_not_replayed_into_a_table_that_another_task_has_replaced(
    pair: Pair, size: int
) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    kind = "BIGINT" if target.dialect == "postgresql" else "INTEGER"
    target.run(f"CREATE TABLE items (id {kind}, v TEXT CHECK (v <> 'bad'))")  # no key refuses it
    first = copy_of(source, target, mode="append", max_rejects=1)
    first.run()
    source.run("UPDATE items SET v = 'mended' WHERE id = 1")
    other = copy_of(source, target)
    other.own = msgspec.structs.replace(other.own, task_id="other")
    other.run(size)
    assert replay(first) == (0, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == [(1, "mended"), (2, "v")]


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_slices_keep_their_rejects_and_their_filter(pair: Pair, mode: str) -> None:
    source, target = pair
    make(source, [(n, "bad" if n in (1, 2, 11, 12) else "v") for n in range(20)])
    make(target, [], "CHECK (v <> 'bad')")

    def of(where: dict[str, Any]) -> Copy:
        tables = [{"name": "items", "where": where}]
        return copy_of(source, target, tables=tables, mode=mode, max_rejects=5)

    first, second = of({"id": {"<": 10}}), of({"id": {">=": 10}})
    first.run(4)
    second.run(4)
    assert set(listed(target)) == {1, 2, 11, 12}
    source.run(
        "UPDATE items SET v = 'mended' WHERE id IN (1, 11)", "DELETE FROM items WHERE id = 2"
    )
    assert replay(second) == (2, 1, 1)
    assert set(listed(target)) == {12}
    source.run("UPDATE items SET v = 'mended' WHERE id = 12")
    if mode == "merge":  # reads it again
        of({"id": {">=": 10}}).run(4)
        assert listed(target) == {}
    else:
        assert replay(second) == (1, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == sorted(
        source.query("SELECT id, v FROM items")
    )


def test_row_that_stays_bad_is_listed_once_by_runs_that_merge_it(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    tables = [{"name": "items", "cursor": "id"}]
    incremental = {"tables": tables, "mode": "incremental", "lag_seconds": 0, "max_rejects": 5}
    copy_of(source, target, **incremental).run()
    source.insert("items", [(3, "bad")])
    second = copy_of(source, target, **incremental)
    second.run()
    source.run("UPDATE items SET id = 4 WHERE id = 3")
    found = listed(target)
    assert set(found) == {1, 3} and found[3].run_id == second.own.run_id
    again = copy_of(source, target, mode="merge", max_rejects=5)
    again.run()
    assert {key: reject.run_id for key, reject in listed(target).items()} == {
        1: again.own.run_id,
        4: again.own.run_id,
    }
