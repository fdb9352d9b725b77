"""Steering real runs: pause, stop, SIGTERM, failures, two owners, changed tasks, missing secrets."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from syncmon_ext.model.errors import ConfigChanged, WrongState
from syncmon_ext.model.state import ENDED, State, UnitState
from syncmon_ext.model.task import Throttle
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import units
from syncmon_ext.sync import launcher
from syncmon_ext.sync.lease import process_of
from tests.faults.harness import ROUTES, ROWS, Rig, made_rows, rig

SLOW = {"rows": 800}
LONG = os.environ.get("SYNCMON_FAULTS") == "long"


def under_way(it: Rig) -> None:
    it.control.start("nightly")
    it.until(lambda: it.progress().rows_committed > 300)


def worker(it: Rig) -> psutil.Process:
    owner = it.owner()
    assert owner is not None
    process = process_of(owner)
    assert process is not None
    return process


@pytest.mark.parametrize("route", ROUTES)
def test_pause_drains_and_resume_goes_on(route: str, tmp_path: Path) -> None:
    with rig(tmp_path, route, throttle=SLOW) as it:
        under_way(it)
        group = [worker(it), *worker(it).children(recursive=True)]
        began = time.monotonic()
        assert it.control.pause("nightly").state is State.PAUSING
        assert time.monotonic() - began < 2.0
        it.until(lambda: it.progress().state is State.PAUSED, 5)
        it.until(lambda: not any(process.is_running() for process in group), 5)
        paused = it.progress()
        assert 0 < paused.rows_committed < ROWS
        assert {u.state for u in paused.units} <= {
            UnitState.PAUSED,
            UnitState.COMPLETED,
            UnitState.PENDING,
        }
        it.control.start("nightly")
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()
        assert any("flights: resumed" in message for message in it.messages())


@pytest.mark.parametrize("route", ROUTES)
def test_stop_leaves_unfinished_tables_as_they_were(route: str, tmp_path: Path) -> None:
    with rig(tmp_path, route, throttle=SLOW) as it:
        it.target.execute(
            "CREATE TABLE flights (id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(8), "
            "delay DOUBLE PRECISION, note TEXT)"
        )
        it.target.execute("INSERT INTO flights VALUES (?, ?, ?, ?)", [(-1, "OLD", 1.0, "stays")])
        old = it.target.content("flights")
        under_way(it)
        run_id = it.progress().run_id
        assert it.control.stop("nightly").state is State.STOPPING
        it.until(lambda: it.progress().state is State.STOPPED, 10)
        assert it.target.content("flights") == old
        assert it.target.leftovers() == []
        assert it.target.checkpoints() == {}
        final = it.progress()
        assert {u.unit_id: u.state for u in final.units}["flights"] is UnitState.STOPPED
        assert final.rows_committed > 300
        with it.store.read() as connection:
            assert run_id is not None
            assert units.units_of_run(connection, run_id) == []
        assert any(message.startswith("stopped:") for message in it.messages())
        it.control.start("nightly")
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


def test_second_stop_is_acknowledged_and_changes_nothing(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.signal_worker(signal.SIGSTOP)  # so that the stop lasts until both have asked
        assert it.control.stop("nightly").state is State.STOPPING
        before = it.messages()
        assert it.control.stop("nightly").state is State.STOPPING
        assert it.messages() == before
        with pytest.raises(WrongState, match="is stopping: it cannot pause") as caught:
            it.control.pause("nightly")
        assert caught.value.hint == "it can: nothing until that is done"
        it.signal_worker(signal.SIGCONT)
        it.until(lambda: it.progress().state is State.STOPPED, 10)
        with pytest.raises(WrongState, match="is stopped: it cannot stop"):
            it.control.stop("nightly")


def test_second_pause_is_refused_as_the_first_is_on_its_way(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.signal_worker(signal.SIGSTOP)
        assert it.control.pause("nightly").state is State.PAUSING
        with pytest.raises(WrongState, match="is pausing: it cannot pause") as caught:
            it.control.pause("nightly")
        assert caught.value.hint == "it can: stop"
        it.signal_worker(signal.SIGCONT)
        it.until(lambda: it.progress().state is State.PAUSED, 10)


def test_stop_of_a_paused_run_clears_the_target(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        it.control.stop("nightly")
        it.until(lambda: it.progress().state is State.STOPPED, 10)
        assert it.target.leftovers() == []
        with pytest.raises(WrongState, match="is stopped: it cannot pause"):
            it.control.pause("nightly")


def test_sigterm_drains_within_ten_seconds_and_the_run_is_taken_up(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-postgresql", throttle=SLOW) as it:
        under_way(it)
        process = worker(it)
        process.terminate()
        it.until(lambda: not process.is_running(), 10, watch=False)
        assert it.progress().state is State.INTERRUPTED
        it.until(lambda: it.progress().state is State.RUNNING)
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


def test_one_failed_table_leaves_the_others_and_is_resumed_alone(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite") as it:
        it.source.execute("ALTER TABLE carriers RENAME TO hidden")
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        assert progress.failed_tables == 1
        assert progress.error is not None
        assert "1 of 4 tables failed: carriers" in progress.error
        states = {u.unit_id: u for u in progress.units}
        assert states["flights"].state is UnitState.COMPLETED
        assert "carriers" in (states["carriers"].error or "")
        it.source.execute("ALTER TABLE hidden RENAME TO carriers")
        finished = states["flights"].finished_at
        it.control.start("nightly", fresh=True, only_failed=True)
        assert it.until_ended().state is State.COMPLETED
        assert it.target.content("carriers") == it.source.content("carriers")
        assert finished is not None


def test_chunk_that_commits_after_its_table_has_failed_is_counted(tmp_path: Path) -> None:
    tables = ["flights", "carriers", "empty"]
    with rig(tmp_path, "sqlite-postgresql", throttle={"rows": 400}, tables=tables) as it:
        more = [(f"M{number}", "goes on meanwhile") for number in range(800)]
        it.source.execute("INSERT INTO carriers VALUES (?, ?)", more)
        bad = made_rows(1_500)["flights"][310][0]  # PostgreSQL has no text with a NUL
        it.source.execute(f"UPDATE flights SET note = 'a' || char(0) WHERE id = {bad}")
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        [flights] = [unit for unit in progress.units if unit.state is UnitState.FAILED]
        there = {key: rows for key, (_, rows) in it.target.checkpoints().items()}
        assert flights.rows_committed == sum(
            rows for (unit_id, _, _), rows in there.items() if unit_id == "flights"
        )


def test_start_twice_is_refused_and_the_same_key_starts_once(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        first = it.control.start("nightly", idempotency_key="k1")
        again = it.control.start("nightly", idempotency_key="k1")
        assert again.run_id == first.run_id
        with pytest.raises(WrongState, match="is running: it cannot start") as caught:
            it.control.start("nightly")
        assert caught.value.hint == "it can: pause, stop"


def test_two_workers_for_one_run_are_one(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        run_id, lease = it.progress().run_id, it.lease()
        assert run_id is not None
        launcher.launch(it.store.url, run_id, lease.token - 1)  # as a second server that was slower
        rows = it.progress().rows_committed
        it.until(lambda: it.progress().rows_committed > rows)
        assert it.owner() == lease.owner


def test_worker_outlives_every_observer_and_is_adopted_not_doubled(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        owner = it.owner()
        other = Supervisor(it.store)
        for _ in range(5):
            other.check()
        assert it.owner() == owner
        assert TaskControl(it.store, it.catalog, other).pause("nightly").state is State.PAUSING
        it.until(lambda: it.progress().state is State.PAUSED, 5)


def test_frozen_worker_that_was_taken_over_writes_nothing_when_it_thaws(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-postgresql", flights=9_000, throttle=SLOW) as it:
        under_way(it)
        frozen = worker(it)
        group = [frozen, *frozen.children(recursive=True)]
        it.signal_worker(signal.SIGSTOP)
        # On another host, so that nobody can simply end it.
        with it.store.write() as connection:
            connection.execute(text("UPDATE runs SET owner_host = 'another-host'"))
        impatient = Supervisor(it.store, lease_seconds=1.0)
        it.until(lambda: (impatient.check(), it.owner() is not None)[1])
        it.until(
            lambda: (impatient.check(), (o := it.owner()) is not None and o.pid != frozen.pid)[1]
        )
        rows = it.progress().rows_committed
        it.until(lambda: it.progress().rows_committed > rows, watch=False)
        for process in group:
            if process.is_running():
                process.resume()
        it.until(lambda: not frozen.is_running(), 30, watch=False)
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


def test_changed_task_is_not_resumed_but_begun_afresh(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        toml = it.folder / "syncmon.toml"
        toml.write_text(toml.read_text().replace('"carriers", "flights"', '"flights"'))
        with pytest.raises(ConfigChanged, match="tables"):
            it.control.start("nightly")
        it.control.start("nightly", fresh=True)
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        assert it.target.content("flights") == it.source.content("flights")
        assert it.target.leftovers() == []


def test_changed_schema_pauses_the_resume_and_says_so(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        it.source.execute("ALTER TABLE flights ADD COLUMN extra TEXT")
        it.control.start("nightly")
        it.until(lambda: it.progress().state is State.PAUSED and it.progress().error is not None)
        assert "flights" in (it.progress().error or "")
        with pytest.raises(ConfigChanged):
            it.control.start("nightly")
        it.control.start("nightly", fresh=True)
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        assert it.target.content("flights") == it.source.content("flights")


def test_address_that_is_corrected_is_used_by_the_run_that_failed_for_it(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-postgresql") as it:
        toml = it.folder / "syncmon.toml"
        good = toml.read_text()
        toml.write_text(good.replace("/source.db", "/sauce.db"))
        it.control.start("nightly")
        assert it.until_ended().state is State.FAILED
        toml.write_text(good)
        run_id = it.control.start("nightly").run_id
        assert it.until_ended().state is State.COMPLETED
        assert it.progress().run_id == run_id
        assert "sauce.db" in "".join(it.messages())
        it.assert_equal()


def test_run_that_has_rows_is_not_resumed_into_another_database(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        toml = it.folder / "syncmon.toml"
        good = toml.read_text()
        for file in ("source.db", "target.db"):
            toml.write_text(good.replace(f"/{file}", "/other.db"))
            with pytest.raises(ConfigChanged, match=rf"connection .*/{file} to .*/other\.db"):
                it.control.start("nightly")
            assert it.progress().state is State.PAUSED
        toml.write_text(good)
        it.control.start("nightly")
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


def test_run_that_has_rows_goes_on_with_another_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, "sqlite-postgresql", throttle=SLOW) as it:
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        toml = it.folder / "syncmon.toml"
        toml.write_text(
            toml.read_text().replace(
                "[tasks.nightly]", 'password = { env = "NEW_PASSWORD" }\n[tasks.nightly]', 1
            )
        )
        it.control.start("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        assert "NEW_PASSWORD" in (it.progress().error or ""), "the new reference is the one in use"
        monkeypatch.setenv("NEW_PASSWORD", "s3cret")
        it.control.start("nightly")
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


def test_missing_secret_pauses_names_it_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, "sqlite-postgresql") as it:
        toml = it.folder / "syncmon.toml"
        toml.write_text(
            toml.read_text().replace(
                "[tasks.nightly]", 'password = { env = "WAREHOUSE_PASSWORD" }\n[tasks.nightly]', 1
            )
        )
        it.control.start("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        assert "WAREHOUSE_PASSWORD" in (it.progress().error or "")
        monkeypatch.setenv("WAREHOUSE_PASSWORD", "s3cret@/%#canary")
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED
        assert it.progress().error is None
        it.assert_equal()
        assert "s3cret" not in repr(it.messages())
        dump = "\n".join(sqlite3.connect(it.folder / "store.db").iterdump())
        assert "s3cret" not in dump


def test_secret_that_is_missing_in_the_middle_of_a_run_pauses_it_as_well(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("never asked for\n")
    with rig(tmp_path, "sqlite-postgresql", throttle=SLOW) as it:
        toml = it.folder / "syncmon.toml"
        reference = f'password = {{ file = "{secret}" }}\n[tasks.nightly]'
        toml.write_text(toml.read_text().replace("[tasks.nightly]", reference, 1))
        under_way(it)
        secret.unlink()
        it.target.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'syncmon/%'"
        )
        it.until(lambda: it.progress().state in {State.PAUSED, *ENDED})
        assert it.progress().state is State.PAUSED, it.messages()
        assert str(secret) in (it.progress().error or "")
        assert all(unit.state is not UnitState.FAILED for unit in it.progress().units)
        secret.write_text("never asked for\n")
        it.control.start("nightly")
        it.finish()


@pytest.mark.parametrize("route", ROUTES if LONG else ROUTES[1:3])
def test_throttle_changes_the_pace_of_a_running_copy(
    route: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with rig(tmp_path, route, flights=12_000, chunk_rows=1_000, throttle={"rows": 300}) as it:
        under_way(it)
        began, rows = time.monotonic(), it.progress().rows_committed
        it.control.set_throttle("nightly", Throttle(rows=2_000))
        it.until(lambda: it.progress().rows_committed >= rows + 3_000)
        record_property("faster_after_seconds", time.monotonic() - began - 3_000 / 2_000)
        assert time.monotonic() - began < 8.0, "10 s at the old pace"
        it.control.set_throttle("nightly", Throttle(rows=100))
        effective = time.monotonic() + 2.0
        it.until(lambda: time.monotonic() > effective)
        began, rows = time.monotonic(), it.progress().rows_committed
        it.until(lambda: time.monotonic() > began + 3.0)
        came = it.progress().rows_committed - rows
        # The two chunks in flight may have been all but done; at the old pace it would be 6,000.
        assert came <= 100 * (time.monotonic() - began) + 2 * 1_000
        it.control.set_throttle("nightly", Throttle(bytes=1))
        effective = time.monotonic() + 2.0
        it.until(lambda: time.monotonic() > effective)
        rows = it.progress().rows_committed
        it.until(lambda: time.monotonic() > effective + 2.0)
        assert it.progress().rows_committed == rows, "a byte a second is no row"
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()
