"""What is read in one snapshot, what begins again without it, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.sync import consistency
from tests.faults.harness import rig
from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
def test_table_that_lost_its_snapshot_begins_again(database: Maker, target_dialect: str) -> None:
    source, target = database("postgresql"), database(target_dialect)
    for table in ("done", "half"):
        source.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, v text)")
        source.insert(table, [(n, "first") for n in range(100)])
    spec = {"tables": ["done", "half"], "consistency": "snapshot"}
    first = Copy(source, target, **spec)
    with first.claimed():
        done, half = first.units
        first.copy_all(done, 40)
        first.copy(half, next(first.chunks(half, first.prepare(half), 40)))
        assert not first.prepare(half).restarted
    source.run("UPDATE half SET v = 'second'", "UPDATE done SET v = 'second'")
    again = Copy(source, target, owner(token=2), **spec)
    with again.claimed():
        done, half = again.units
        assert not again.prepare(done).restarted
        assert len(again.prepare(done).committed) == 1
        mark = again.prepare(half)
        assert mark.restarted and mark.committed == []
        again.copy_all(half, 40)
        again.swap(done)
        again.swap(half)
    assert target.query("SELECT DISTINCT v FROM half") == [("second",)]
    assert target.query("SELECT DISTINCT v FROM done") == [("first",)]


def test_sqlite_has_no_snapshot(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    copy = Copy(source, target, tables=["t"], consistency="snapshot")
    assert "SQLite exports no snapshot" in copy.units[0].errors[0]
    assert Copy(source, target, tables=["t"]).plan.consistency == consistency.PER_CHUNK


def test_table_without_a_key_is_one_chunk_where_there_is_no_snapshot(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (v int)")
    source.insert("t", [(n,) for n in range(50)])
    copy = Copy(source, target, tables=["t"], consistency="chunk")
    assert copy.units[0].chunk_method == "whole" and copy.plan.consistency == consistency.PER_CHUNK
    copy.run()
    assert len(target.query("SELECT v FROM t")) == 50


@pytest.mark.parametrize("wanted", [None, "snapshot", "chunk"])
def test_progress_says_what_holds(wanted: str | None, tmp_path: Path) -> None:
    options = {"consistency": wanted} if wanted else {}
    with rig(tmp_path, "postgresql-sqlite", throttle={"rows": 700}, **options) as it:
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 300)
        first = it.progress().consistency
        assert first == (consistency.PER_CHUNK if wanted == "chunk" else consistency.ONE_SNAPSHOT)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.COMPLETED, it.messages()
        assert (
            progress.consistency
            == {
                None: "several snapshots: what was copied before a pause or loss was read in an "
                "older one",
                "snapshot": "one snapshot for all chunks of a table; tables done before a pause were "
                "read in an older",
                "chunk": consistency.PER_CHUNK,
            }[wanted]
        )
        begun_again = any("the snapshot that it was read in is gone" in m for m in it.messages())
        assert begun_again == (wanted == "snapshot")
        it.assert_equal()
