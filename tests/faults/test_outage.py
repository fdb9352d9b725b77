"""Databases that go away: stopped, frozen, or never there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from tests.faults.harness import rig
from tests.faults.own_server import OwnServer, rig_on

SLOW = {"rows": 800}
FROZEN_SECONDS = 60.0 if os.environ.get("SYNCMON_FAULTS") == "long" else 0.0


def test_target_that_crashes_and_comes_back_costs_no_row(server: OwnServer, tmp_path: Path) -> None:
    with rig_on(server, tmp_path, throttle=SLOW) as it:
        it.begin()
        server.stop_immediately()
        it.until(lambda: any("try 1 failed" in message for message in it.messages()))
        server.start()
        it.finish()


@pytest.mark.parametrize("consistency", ["chunk", "snapshot"])
def test_source_that_crashes_and_comes_back_costs_no_row(
    consistency: str, server: OwnServer, tmp_path: Path
) -> None:
    with rig_on(server, tmp_path, as_source=True, throttle=SLOW, consistency=consistency) as it:
        it.begin()
        server.stop_immediately()
        it.until(lambda: any("failed:" in message for message in it.messages()))
        server.start()
        it.finish()
        begun_again = any("begun again from its first row" in m for m in it.messages())
        assert begun_again == (consistency == "snapshot")


def test_frozen_target_is_named_and_pause_and_stop_answer(
    server: OwnServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with rig_on(server, tmp_path, throttle=SLOW) as it:
        it.begin()
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
