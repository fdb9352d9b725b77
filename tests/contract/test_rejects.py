"""Bad rows are found, kept and tried again; all others are copied."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.errors import BadRow, CopyFailed, DatabaseUnavailable, TargetBusy
from syncmon_ext.sync import chunk_copy, fence, jobs, names
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.routes.registry import ROUTES
from tests.contract.pairs import Pair
from tests.contract.rejecting import copy_of, listed, make, replay
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker

REPAIRED = {"tables": ["items"], "mode": "append", "max_rejects": 5, "verify": "hash"}


@pytest.mark.parametrize("key", ["id", "id, v"])
def test_keys_that_the_target_cannot_hold_are_set_aside(database: Maker, key: str) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE items (id INT NOT NULL, v TEXT NOT NULL, PRIMARY KEY ({key}))")
    good = [(n, "good") for n in range(30)]
    source.insert("items", [*good, *((f"k{n}", "bad") for n in range(30)), (2.5, "bad")])
    target.run(f"CREATE TABLE items (id bigint, v text, PRIMARY KEY ({key}))")
    copy = copy_of(source, target, max_rejects=40, verify="hash")
    assert copy.run(10) == {"items": 30}
    assert sorted(target.query("SELECT id, v FROM items")) == good
    found = jobs.rejects(target.connection, "store1", "task", 100).rejects
    assert len(found) == 31, found[:2]


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
@pytest.mark.parametrize("size", [7, 1000])
def test_bad_rows_are_kept_and_the_rest_is_copied(pair: Pair, mode: str, size: int) -> None:
    source, target = pair
    bad = {0, 17, 18, 50, 99}
    make(source, [(n, "secret" if n in bad else f"v{n}") for n in range(100)])
    make(target, [], "CHECK (length(v) < 6)")
    copy = copy_of(source, target, mode=mode, max_rejects=5)
    assert copy.run(size) == {"items": 95}
    assert sorted(target.query("SELECT id FROM items")) == [
        (n,) for n in range(100) if n not in bad
    ]
    rejects = listed(target)
    assert set(rejects) == bad
    assert all("secret" not in reject.error for reject in rejects.values())
    assert "check" in rejects[17].error.lower()
    assert rejects[17].row == {"id": "17", "v": "secret"}
    assert rejects[17].unit_id == "items" and rejects[17].rejected_at.endswith("Z")
    assert jobs.leftovers(target.connection) == []


def test_swap_tells_how_many_rows_were_rejected(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "a"), (2, None)])
    make(target, [], "NOT NULL")
    copy = copy_of(source, target, max_rejects=1)
    with copy.claimed():
        copy.copy_all(copy.units[0], 10)
        assert "1 row was rejected" in copy.swap(copy.units[0])[0].warnings[-1]
    assert listed(target)[2].column == "v"


def test_first_bad_row_fails_without_max_rejects_and_one_too_many_with(pair: Pair) -> None:
    source, target = pair
    make(source, [(n, "bad" if n % 10 == 3 else "v") for n in range(40)])
    make(target, [(1000, "old")], "CHECK (v <> 'bad')")
    with pytest.raises(BadRow):
        copy_of(source, target).run()
    jobs.clean(target.connection, [item.run_id for item in jobs.leftovers(target.connection)])
    with pytest.raises(BadRow, match=r"more than 3 rows are bad \(max_rejects\)"):
        copy_of(source, target, max_rejects=3).run(10)
    assert target.query("SELECT id FROM items") == [(1000,)]


@pytest.mark.parametrize("most", [9, 10])
def test_chunks_side_by_side_set_no_more_rows_aside_than_may_be(
    database: Maker, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = database("sqlite"), database("postgresql")
    make(source, [(n, "bad" if n % 2 else "v") for n in range(20)])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, max_rejects=most)
    both, check = threading.Barrier(2), fence.check

    def met(*arguments: Any) -> None:
        both.wait(20)  # neither sees what the other has rejected
        check(*arguments)

    def copied(chunk: Chunk) -> None:
        copy.copy(unit, chunk)
        sessions.close_all()  # the thread's own

    unit = copy.units[0]
    with copy.claimed():
        chunks = list(copy.chunks(unit, copy.prepare(unit), 10))
        with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
            patch.setattr(chunk_copy.fence, "check", met)
            list(pool.map(copied, chunks))
        if most < 10:
            with pytest.raises(BadRow, match=r"10 rows are bad, more than 9 \(max_rejects\)"):
                copy.swap(unit)
        else:
            assert "10 rows were rejected" in copy.swap(unit)[0].warnings[-1]
    assert len(target.query("SELECT id FROM items")) == (0 if most < 10 else 10)


@pytest.mark.parametrize("kind", ["BIGINT", "TEXT"])
def test_row_that_was_mended_before_its_chunk_is_copied_again_is_set_aside_no_more(
    database: Maker, kind: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(f"CREATE TABLE items (id {kind} PRIMARY KEY, v TEXT)")
    target.run(f"CREATE TABLE items (id {kind}, v TEXT CHECK (v <> 'bad'))")
    source.insert("items", [(str(n), "bad" if n in {3, 5, 23} else "v") for n in range(10, 30)])
    source.insert("items", [("3", "bad"), ("5", "bad")])
    copy = copy_of(source, target, **REPAIRED)
    unit = copy.units[0]
    with copy.claimed():
        copy.copy_all(unit, 11)
    source.run("UPDATE items SET v = 'mended' WHERE id = '3'")
    again = Copy(source, target, owner(run=copy.own.run_id, token=2), **REPAIRED)
    with again.claimed():
        again.prepare(unit)
        target.run(
            f"UPDATE {names.landing(copy.own, unit)} SET v = 'else' WHERE id IN ('10', '11')"
        )
        for chunk in jobs.index(again.target, again.own, unit):
            again.copy(unit, chunk)
        assert "2 rows were rejected" in again.swap(unit)[0].warnings[-1]
    jobs.forget(again.target, again.own, again.units)
    assert {int(key) for key in listed(target)} == {5, 23}
    source.run("UPDATE items SET v = 'mended' WHERE v = 'bad'")
    assert replay(again) == (2, 0, 0)
    assert sorted(target.query("SELECT * FROM items")) == sorted(
        source.query("SELECT * FROM items")
    )


def test_row_that_a_trigger_holds_back_stays_among_the_rejects(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "v"), (2, "bad")])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, mode="append", max_rejects=1)
    copy.run()
    source.run("UPDATE items SET v = 'good' WHERE id = 2")
    if target.dialect == "postgresql":
        target.run(
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER hold BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION hold()",
        )
        drop = "DROP TRIGGER hold ON items"
    else:
        target.run("CREATE TRIGGER hold BEFORE INSERT ON items BEGIN SELECT RAISE(IGNORE); END")
        drop = "DROP TRIGGER hold"
    assert replay(copy) == (0, 0, 1)
    assert listed(target)[2].error == "the row does not come into the table"
    target.run(drop)
    assert replay(copy) == (1, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == [(1, "v"), (2, "good")]


def test_bad_rows_of_a_chunk_that_is_copied_again_count_once(pair: Pair) -> None:
    source, target = pair
    make(source, [(n, "bad" if n % 20 == 3 else "v") for n in range(60)])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, max_rejects=3, verify="hash")
    with copy.claimed():
        unit = copy.units[0]
        copy.copy_all(unit, 30)
        target.run(f"UPDATE {names.landing(copy.own, unit)} SET v = 'else' WHERE id < 2")
        damaged = jobs.index(copy.target, copy.own, unit)
        assert len(damaged) == 1
        copy.copy(unit, damaged[0])
        assert jobs.index(copy.target, copy.own, unit) == []
        copy.swap(unit)
    assert set(listed(target)) == {3, 23, 43}
    assert len(target.query("SELECT id FROM items WHERE v = 'v'")) == 57


def test_rejects_are_replayed_once_they_are_mended(pair: Pair) -> None:
    source, target = pair
    make(source, [(n, "bad" if n < 4 else "v") for n in range(20)])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, max_rejects=10)
    copy.run(6)
    assert replay(copy) == (0, 0, 4)
    source.run("UPDATE items SET v = 'mended' WHERE id IN (1, 2)", "DELETE FROM items WHERE id = 3")
    assert replay(copy) == (2, 1, 1)
    assert set(listed(target)) == {0}
    assert sorted(target.query("SELECT id, v FROM items WHERE id < 4")) == [
        (1, "mended"),
        (2, "mended"),
    ]
    assert target.staging() == [] and jobs.leftovers(target.connection) == []
    source.run("UPDATE items SET v = 'mended' WHERE id = 0")
    assert replay(copy) == (1, 0, 0)
    assert sorted(target.query("SELECT id, v FROM items")) == sorted(
        source.query("SELECT id, v FROM items")
    )


def test_replay_is_refused_while_a_run_holds_the_table(pair: Pair) -> None:
    source, target = pair
    make(source, [(1, "bad"), (2, "v")])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, max_rejects=1)
    copy.run()
    with copy_of(source, target, max_rejects=1).claimed(), pytest.raises(TargetBusy):
        replay(copy)


def test_lost_connection_is_no_reject(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = pair
    make(source, [(n, "v") for n in range(10)])
    copy = copy_of(source, target, max_rejects=100)

    def lost(*_: Any) -> Any:
        raise DatabaseUnavailable("the connection is lost")

    with copy.claimed():
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 10))
        with monkeypatch.context() as patch:
            patch.setattr(chunk_copy, "ROUTES", {**ROUTES, unit.route: lost})
            with pytest.raises(DatabaseUnavailable):
                copy.copy(unit, chunk)
        assert listed(target) == {}
        assert copy.prepare(unit).committed == []


def test_values_that_do_not_fit_are_named_with_their_column(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    make(source, [(1, "a"), (2, b"\x00blob"), (3, "nul\0inside"), (4, "c")])
    copy = copy_of(source, target, max_rejects=2)
    assert copy.run() == {"items": 2}
    rejects = listed(target)
    assert rejects[2].column == "v" and rejects[2].error == "the value is not a text"
    assert "NUL" in rejects[3].error
    numbers, sink = database("postgresql"), database("sqlite")
    numbers.run("CREATE TABLE items (id int PRIMARY KEY, v float8)")
    numbers.insert("items", [(1, 1.5), (2, float("nan")), (3, -0.0)])
    assert copy_of(numbers, sink, max_rejects=1).run() == {"items": 2}
    assert listed(sink)[2].column == "v" and "NaN" not in listed(sink)[2].error


def test_table_without_a_key_cannot_name_its_bad_rows(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE items (v text)")
    copy = copy_of(source, target, max_rejects=1)
    assert "max_rejects: items has no key" in copy.units[0].errors[0]
    with copy.claimed(), pytest.raises(CopyFailed):
        copy.prepare(copy.units[0])


@examples(15)
@given(
    keys=st.sets(st.integers(-50, 50), min_size=1, max_size=40),
    size=st.integers(1, 50),
    data=st.data(),
)
def test_any_bad_rows_in_chunks_of_any_size(
    database: Maker, keys: set[int], size: int, data: st.DataObject
) -> None:
    source, target = database("sqlite"), database("sqlite")
    bad = data.draw(st.sets(st.sampled_from(sorted(keys))))
    make(source, [(key, "bad" if key in bad else "v") for key in keys])
    make(target, [], "CHECK (v <> 'bad')")
    copy_of(source, target, max_rejects=50).run(size)
    assert {row[0] for row in target.query("SELECT id FROM items")} == keys - bad
    assert set(listed(target)) == bad


def test_bisecting_keeps_the_connections_and_tries_no_half_that_must_be_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make(source, [(n, "bad" if n in (40, 63) else "v") for n in range(64)])
    make(target, [], "CHECK (v <> 'bad')")
    copy = copy_of(source, target, max_rejects=2)
    parts: list[Any] = []
    opened: list[str] = []
    attempted, connect = chunk_copy.attempted, sessions.connect

    def noted_part(way: Any, unit: Any, part: Any, table: str) -> Any:
        parts.append(part)
        return attempted(way, unit, part, table)

    def noted_connection(connection: Any, role: str) -> Any:
        opened.append(role)
        return connect(connection, role)

    monkeypatch.setattr(chunk_copy, "attempted", noted_part)
    monkeypatch.setattr(sessions, "connect", noted_connection)
    assert copy.run(64) == {"items": 62}
    assert set(listed(target)) == {40, 63}
    # All; [0, 32), [32, 48), [32, 40), [40, 44), [40, 42), {40}, {41}, [42, 44), [44, 48); then, since
    # one of two halves is clean, [48, 56), [56, 60), [60, 62), {62}, {63} without what holds them.
    assert len(parts) == 16
    # From socket to socket, a refusal may come while rows are on their way: that connection is lost.
    assert len(opened) <= 5 or copy.units[0].route != "postgresql_sqlite"
